//! Says how fast files are read: `cargo run --release -p vnetem-azure --example import_speed --
//! FILE...`.

use std::time::Instant;

use vnetem_azure::ServiceTags;
use vnetem_azure::import::{Importer, LoadedNetwork};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut importer = Importer::new();
    let start = Instant::now();
    for file in std::env::args().skip(1) {
        importer.read(&file, &std::fs::read(&file)?)?;
    }
    println!("read      {:8.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let inventory = importer.inventory();
    println!("inventory {:8.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let json = serde_json::to_string(&inventory.model())?;
    println!("model     {:8.3} s, {} bytes", start.elapsed().as_secs_f64(), json.len());
    let start = Instant::now();
    let mut loaded = LoadedNetwork::new(ServiceTags::embedded());
    loaded.update(&inventory);
    println!(
        "network   {:8.3} s, {} left out",
        start.elapsed().as_secs_f64(),
        loaded.left_out.len()
    );
    let start = Instant::now();
    loaded.network.commit();
    println!("commit    {:8.3} s", start.elapsed().as_secs_f64());
    Ok(())
}

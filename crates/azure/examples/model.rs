//! Prints what files hold: `cargo run -p vnetem-azure --example model -- FILE...`.
//!
//! With `--before` it prints the network before the change that a plan or what-if holds.

use vnetem_azure::import::Importer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut importer = Importer::new();
    let mut before = false;
    for file in std::env::args().skip(1) {
        if file == "--before" {
            before = true;
            continue;
        }
        let kind = importer.read(&file, &std::fs::read(&file)?)?;
        eprintln!("{file}: {}", kind.name());
    }
    let inventory = if before { importer.before() } else { importer.inventory() };
    println!("{}", serde_json::to_string_pretty(&inventory.model())?);
    Ok(())
}

//! Makes the list that the crate carries from a published one: `cargo run -p vnetem-azure --example
//! embed -- ServiceTags_Public_20251028.json > crates/azure/data/service-tags.txt`

use std::error::Error;
use std::{env, fs};

use vnetem_azure::{Date, ServiceTags};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("which published list?")?;
    let tags = ServiceTags::from_json(&fs::read_to_string(&path)?, Date::in_file_name(&path))?;
    print!("{}", tags.common_tags());
    Ok(())
}

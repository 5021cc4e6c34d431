//! Checks front pages and guides: what is copied from them runs, and what they show is what comes
//! out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use vnetem::{
    DataPlane, Edge, Network, Settings, Time,
    control::{Outbound, Scope},
};

/// Returns the project's root, which a package without its repository lacks.
fn root(what: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join("README.md").is_file() {
        vnetem_checks::skip(what, "there is no README.md above the crate");
        return None;
    }
    Some(root)
}

/// Returns the blocks of code of a page, each with the word behind its first fence.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.trim_end().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(word), None) => open = Some((word.to_owned(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end");
    blocks
}

/// No page hides code lines: rustdoc would leave them out of what is copied, and other viewers show
/// them.
#[test]
fn front_pages_hide_no_code() {
    let Some(root) = root("front pages hide no code") else { return };
    let mut pages =
        vec![("README.md".to_owned(), fs::read_to_string(root.join("README.md")).unwrap())];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if let Ok(page) = fs::read_to_string(folder.join("README.md")) {
            pages.push((format!("{name}/README.md"), page));
        }
        if let Ok(source) = fs::read_to_string(folder.join("src/lib.rs")) {
            let page = source.lines().map_while(|line| line.strip_prefix("//!"));
            let page: String =
                page.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect();
            pages.push((format!("{name}/src/lib.rs"), page));
        }
    }
    let mut programs = 0;
    for (name, page) in pages {
        for (kind, text) in blocks(&page) {
            if !matches!(kind.as_str(), "" | "rust") {
                assert!(!kind.contains("no_run") && !kind.contains("ignore"), "{name}: {kind}");
                continue;
            }
            programs += 1;
            let hidden = text.lines().find(|line| line.trim_start().starts_with("# "));
            assert_eq!(hidden, None, "{name}");
            let asks = text.contains("?;") || text.contains("?)");
            assert!(!asks || text.contains("fn main() -> Result<(), "), "{name}:\n{text}");
        }
    }
    assert!(programs >= 8, "{programs}");
}

/// The block below the README's program is what the program prints.
#[test]
fn readme_shows_what_comes_out() -> Result<(), Box<dyn std::error::Error>> {
    let Some(root) = root("the README's program") else { return Ok(()) };
    let page = fs::read_to_string(root.join("README.md"))?;
    let blocks = blocks(&page);
    let place = blocks.iter().position(|(kind, _)| kind == "rust").unwrap();
    let (program, shown) = (&blocks[place].1, &blocks[place + 1].1);

    let (_, array) = program.split_once("[u8; 40] = [").unwrap();
    let numbers = array.split_once("];").unwrap().0.lines().map(|line| line.split("//").next());
    let numbers: String = numbers.flatten().collect();
    let numbers = numbers.split(',').map(str::trim).filter(|word| !word.is_empty());
    let syn: Vec<u8> = numbers.map(|word| word.parse().unwrap()).collect();

    let mut network = Network::new();
    let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
    network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let _ = plane.process(Time(0), Edge::Subnet(web), &mut syn.clone());
    network.enable_endpoint(web, storage, Scope::Worldwide)?;
    plane.apply(Time(1), network.commit());
    let mut printed = String::new();
    while let Some(made) = plane.poll_transmit(Time(1)) {
        printed += &format!("reset to {}\n", plane.snapshot().describe(made.to));
    }
    printed += &format!("{}\n", plane.trace(Time(2), Edge::Subnet(web), &syn));
    assert_eq!(&printed, shown);
    Ok(())
}

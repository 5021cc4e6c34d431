//! Packets that others captured, through five setups.

use std::path::PathBuf;

use vnetem_verify::captures::{Compared, check_manifest, read_captures};
use vnetem_verify::harness::{Replay, Setup};

/// Returns the directory of captures, which a package without its repository lacks.
fn corpus(what: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/captures");
    if !root.is_dir() {
        vnetem_checks::skip(what, format!("there is no {}", root.display()));
        return None;
    }
    Some(root)
}

/// Replays every capture in every setup. Each packet is checked for accounting, rewriting,
/// INV-mapping-unique, INV-private-source-stays-inside and INV-networks-isolated, and against the
/// model.
#[test]
fn every_capture_goes_through_every_setup() {
    let Some(root) = corpus("every capture in every setup") else { return };
    let captures = read_captures(&root).unwrap();
    let expected = Compared { equal: captures.len() as u64, differing: Vec::new() };
    assert_eq!(check_manifest(&root, &captures), Ok(Some(expected)));
    // One capture of the corpus ends early, and that is reported.
    let broken: Vec<_> = captures.iter().filter(|capture| capture.broken.is_some()).collect();
    let [early] = broken.as_slice() else { panic!("{} captures break off", broken.len()) };
    assert_eq!(early.broken.as_deref(), Some("the capture ends in the middle of a packet"));
    for setup in Setup::ALL {
        let mut replay = Replay::new(setup, 1).unwrap();
        for capture in &captures {
            let packets = capture.packets.iter().map(|(at, bytes)| (*at, bytes.as_slice()));
            if let Err(found) = replay.capture(packets) {
                panic!("{} {}: {found}", setup.name(), capture.name);
            }
        }
        let replayed = replay.replayed();
        let networks = if setup == Setup::Sixteen { 16 } else { 1 };
        assert_eq!(replayed.packets, 1994 * networks);
        assert!(replayed.coverage.forward > 50 && replayed.coverage.reverse > 20, "{replayed:?}");
        assert_eq!(replayed.coverage.translated == 0, setup == Setup::Untranslated, "{replayed:?}");
    }
}

/// The count that differs is reported.
#[test]
fn wrong_manifest_count_is_named() {
    let Some(root) = corpus("manifests that say something else") else { return };
    let mut captures = read_captures(&root).unwrap();
    captures[0].packets.pop();
    let differing = check_manifest(&root, &captures).unwrap().unwrap().differing;
    assert_eq!(differing.len(), 1);
    assert!(differing[0].starts_with(&captures[0].name), "{differing:?}");
    captures.pop();
    assert!(check_manifest(&root, &captures).is_err());
}

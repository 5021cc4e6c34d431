//! Compares vnetem with a recording of Linux, without privileges.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

use vnetem_oracle::{Ours, Recording, compare};

const LINUX: &[u8] = include_bytes!("../corpus/linux-nat.pcapng");

/// Each exchange of the recording (see `tests/kernel.rs`) is equal byte for byte.
#[test]
fn vnetem_agrees_with_recorded_linux() {
    let recording = Recording::read(LINUX).unwrap();
    assert!(recording.0.len() > 1_500, "only {} exchanges", recording.0.len());
    let mut ours = Ours::liberal().unwrap();
    for (exchange, number) in recording.0.iter().zip(1..) {
        let (verdict, emitted) = ours.send(exchange.from, &exchange.sent, exchange.port());
        if let Err(difference) =
            compare(exchange.from, &exchange.sent, &exchange.emitted, &emitted, verdict)
        {
            panic!("exchange {number}, {difference}");
        }
    }
}

/// The file is the same when it is written again.
#[test]
fn a_recording_survives_writing() {
    let recording = Recording::read(LINUX).unwrap();
    let mut bytes = Vec::new();
    recording.write(&mut bytes).unwrap();
    assert_eq!(bytes, LINUX);
}

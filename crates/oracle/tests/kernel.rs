//! Compares Linux's own NAT with vnetem, byte for byte.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use vnetem_oracle::{Chosen, PortRule, Summary, isolated, run};

/// The packets of each of two seeds, so that every run of the test has more than 100,000.
const PACKETS: u64 = 50_000;
/// The packets of the recording.
const RECORDED: u64 = 1_500;

/// T-01 to T-03, T-05, T-14, T-17, T-20 to T-26, T-30, T-32: both agree on every byte.
#[test]
fn linux_and_vnetem_agree_on_bytes() {
    isolated("linux_and_vnetem_agree_on_bytes", &["ip", "nft"], || {
        let mut summary = Summary::default();
        // A run that Linux cuts short, which is rare, is replaced.
        for seed in 1.. {
            summary.add(run(seed, PACKETS, false)?);
            if summary.packets >= 2 * PACKETS {
                break;
            }
        }
        println!("{summary}");
        check(&summary);
        Ok(())
    });
}

/// The recording that other tests replay equals this kernel's.
/// `VNETEM_BLESS=1 cargo test -p vnetem-oracle --test kernel` makes it.
#[test]
fn a_recording_is_what_linux_says() {
    isolated("a_recording_is_what_linux_says", &["ip", "nft"], || {
        let summary = run(3, RECORDED, true)?;
        assert!(summary.differences.is_empty(), "{summary}");
        if vnetem_checks::flag("VNETEM_BLESS") {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/linux-nat.pcapng");
            summary.recording.write(BufWriter::new(File::create(path)?))?;
        }
        Ok(())
    });
}

/// Checks that all differences are intended, that nothing came late, and that the run met every
/// case.
fn check(summary: &Summary) {
    assert!(summary.differences.is_empty(), "{summary}");
    assert_eq!(summary.late, 0, "{summary}");
    assert!(summary.packets >= 100_000 && summary.passed > 70_000, "{summary}");
    assert!(summary.answered > 2_000 && summary.swallowed > 10_000, "{summary}");
    assert!(summary.opened > 5_000, "{summary}");
    for chosen in Chosen::ALL {
        assert!(summary.chosen.contains_key(&chosen), "{chosen:?} was never met: {summary}");
    }
    let of = |rule| summary.ports.get(&rule).copied().unwrap_or(0);
    assert_eq!(of(PortRule::Unexplained), 0, "{summary}");
    assert!(of(PortRule::Siblings) > 1_000, "{summary}");
    assert!(of(PortRule::Own) > 100 && of(PortRule::OtherOfClass) > 100, "{summary}");
}

//! Linux's own NAT and ours, byte for byte (nat.md 6).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

use vnetem_oracle::{isolated, run};

#[test]
fn linux_and_ours_agree_on_every_byte() {
    isolated("linux_and_ours_agree_on_every_byte", &["ip", "nft"], || {
        let summary = run(1, 100_000, false)?;
        println!("{summary}");
        Ok(())
    });
}

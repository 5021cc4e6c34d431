//! An endpoint switched on and off, and fragments, through Linux and through ours.

#![cfg(target_os = "linux")]

use vnetem_oracle::{fragments, isolated, toggles};

/// T-12, S-17, S-18, E-13: an endpoint is a destination that is not translated; what is switched
/// stops, all else goes on.
#[test]
fn linux_and_ours_agree_on_an_endpoint_that_is_switched() {
    let name = "linux_and_ours_agree_on_an_endpoint_that_is_switched";
    isolated(name, &["ip", "nft", "conntrack"], || {
        let compared = toggles(20)?;
        assert!(compared > 1_000, "{compared}");
        Ok(())
    });
}

/// T-28, P-30: joined, fragments are the same; those that come before their first one are dropped
/// here and kept by Linux.
#[test]
fn linux_and_ours_agree_on_fragments_once_they_are_joined() {
    isolated("linux_and_ours_agree_on_fragments_once_they_are_joined", &["ip", "nft"], || {
        let compared = fragments()?;
        assert!(compared > 1_000, "{compared}");
        Ok(())
    });
}

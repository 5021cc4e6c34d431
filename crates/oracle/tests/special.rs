//! Enables and disables an endpoint, and sends fragments, through Linux and through vnetem.

#![cfg(target_os = "linux")]

use vnetem_oracle::{fragments, isolated, toggles};

/// T-12, S-17, S-18, E-13: an endpoint is a destination without translation. The switched traffic
/// stops, and all other goes on.
#[test]
fn linux_agrees_on_toggled_endpoint() {
    let name = "linux_agrees_on_toggled_endpoint";
    isolated(name, &["ip", "nft", "conntrack"], || {
        let compared = toggles(20)?;
        assert!(compared > 1_000, "{compared}");
        Ok(())
    });
}

/// T-28, P-30: joined, fragments are the same. vnetem drops those that come before their first one,
/// and Linux keeps them.
#[test]
fn linux_agrees_on_reassembled_fragments() {
    isolated("linux_agrees_on_reassembled_fragments", &["ip", "nft"], || {
        let compared = fragments()?;
        assert!(compared > 1_000, "{compared}");
        Ok(())
    });
}

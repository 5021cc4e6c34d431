//! Toggles an endpoint under live TCP, over links that lose up to 30 % of all packets.

use vnetem_verify::toggling::{Toggling, toggle_under_tcp};

/// S-17, S-18, S-20, INV-toggle-ends-exact-set, INV-both-ends-learn: a hundred toggles at 0 to 30 %
/// loss. Each time both ends of the connection to the service are closed. An end whose reset was
/// lost learns it at its next segment or keep-alive. The download from elsewhere goes on, and a new
/// connection works.
#[test]
fn toggles_close_both_ends_despite_loss() -> Result<(), String> {
    let mut sums = Toggling::default();
    for loss in [0, 100, 200, 300] {
        let Toggling { toggles, ends, resets, elsewhere, .. } =
            toggle_under_tcp(u64::from(loss), loss, 25)?;
        sums.toggles += toggles;
        sums.ends += ends;
        sums.resets += resets;
        sums.elsewhere += elsewhere;
    }
    assert_eq!((sums.toggles, sums.ends), (100, 200));
    assert!(sums.elsewhere > 0);
    assert!(sums.resets >= 190, "only {} of 200 ends saw a reset; the others gave up", sums.resets);
    Ok(())
}

/// S-18: at 30 % loss the server of an unrelated download may time out. A reset then tells its
/// client.
#[test]
fn server_timeout_is_unrelated_to_toggle() {
    toggle_under_tcp(699, 300, 2).unwrap();
}

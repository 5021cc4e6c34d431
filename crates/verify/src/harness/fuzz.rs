//! Fuzz bodies over the harness. They take any bytes, and panic with a readable transcript if a
//! check fails.

#![allow(clippy::panic, reason = "a fuzz body says by a panic that it has found something")]

use super::step::{Step, Twist};
use super::{Runner, Sequence, check, pick, world};

/// Sends raw packets into a live data plane that has established and half-open connections on both
/// kinds of path, datagrams, fragments and a tombstone. It compares every disposition, byte and
/// counter with the model, and checks all invariants of the harness (INV-any-bytes-safe,
/// INV-packets-conserved).
///
/// The input is a list of records: an edge, a length of two bytes, and that many bytes of a packet.
/// An edge above 250 moves the clock.
pub fn pipeline_bytes(bytes: &[u8]) {
    let mut runner = Runner::new(bytes.first().copied().unwrap_or_default());
    let populated = populate().iter().try_for_each(|step| runner.step(step));
    let played = populated.and_then(|()| play(&mut runner, bytes.get(1..).unwrap_or_default()));
    if let Err(what) = played {
        panic!("{what}\n{}", runner.transcript.lines().join("\n"));
    }
}

/// Plays edits, packets and clock steps, decoded by position, with the data plane and the model:
/// see [`Sequence::decode`].
pub fn pipeline_ops(bytes: &[u8]) {
    // More steps find nothing that fewer do not, and cost the fuzzer's time.
    let bytes = bytes.get(..1 + 8 * 256).unwrap_or(bytes);
    if let Err(mismatch) = check(&Sequence::decode(bytes)) {
        panic!("{mismatch}");
    }
}

fn play(runner: &mut Runner, mut bytes: &[u8]) -> Result<(), String> {
    while let [edge, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (packet, behind) = rest.split_at(length);
        bytes = behind;
        if *edge > 250 {
            runner.step(&Step::Clock { tick: *low })?;
            continue;
        }
        let endpoint =
            runner.conversations.iter().filter_map(|it| it.edges.get(1).copied().flatten());
        let mut edges: Vec<_> = world::hosts(&runner.world).map(|host| host.0).to_vec();
        edges.extend(endpoint);
        let edge = *pick(&edges, *edge);
        runner.send(edge, packet.to_vec(), Twist { kind: 0, at: 0 })?;
        runner.after()?;
    }
    Ok(())
}

/// Returns steps that leave some of everything in the data plane.
fn populate() -> Vec<Step> {
    let twist = Twist { kind: 0, at: 0 };
    let open = |host, to, ports| Step::Open { host, to, ports, flags: 0, twist };
    let talk = |far| Step::Talk { of: 0, far, says: 0, off: 0, twist };
    let fragment = |part| Step::Fragment { of: 0, far: false, part, twist };
    let change =
        |kind, on, to| Step::Change { edit: super::Edit { kind, on, to, with: 0 }, drain: true };
    vec![
        open(0, 1, 0),
        open(0, 0, 0),
        talk(true),
        talk(false),
        change(0, 0, 0),
        open(1, 0, 0),
        talk(true),
        talk(false),
        change(4, 2, 5),
        open(2, 2, 5),
        talk(true),
        fragment(0),
        open(8, 0, 0),
        talk(true),
        open(3, 7, 6),
    ]
}

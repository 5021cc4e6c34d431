//! Links that lose, and ends that lie.

use super::*;

fn story(seed: u64, loss: u16) -> (u64, u64, Vec<Status>, Vec<Status>, bool) {
    let link = LinkSettings {
        loss,
        duplicate: 20,
        reorder: 20,
        corrupt: 10,
        jitter: Duration::from_millis(3),
        ..LinkSettings::clean(Duration::from_millis(5))
    };
    let mut pair = Pair::new(seed, link);
    let targets = ["/a", "/b?bytes=60000", "/c?bytes=10000&rate=5000"];
    let ids: Vec<_> = targets.iter().map(|target| pair.get(target)).collect();
    pair.run(900 * SECOND);
    let whole = ids.iter().zip(targets).all(|(id, target)| {
        let connection = pair.client.connection(*id).unwrap();
        let wanted = crate::blob::digest(crate::blob::DIGEST_START, &expected(target));
        connection.status != Status::Finished || connection.digest == wanted
    });
    let client = pair.client.connections().map(|(_, end)| end.status).collect();
    let server = pair.server.connections().map(|(_, end)| end.status).collect();
    assert_eq!(pair.client.stack.len() + pair.server.stack.len(), 0, "all sockets are given back");
    (pair.digest, pair.packets, client, server, whole)
}

/// T-38, INV-same-input-same-bytes, and faults 4 to 7: through loss of 0 to 30 % a download comes
/// whole or ends with a reason, and a run can be repeated.
#[test]
fn lossy_downloads_complete_or_fail_cleanly() {
    let mut finished = 0;
    for loss in [0, 50, 100, 200, 300] {
        for seed in 0..6 {
            let (digest, packets, client, server, whole) = story(seed * 100, loss);
            assert!(whole, "a finished download is whole: loss {loss} seed {seed}");
            assert!(
                client.iter().chain(&server).all(|status| status.is_over()),
                "{client:?} {server:?}"
            );
            finished += client.iter().filter(|status| **status == Status::Finished).count();
            if loss == 0 {
                assert_eq!(client, [Status::Finished; 3]);
            }
            let again = story(seed * 100, loss);
            assert_eq!((digest, packets), (again.0, again.1), "same seed, same bytes");
        }
    }
    assert!(finished >= 80, "{finished} of 90 downloads completed");
    assert_ne!(story(1, 100).0, story(2, 100).0, "another seed, other bytes");
}

/// A segment with fields of somebody else's choosing, and right checksums.
fn forge(packet: &[u8], lie: Lie) -> Option<Bytes> {
    let mut packet: Packet = Packet::read(packet).ok()?;
    let Content::Tcp(segment) = &mut packet.content else { return None };
    segment.sequence = segment.sequence.wrapping_add_signed(lie.sequence);
    segment.acknowledgement = segment.acknowledgement.wrapping_add_signed(lie.acknowledgement);
    segment.flags = lie.flags.unwrap_or(segment.flags);
    segment.window = lie.window.unwrap_or(segment.window);
    segment.length = lie.length.unwrap_or(segment.length);
    Some(packet.build())
}

#[derive(Clone, Copy, Debug)]
struct Lie {
    sequence: i32,
    acknowledgement: i32,
    flags: Option<TcpFlags>,
    window: Option<u16>,
    length: Option<u16>,
}

fn lie() -> impl Strategy<Value = Lie> {
    let off = || prop_oneof![4 => Just(0), 4 => -3000..3000_i32, 1 => any::<i32>()];
    (
        off(),
        off(),
        prop::option::of(strategies::tcp_flags()),
        prop::option::of(any::<u16>()),
        prop::option::of(0_u16..1400),
    )
        .prop_map(|(sequence, acknowledgement, flags, window, length)| Lie {
            sequence,
            acknowledgement,
            flags,
            window,
            length,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Faults 9 and 11 at the rim: forged segments among the real ones may spoil a connection, but
    /// both ends can still be rid of it.
    #[test]
    fn hosts_survive_forged_segments(lies in prop::collection::vec(prop::option::weighted(0.3, lie()), 1..60)) {
        let mut pair = Pair::clean();
        let id = pair.get("/big?bytes=60000");
        for lie in lies {
            if let Some(next) = pair.step() {
                pair.now = next;
            }
            let (to_server, to_client) = pair.last.clone();
            if let Some(lie) = lie {
                forge(&to_server, lie).into_iter().for_each(|packet| pair.server.receive(packet));
                forge(&to_client, lie).into_iter().for_each(|packet| pair.client.receive(packet));
            }
        }
        pair.run(900 * SECOND);
        pair.client.abort(pair.now, id);
        pair.run(1000 * SECOND);
        prop_assert!(pair.server.connections().all(|(_, end)| end.status.is_over()));
        prop_assert_eq!(pair.client.stack.len() + pair.server.stack.len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// INV-any-bytes-safe at the rim: whatever comes in, a host neither panics nor loses its wits.
    #[test]
    fn a_host_survives_any_packets(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
        let mut pair = Pair::clean();
        for packet in packets {
            pair.server.receive(packet.into());
        }
        let id = pair.get("/a");
        pair.run(30 * SECOND);
        prop_assert_eq!(pair.status(id), Status::Finished);
    }
}

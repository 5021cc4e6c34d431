//! How connections end: refused, timed out, reset, aborted.

use super::*;

#[test]
fn a_port_that_nobody_serves_refuses() {
    let mut pair = Pair::clean();
    let id =
        pair.client.connect(Time(0), SocketAddrV4::new(SERVER, 81), Bytes::new(), None).unwrap();
    pair.run(60 * SECOND);
    assert_eq!(pair.status(id), Status::Refused);
    assert_eq!(pair.client.connection(id).unwrap().changed, Time(10 * MILLISECOND));
}

#[test]
fn silence_times_out_in_every_state() {
    let mut pair = Pair::new(1, LinkSettings { loss: 1000, ..LinkSettings::clean(Duration::ZERO) });
    let id = pair.get("/a");
    pair.run(200 * SECOND);
    assert_eq!(pair.status(id), Status::TimedOut);

    let mut pair = Pair::clean();
    let id = pair.get("/long?bytes=1000000&rate=2000");
    pair.run(SECOND);
    let deaf = LinkSettings { loss: 1000, ..LinkSettings::clean(Duration::ZERO) };
    pair.there.change(deaf);
    pair.back.change(deaf);
    pair.run(200 * SECOND);
    assert_eq!((pair.status(id), pair.served().status), (Status::TimedOut, Status::TimedOut));
    let changed = pair.client.connection(id).unwrap().changed.0;
    assert!((60 * SECOND..63 * SECOND).contains(&changed), "{changed}");
}

/// INV-reset-number-exact: smoltcp takes a reset exactly where it expects the next byte; each end
/// alone learns it, and the other at its next segment.
#[test]
fn reset_ends_either_end_exactly() {
    for at_client in [true, false] {
        let mut pair = Pair::clean();
        let id = pair.get("/long?bytes=1000&rate=10");
        // Between two pieces, so that nothing is under way.
        pair.run(SECOND + 55 * MILLISECOND);
        assert!(pair.there.is_empty() && pair.back.is_empty());
        if at_client {
            pair.client.receive(Pair::reset(&pair.last.1));
        } else {
            pair.server.receive(Pair::reset(&pair.last.0));
        }
        pair.step();
        if at_client {
            assert_eq!((pair.status(id), pair.served().status), (Status::Reset, Status::Open));
        } else {
            assert_eq!((pair.status(id), pair.served().status), (Status::Open, Status::Reset));
        }
        // The end that knows nothing yet finds out by its next segment or its keep-alive
        // (INV-both-ends-learn).
        pair.run(SECOND + 60 * SECOND);
        assert_eq!((pair.status(id), pair.served().status), (Status::Reset, Status::Reset));
    }
}

#[test]
fn keep_alive_detects_lost_connection() {
    let mut pair = Pair::clean();
    let request = Request::get("a", "/1?bytes=10").keep_alive().write();
    let id = pair.client.connect(Time(0), SocketAddrV4::new(SERVER, 80), request, None).unwrap();
    pair.run(SECOND);
    pair.client.ends[id.0].connection.turn(pair.now, Status::Aborted);
    let conn = pair.client.ends[id.0].conn.take().unwrap();
    pair.client.stack.remove(conn);
    assert_eq!(pair.served().status, Status::Open);
    pair.run(9 * SECOND);
    assert_eq!(pair.served().status, Status::Open);
    pair.run(12 * SECOND);
    assert_eq!(pair.served().status, Status::Reset);
}

#[test]
fn idle_end_needs_keep_alive() {
    let mut pair = Pair::clean();
    let quiet =
        HostSettings { keep_alive: None, user_timeout: None, ..HostSettings::new(SERVER, 9) };
    pair.server = Host::new(quiet);
    pair.server.listen(80, App::Http);
    let request = Request::get("a", "/1?bytes=10").keep_alive().write();
    let id = pair.client.connect(Time(0), SocketAddrV4::new(SERVER, 80), request, None).unwrap();
    pair.run(SECOND);
    pair.client.abort(pair.now, id);
    pair.there.change(LinkSettings { loss: 1000, ..LinkSettings::clean(Duration::ZERO) });
    pair.run(3600 * SECOND);
    assert_eq!((pair.status(id), pair.served().status), (Status::Aborted, Status::Open));
}

#[test]
fn abort_resets_the_other_end() {
    let mut pair = Pair::clean();
    let id = pair.get("/long?bytes=1000000&rate=2000");
    pair.run(SECOND);
    pair.client.abort(pair.now, id);
    pair.run(2 * SECOND);
    assert_eq!((pair.status(id), pair.served().status), (Status::Aborted, Status::Reset));
}

#[test]
fn a_half_open_server_is_reset() {
    let mut pair = Pair::clean();
    let id = pair.get("/a");
    pair.client.poll(Time(0));
    let syn = pair.client.transmit().unwrap();
    pair.server.receive(syn.clone());
    pair.server.poll(Time(0));
    assert_eq!(pair.served().status, Status::Connecting);
    pair.server.receive(Pair::reset(&syn));
    pair.server.poll(Time(0));
    assert_eq!(pair.served().status, Status::Reset);
    assert_eq!(pair.server.stack.len(), 0);
    assert_eq!(pair.status(id), Status::Connecting);
}

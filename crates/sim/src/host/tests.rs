//! Two hosts and two links: every way in which a connection can go.

mod bad_links;
mod endings;
mod pair;

use core::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket};
use vnetem_packet::TcpFlags;

use self::pair::Pair;
use super::*;
use crate::http::{self, Request};
use crate::sql::{self, Outcome};
use crate::{App, Blob, Link, LinkSettings, Refusal};
use vnetem_packet_text::{Content, Packet, strategies};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const SERVER: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

fn expected(target: &str) -> Vec<u8> {
    let blob = Blob::named(target);
    let mut body = vec![0; usize::try_from(blob.length).unwrap()];
    blob.fill(0, &mut body);
    [http::response_head(200, None, blob.length, true).as_bytes(), &body].concat()
}

#[test]
fn blob_is_fetched_and_both_finish() {
    let mut pair = Pair::clean();
    let id = pair.get("/big?bytes=300000");
    pair.run(60 * SECOND);
    let connection = pair.client.connection(id).unwrap();
    let bytes = expected("/big?bytes=300000");
    assert_eq!(connection.status, Status::Finished);
    assert_eq!(connection.received, u64::try_from(bytes.len()).unwrap());
    assert_eq!(connection.digest, crate::blob::digest(crate::blob::DIGEST_START, &bytes));
    assert_eq!(connection.head, bytes[..Connection::HEAD_LIMIT]);
    assert_eq!(pair.served().status, Status::Finished);
    assert_eq!(pair.client.stack.len() + pair.server.stack.len(), 0, "sockets are given back");
}

#[test]
fn access_log_names_client_and_status() {
    let mut pair = Pair::clean();
    let id = pair.get("/photo?bytes=5000");
    pair.run(60 * SECOND);
    let local = pair.client.connection(id).unwrap().local;
    let [access] = pair.server.access_log() else { panic!("one call, one line") };
    assert_eq!((access.call.client, access.call.server.port()), (local, 80));
    assert_eq!(
        (access.call.host.as_str(), access.call.target.as_str()),
        ("a.example", "/photo?bytes=5000")
    );
    assert_eq!((access.status, access.code.as_deref(), access.bytes), (200, None, 5000));
    assert_eq!(access.identity, "10.0.0.4");
    // SYN, SYN+ACK and the request took three half round trips of 5 ms.
    assert_eq!(access.call.time, Time(15 * MILLISECOND));
}

/// F-16, S-47, P-32: a refusal is spoken over the connection.
#[test]
fn refusal_is_answered_over_http() {
    let mut pair = Pair::clean();
    let id = pair.get("/secret");
    let mut decide = |call: &Call| {
        let answer = vnetem::authz::ServiceAnswer::Http {
            status: 403,
            code: "AuthorizationFailure",
            text: "No.".to_owned(),
        };
        Answer::refuse(call.client.ip().to_string(), Refusal::from(answer))
    };
    while pair.now.0 < SECOND {
        pair.deliver();
        pair.server.poll_deciding(pair.now, &mut decide);
        pair.step();
        pair.now += Duration::from_millis(1);
    }
    let connection = pair.client.connection(id).unwrap();
    let response = http::Response::parse(&connection.head).unwrap().unwrap();
    assert_eq!((response.status, response.xml_code()), (403, Some("AuthorizationFailure")));
    assert_eq!(connection.status, Status::Finished);
    let access = &pair.server.access_log()[0];
    assert_eq!((access.status, access.code.as_deref()), (403, Some("AuthorizationFailure")));
    assert_eq!(access.bytes, response.content_length.unwrap());
}

#[test]
fn connection_is_kept_for_next_request() {
    let mut pair = Pair::clean();
    let request = Request::get("a", "/1?bytes=10").keep_alive().write();
    let id =
        pair.client.connect(Time(0), SocketAddrV4::new(SERVER, 80), request, Some(50_001)).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.status(id), Status::Open);
    pair.client.send(id, &Request::get("a", "/2?bytes=10").write());
    pair.run(60 * SECOND);
    assert_eq!(pair.status(id), Status::Finished);
    let targets: Vec<_> =
        pair.server.access_log().iter().map(|access| access.call.target.as_str()).collect();
    assert_eq!(targets, ["/1?bytes=10", "/2?bytes=10"]);
    assert_eq!(pair.client.connection(id).unwrap().local.port(), 50_001);
}

#[test]
fn paced_download_is_still_running() {
    let mut pair = Pair::clean();
    let id = pair.get("/long?bytes=1000000&rate=20000");
    pair.run(10 * SECOND);
    let received = pair.client.connection(id).unwrap().received;
    assert_eq!(pair.status(id), Status::Open);
    assert!((195_000..=205_000).contains(&received), "{received}");
    let access = &pair.server.access_log()[0];
    assert!((195_000..=205_000).contains(&access.bytes), "{}", access.bytes);
    pair.run(60 * SECOND);
    assert_eq!(pair.status(id), Status::Finished);
}

#[test]
fn server_waits_for_absent_client() {
    let mut pair = Pair::clean();
    let id = pair.get("/big?bytes=100000000");
    pair.run(40 * MILLISECOND);
    pair.there.change(LinkSettings { loss: 1000, ..LinkSettings::clean(Duration::ZERO) });
    pair.run(5 * SECOND);
    // No more than its send buffer beyond what was acknowledged.
    let sent = pair.served().sent;
    let received = pair.client.connection(id).unwrap().received;
    assert!(sent <= received + 2 * 32_768, "{sent} {received}");
}

#[test]
fn slow_pace_wakes_the_server() {
    let mut pair = Pair::clean();
    let id = pair.get("/long?bytes=1000&rate=10");
    pair.run(5 * SECOND);
    let body = http::Response::parse(&pair.client.connection(id).unwrap().head).unwrap();
    assert!((49..=50).contains(&body.unwrap().body.len()), "one byte each tenth of a second");
}

/// What a client sends ahead waits in its own buffers, and is answered in the end even if it has
/// closed its side.
#[test]
fn pipelined_requests_are_all_answered() {
    let mut pair = Pair::clean();
    let slow = Request::get("a", "/slow?bytes=10&rate=10").keep_alive().write();
    let remote = SocketAddrV4::new(SERVER, 80);
    let id = pair.client.connect(Time(0), remote, slow, None).unwrap();
    let ahead = Request::get("a", "/x?bytes=0").keep_alive().write().repeat(5000);
    pair.run(100 * MILLISECOND);
    pair.client.send(id, &ahead);
    pair.client.close(id);
    pair.run(900 * MILLISECOND);
    let received = pair.served().received;
    assert!(received < 1000, "only the first request is taken: {received}");
    assert!(pair.client.connection(id).unwrap().sent < 70_000);
    pair.run(60 * SECOND);
    assert_eq!(pair.server.access_log().len(), 5001);
    assert_eq!((pair.status(id), pair.served().status), (Status::Finished, Status::Finished));
}

/// F-18.
#[test]
fn sql_query_streams_all_rows() {
    let mut pair = Pair::clean();
    let remote = SocketAddrV4::new(SERVER, sql::PORT);
    let request = sql::conversation("sql-a", "select bytes=50000 rate=10000");
    let id = pair.client.connect(Time(0), remote, request, None).unwrap();
    pair.run(2 * SECOND);
    let connection = pair.client.connection(id).unwrap();
    assert_eq!(connection.status, Status::Open);
    assert_eq!(Outcome::of(&connection.head), Outcome::LoggedIn);
    assert!((20_000..25_000).contains(&connection.received), "{}", connection.received);
    pair.run(9 * SECOND);
    let access = &pair.server.access_log()[0];
    assert_eq!((access.call.host.as_str(), access.call.target.as_str()), ("sql-a", "login"));
    assert!(
        (50_000..60_000).contains(&access.bytes),
        "rows and what frames them: {}",
        access.bytes
    );
    pair.client.close(id);
    pair.run(60 * SECOND);
    assert_eq!((pair.status(id), pair.served().status), (Status::Finished, Status::Finished));
}
#[test]
fn invalid_port_or_address_is_refused() {
    let mut host = Host::new(HostSettings::new(CLIENT, 1));
    let mut connect = |remote, port| host.connect(Time(0), remote, Bytes::new(), port).err();
    let good = SocketAddrV4::new(SERVER, 80);
    let unaddressable = |port, remote| {
        Some(ConnectError::Unaddressable { local: SocketAddrV4::new(CLIENT, port), remote })
    };
    let zero = SocketAddrV4::new(SERVER, 0);
    assert_eq!(connect(zero, Some(1)), unaddressable(1, zero));
    let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 80);
    assert_eq!(connect(nowhere, Some(1)), unaddressable(1, nowhere));
    assert_eq!(connect(good, Some(0)), unaddressable(0, good));
    assert_eq!(connect(good, Some(5)), None);
    let local = SocketAddrV4::new(CLIENT, 5);
    assert_eq!(connect(good, Some(5)), Some(ConnectError::InUse { local, remote: good }));
    assert_eq!(connect(SocketAddrV4::new(SERVER, 81), Some(5)), None);
}

#[test]
fn clients_beyond_the_limit_are_refused() {
    let mut pair = Pair::clean();
    let few = HostSettings { serve_limit: 20, ..HostSettings::new(SERVER, 9) };
    pair.server = Host::new(few);
    pair.server.listen(80, App::Http);
    let ids: Vec<_> = (0..21).map(|_| pair.get("/long?bytes=20000&rate=10000")).collect();
    pair.run(SECOND);
    let count = |pair: &Pair, status| ids.iter().filter(|id| pair.status(**id) == status).count();
    assert_eq!((count(&pair, Status::Open), count(&pair, Status::Refused)), (20, 1));
    pair.run(60 * SECOND);
    assert_eq!(count(&pair, Status::Finished), 20);
    // There is room again.
    let id = pair.get("/a");
    pair.run(90 * SECOND);
    assert_eq!(pair.status(id), Status::Finished);
}

/// A second SYN must not find the listening socket while the first one's connection is there.
#[test]
fn duplicate_syn_opens_no_second_connection() {
    let link = LinkSettings { duplicate: 1000, ..LinkSettings::clean(Duration::from_millis(5)) };
    let mut pair = Pair::new(1, link);
    for _ in 0..5 {
        pair.get("/a");
    }
    pair.run(60 * SECOND);
    assert_eq!(pair.server.connections().count(), 5);
    assert!(pair.server.connections().all(|(_, end)| end.status == Status::Finished));
}

/// INV-syn-opens-anew: the same ports again while the server waits out the old connection.
#[test]
fn syn_reopens_time_wait() {
    let mut pair = Pair::clean();
    let remote = SocketAddrV4::new(SERVER, 80);
    let request = || Request::get("a", "/a").write();
    pair.client.connect(Time(0), remote, request(), Some(50_001)).unwrap();
    pair.run(SECOND);
    assert_eq!(pair.server.stack.len(), 1, "the server closed first, and waits");
    let id = pair.client.connect(pair.now, remote, request(), Some(50_001)).unwrap();
    pair.run(2 * SECOND);
    assert_eq!(pair.status(id), Status::Finished);
    assert_eq!(pair.server.access_log().len(), 2);
}

#[test]
fn any_address_host_answers_its_callee() {
    let mut pair = Pair::clean();
    pair.server = Host::new(HostSettings { any_address: true, ..HostSettings::new(SERVER, 9) });
    pair.server.listen(80, App::Http);
    pair.server.echo_datagrams(7);
    let elsewhere = Ipv4Addr::new(52, 239, 200, 1);
    let request = Request::get("a", "/a").write();
    let id = pair.client.connect(Time(0), SocketAddrV4::new(elsewhere, 80), request, None).unwrap();
    pair.client.send_datagram(5000, SocketAddrV4::new(elsewhere, 7), b"hello");
    pair.client.ping(elsewhere, 3, 1);
    pair.run(60 * SECOND);
    assert_eq!(pair.status(id), Status::Finished);
    assert_eq!(*pair.server.access_log()[0].call.server.ip(), elsewhere);
    assert_eq!(pair.client.datagrams(5000), Exchange { sent: 1, received: 1 });
    assert_eq!(pair.client.pings(3), Exchange { sent: 1, received: 1 });
}

#[test]
fn pings_datagrams_echoed_closed_port_reported() {
    let mut pair = Pair::clean();
    pair.server.echo_datagrams(7);
    for number in 0..3 {
        assert!(pair.client.ping(SERVER, 9, number));
        assert!(pair.client.send_datagram(5000, SocketAddrV4::new(SERVER, 7), b"hello"));
    }
    assert!(pair.client.send_datagram(5001, SocketAddrV4::new(SERVER, 8), b"hello"));
    assert!(!pair.client.send_datagram(5001, SocketAddrV4::new(SERVER, 0), b"hello"));
    pair.run(SECOND);
    assert_eq!(pair.client.pings(9), Exchange { sent: 3, received: 3 });
    assert_eq!(pair.client.datagrams(5000), Exchange { sent: 3, received: 3 });
    assert_eq!(pair.client.datagrams(5001), Exchange { sent: 1, received: 0 });
    assert_eq!(pair.client.counters().icmp_errors, 1);
    assert_eq!(pair.client.pings(10), Exchange::default());
}

/// INV-fragment-checksum-right in small: a datagram larger than a packet comes back whole, through
/// fragments both ways.
#[test]
fn a_long_datagram_travels_in_fragments() {
    let mut pair = Pair::clean();
    pair.server.echo_datagrams(7);
    pair.client.send_datagram(5000, SocketAddrV4::new(SERVER, 7), &[7; 4000]);
    pair.run(SECOND);
    assert_eq!(pair.client.datagrams(5000), Exchange { sent: 1, received: 1 });
    assert_eq!(pair.server.counters().received, 3);
}

#[test]
fn seed_decides_initial_sequence_number() {
    let syn = |seed| {
        let mut host = Host::new(HostSettings::new(CLIENT, seed));
        host.connect(Time(0), SocketAddrV4::new(SERVER, 80), Bytes::new(), None).unwrap();
        host.poll(Time(0));
        host.transmit().unwrap()
    };
    assert_eq!(syn(7), syn(7));
    assert_ne!(syn(7), syn(8));
}

#[test]
fn idle_hosts_need_no_poll() {
    let mut pair = Pair::clean();
    pair.get("/a");
    pair.run(60 * SECOND);
    assert_eq!(pair.client.next_poll(pair.now), None);
    assert_eq!(pair.server.next_poll(pair.now), None);
}

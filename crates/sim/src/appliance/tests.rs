//! The appliance by packets in words; and with real TCP on both sides of it.

use core::net::SocketAddrV4;

use proptest::prelude::*;
use vnetem_nat::Cause;
use vnetem_packet::{AddressClass, Checksums, TransportChecksum};

use super::*;
use crate::http::Request;
use crate::{App, Host, HostSettings, Link, LinkSettings, Status};
use vnetem_packet_text::fragments;
use vnetem_packet_text::{Packet, strategies};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 4);
const SECOND: u64 = 1_000_000_000;

fn translating() -> Appliance {
    Appliance::translating(OWN)
}

fn bytes(line: &str) -> Bytes {
    line.parse::<Packet>().unwrap_or_else(|error| panic!("{line}: {error}")).build()
}

/// What comes out, in words.
fn pass(appliance: &mut Appliance, now: u64, line: &str) -> Option<String> {
    let out = appliance.forward(Time(now), bytes(line))?;
    let headers = Headers::parse(&out).unwrap();
    assert!(Checksums::of(&out, &headers).none_wrong(), "INV-checksums-stay-right: {line}");
    Some(Packet::read(&out).unwrap().to_string())
}

/// The port under which the only flow goes out.
fn port(appliance: &Appliance) -> u16 {
    let [record] = appliance.log()[..] else { panic!("{:?}", appliance.log()) };
    record.external.port()
}

///
#[test]
fn appliance_translates_source_and_reply() {
    let mut appliance = translating();
    let out = pass(&mut appliance, 0, "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 7");
    let port = port(&appliance);
    assert_eq!(out.unwrap(), format!("10.0.9.4:{port} > 52.239.1.9:443 tcp S seq 7 ttl 63"));
    let back = format!("52.239.1.9:443 > 10.0.9.4:{port} tcp SA seq 90 ack 8");
    assert_eq!(
        pass(&mut appliance, 1, &back).unwrap(),
        "52.239.1.9:443 > 10.0.0.4:50001 tcp SA seq 90 ack 8 ttl 63"
    );
    assert_eq!(
        appliance.log()[0].to_string(),
        format!(
            "10.0.0.4:50001 > 52.239.1.9:443 tcp as 10.0.9.4:{port}, 1 packets out, 1 back, open"
        )
    );
}

#[test]
fn udp_icmp_and_others_return() {
    let mut appliance = translating();
    assert!(pass(&mut appliance, 0, "10.0.0.4:5 > 8.8.8.8:53 udp len 9").is_some());
    let port = port(&appliance);
    let back = format!("8.8.8.8:53 > 10.0.9.4:{port} udp len 30");
    let wanted = "8.8.8.8:53 > 10.0.0.4:5 udp len 30 ttl 63";
    assert_eq!(pass(&mut appliance, 0, &back).unwrap(), wanted);

    let mut appliance = translating();
    assert!(pass(&mut appliance, 0, "10.0.0.4 > 8.8.8.8 icmp echo id 7 seq 1").is_some());
    let id = self::port(&appliance);
    let back = format!("8.8.8.8 > 10.0.9.4 icmp reply id {id} seq 1");
    let wanted = "8.8.8.8 > 10.0.0.4 icmp reply id 7 seq 1 ttl 63";
    assert_eq!(pass(&mut appliance, 0, &back).unwrap(), wanted);

    let mut appliance = translating();
    assert!(pass(&mut appliance, 0, "10.0.0.4 > 8.8.8.8 ip-47 len 8").is_some());
    let wanted = "8.8.8.8 > 10.0.0.4 ip-47 len 8 ttl 63";
    assert_eq!(pass(&mut appliance, 0, "8.8.8.8 > 10.0.9.4 ip-47 len 8").unwrap(), wanted);
}

/// T-21, INV-mapping-unique: one identifier, or one port, at two clients is two at the remote.
#[test]
fn clients_with_equal_ports_stay_apart() {
    let mut appliance = translating();
    for client in 4..8 {
        let line = format!("10.0.0.{client}:5 > 8.8.8.8:53 udp");
        assert!(pass(&mut appliance, 0, &line).is_some());
        assert!(
            pass(&mut appliance, 0, &format!("10.0.0.{client} > 8.8.8.8 icmp echo id 5")).is_some()
        );
    }
    let mut external: Vec<_> =
        appliance.log().iter().map(|record| (record.protocol, record.external)).collect();
    external.sort();
    external.dedup();
    assert_eq!(external.len(), 8);
}

/// INV-unsolicited-dropped, INV-other-remote-dropped.
#[test]
fn unsolicited_packets_are_dropped() {
    let mut appliance = translating();
    pass(&mut appliance, 0, "10.0.0.4:5 > 8.8.8.8:53 udp");
    let port = port(&appliance);
    for line in [
        format!("8.8.8.8:54 > 10.0.9.4:{port} udp"),
        format!("9.9.9.9:53 > 10.0.9.4:{port} udp"),
        format!("8.8.8.8:53 > 10.0.9.4:{port} tcp S"),
        "8.8.8.8 > 10.0.9.4 icmp echo id 1".to_owned(),
        "8.8.8.8 > 10.0.9.4 icmp reply id 1".to_owned(),
        "10.0.0.4:5 > 8.8.8.8:80 tcp A".to_owned(),
        "8.8.8.8 > 10.0.9.4 udp len 8 frag id 1 offset 8".to_owned(),
    ] {
        assert_eq!(pass(&mut appliance, 0, &line), None, "{line}");
    }
    assert_eq!(appliance.counters().no_flow, 7);
    assert_eq!(appliance.log().len(), 1, "and it left no trace");
}

/// T-22, T-23, T-25: translated outside and inside, whole or cut, and only about flows.
#[test]
fn errors_reach_the_flows_initiator() {
    let mut appliance = translating();
    pass(&mut appliance, 0, "10.0.0.4:5 > 8.8.8.8:53 udp len 100");
    let port = port(&appliance);
    for quote in ["", "quote 8 "] {
        let line = format!(
            "1.1.1.1 > 10.0.9.4 icmp unreachable host {quote}about 10.0.9.4:{port} > 8.8.8.8:53 udp len 100 ttl 60"
        );
        let wanted = format!(
            "1.1.1.1 > 10.0.0.4 icmp unreachable host {quote}ttl 63 about 10.0.0.4:5 > 8.8.8.8:53 udp len 100 ttl 60"
        );
        let out = pass(&mut appliance, 0, &line).unwrap();
        // Of a quote that is cut only the length of what is there can be read.
        assert_eq!(out, if quote.is_empty() { wanted } else { wanted.replace("len 100 ", "") });
    }
    // The client says that nobody listens: the remote must see the appliance.
    let line = "10.0.0.4 > 8.8.8.8 icmp unreachable port about 8.8.8.8:53 > 10.0.0.4:5 udp len 7";
    let wanted = format!(
        "10.0.9.4 > 8.8.8.8 icmp unreachable port ttl 63 about 8.8.8.8:53 > 10.0.9.4:{port} udp len 7"
    );
    assert_eq!(pass(&mut appliance, 0, line).unwrap(), wanted);
    let stray = "1.1.1.1 > 10.0.9.4 icmp unreachable host about 10.0.9.4:1 > 8.8.8.8:53 udp";
    assert_eq!(pass(&mut appliance, 0, stray), None);
    let spoilt = format!(
        "1.1.1.1 > 10.0.9.4 icmp unreachable host bad-checksum about 10.0.9.4:{port} > 8.8.8.8:53 udp"
    );
    assert_eq!(pass(&mut appliance, 0, &spoilt), None);
    assert_eq!((appliance.counters().no_flow, appliance.counters().invalid), (1, 1));
}

/// T-26: the sender of a packet whose time is up hears so, and no flow is made.
#[test]
fn time_runs_out_at_the_appliance() {
    let mut appliance = translating();
    let line = "10.0.0.4:5 > 8.8.8.8:53 udp len 3 ttl 1";
    assert_eq!(
        pass(&mut appliance, 0, line).unwrap(),
        "10.0.9.4 > 10.0.0.4 icmp time-exceeded about 10.0.0.4:5 > 8.8.8.8:53 udp len 3 ttl 1"
    );
    // INV-last-hop-ends: never about an error or a later fragment.
    for line in [
        "10.0.0.4 > 8.8.8.8 icmp unreachable port ttl 1 about 8.8.8.8:53 > 10.0.0.4:5 udp",
        "10.0.0.4 > 8.8.8.8 udp len 8 ttl 1 frag id 1 offset 8",
    ] {
        assert_eq!(pass(&mut appliance, 0, line), None);
    }
    assert_eq!((appliance.counters().ttl_expired, appliance.log().len()), (3, 0));
}

/// T-28, INV-fragment-follows-first, INV-early-fragment-dropped, INV-fragment-checksum-right:
/// fragments follow their first one, and what is put together again has a right checksum.
#[test]
fn fragments_are_translated_as_one_datagram() {
    let mut appliance = translating();
    let parts = fragments(&bytes("10.0.0.4:5 > 8.8.8.8:53 udp len 2000"), 600, 77);
    assert_eq!(appliance.forward(Time(0), parts[1].clone()), None, "before its first one");
    let mut whole = Vec::new();
    for part in &parts {
        let out = appliance.forward(Time(0), part.clone()).unwrap();
        let headers = Headers::parse(&out).unwrap();
        assert_eq!(headers.source, OWN);
        whole.extend_from_slice(&out[20..]);
    }
    // Under one header again, the whole is what would have come of the datagram in one piece.
    let port = port(&appliance);
    let line = format!("10.0.9.4:{port} > 8.8.8.8:53 udp len 2000");
    assert_eq!(whole, bytes(&line)[20..]);
    assert_eq!(appliance.forward(Time(0), parts[1].clone()), None, "a duplicate");
}

/// S-17 behind an appliance: the reset of the near leg becomes the reset of the far one, and the
/// log says so.
#[test]
fn reset_passes_and_ends_flow() {
    let mut appliance = translating();
    for line in [
        "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 1",
        "10.0.0.4:50001 > 52.239.1.9:443 tcp A seq 2 ack 91",
    ] {
        pass(&mut appliance, 0, line);
        let port = port(&appliance);
        let back = format!("52.239.1.9:443 > 10.0.9.4:{port} tcp SA seq 90 ack 2");
        pass(&mut appliance, 0, &back);
    }
    let port = port(&appliance);
    assert_eq!(
        pass(&mut appliance, 0, "10.0.0.4:50001 > 52.239.1.9:443 tcp RA seq 2 ack 91").unwrap(),
        format!("10.0.9.4:{port} > 52.239.1.9:443 tcp RA seq 2 ack 91 ttl 63")
    );
    assert_eq!(appliance.log()[0].ended, Some(Cause::Reset));
    // INV-syn-opens-anew: the same client port at once again is another flow, and another line.
    assert!(pass(&mut appliance, 1, "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 500").is_some());
    let ended: Vec<_> = appliance.log().iter().map(|record| record.ended).collect();
    assert_eq!(ended, [Some(Cause::Reset), None]);
}

#[test]
fn invalid_segment_is_dropped() {
    let mut appliance = translating();
    pass(&mut appliance, 0, "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 1");
    assert_eq!(pass(&mut appliance, 0, "10.0.0.4:50001 > 52.239.1.9:443 tcp . seq 2"), None);
    assert_eq!(appliance.counters().invalid, 1);
}

#[test]
fn a_flow_that_is_silent_ends() {
    let mut appliance = translating();
    pass(&mut appliance, 0, "10.0.0.4:5 > 8.8.8.8:53 udp");
    appliance.expire(Time(29 * SECOND));
    assert_eq!(appliance.log()[0].ended, None);
    appliance.expire(Time(30 * SECOND));
    assert_eq!(appliance.log()[0].ended, Some(Cause::Idle));
}

/// INV-refused-only-when-full, T-34: no live flow is thrown out for a new one.
#[test]
fn full_table_refuses_only_new_flows() {
    let mut appliance = translating();
    for number in 0..=Appliance::CAPACITY {
        let (high, low) = (number / 60_000, number % 60_000 + 1);
        let line = format!("10.0.{high}.4:{low} > 8.8.8.8:53 udp");
        assert_eq!(pass(&mut appliance, 0, &line).is_some(), number < Appliance::CAPACITY);
    }
    assert_eq!(appliance.counters().exhausted, 1);
    assert!(pass(&mut appliance, 1, "10.0.0.4:1 > 8.8.8.8:53 udp").is_some());
}

/// U-07, R-24.
#[test]
fn plain_forwarder_changes_only_the_ttl() {
    let mut appliance = Appliance::forwarding(OWN);
    for line in [
        "10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 7",
        "52.239.1.9:443 > 10.0.0.4:50001 tcp SA seq 90 ack 8",
        "10.0.0.4:5 > 8.8.8.8:53 tcp A seq 5",
        "10.0.0.4 > 8.8.8.8 udp len 8 frag id 1 offset 8",
        "10.0.0.4 > 8.8.8.8 icmp reply id 7",
    ] {
        let wanted: Packet = format!("{line} ttl 63").parse().unwrap();
        assert_eq!(pass(&mut appliance, 0, line).unwrap(), wanted.to_string());
    }
    let error = "1.1.1.1 > 10.0.0.4 icmp unreachable host about 10.0.0.4:1 > 8.8.8.8:53 udp";
    assert!(pass(&mut appliance, 0, error).is_some());
    assert_eq!(
        appliance.log()[0].to_string(),
        "10.0.0.4:50001 > 52.239.1.9:443 tcp, 1 packets out, 1 back, open"
    );
}

/// A download through the appliance and two bad links, with real TCP at both ends.
#[test]
fn tcp_runs_through() {
    let (client, server) = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(52, 239, 1, 9));
    let mut appliance = translating();
    let mut hosts =
        [Host::new(HostSettings::new(client, 1)), Host::new(HostSettings::new(server, 2))];
    let lossy = LinkSettings { loss: 50, ..LinkSettings::clean(Duration::from_millis(2)) };
    // Both hosts to the appliance, and back.
    let mut up = [Link::new(lossy, 3), Link::new(lossy, 4)];
    let mut down = [Link::new(lossy, 5), Link::new(lossy, 6)];
    hosts[1].listen(80, App::Http);
    let request = Request::get("stdata", "/photo?bytes=50000").write();
    let id = hosts[0].connect(Time(0), SocketAddrV4::new(server, 80), request, None).unwrap();
    for millisecond in 0..60_000 {
        let now = Time(millisecond * 1_000_000);
        for link in &mut up {
            while let Some(packet) = link.poll(now) {
                let Some(packet) = appliance.forward(now, packet) else { continue };
                let to = usize::from(Headers::parse(&packet).unwrap().destination == server);
                down[to].send(now, packet);
            }
        }
        for ((host, up), down) in hosts.iter_mut().zip(&mut up).zip(&mut down) {
            while let Some(packet) = down.poll(now) {
                host.receive(packet);
            }
            host.poll(now);
            while let Some(packet) = host.transmit() {
                up.send(now, packet);
            }
        }
    }
    assert_eq!(hosts[0].connection(id).unwrap().status, Status::Finished);
    assert_eq!(*hosts[1].access_log()[0].call.client.ip(), OWN, "the server saw the appliance");
    assert_eq!(appliance.log().len(), 1);
}

proptest! {
    /// INV-private-source-stays-inside in small, INV-packets-conserved: whatever comes, a private
    /// source but its own never leaves a translating appliance towards a public address, checksums
    /// keep their worth, and every packet is counted once.
    #[test]
    fn no_client_address_leaks_packets_conserved(
        packets in prop::collection::vec(
            prop_oneof![
                strategies::packet().prop_map(|packet| packet.build().to_vec()),
                strategies::adversarial(),
            ],
            1..40,
        ),
    ) {
        let mut appliance = translating();
        for (index, packet) in packets.into_iter().enumerate() {
            let now = Time(u64::try_from(index).unwrap() * SECOND / 10);
            let before = Headers::parse(&packet).map(|headers| Checksums::of(&packet, &headers));
            if let Some(out) = appliance.forward(now, packet.into()) {
                let headers = Headers::parse(&out).unwrap();
                if AddressClass::of(headers.destination) == AddressClass::Public {
                    let private = AddressClass::of(headers.source) == AddressClass::Private;
                    prop_assert!(!private || headers.source == OWN, "{headers}");
                }
                let checksums = Checksums::of(&out, &headers);
                prop_assert!(checksums.header);
                if before.unwrap().transport != TransportChecksum::Wrong {
                    prop_assert!(checksums.none_wrong(), "{headers}");
                }
            }
            let counters = appliance.counters();
            // A packet whose time ran out may have been answered or not.
            let ends = counters.forwarded + counters.ttl_expired + counters.malformed
                + counters.no_flow + counters.invalid + counters.exhausted;
            prop_assert_eq!(counters.received, ends);
        }
    }
}

use vnetem_packet::{Headers, Malformed, SiteId, SubnetId, TcpFlags, VnetId};

use crate::packets::{Body, Packet};

fn shown(body: Body) -> String {
    Headers::parse(&Packet::new("10.0.0.4", "52.239.1.9", body).bytes()).unwrap().to_string()
}

#[test]
fn packets_read_as_in_a_trace() {
    let syn = Body::Tcp {
        ports: [50_001, 443],
        sequence: 1,
        acknowledgement: 0,
        flags: 2,
        options: vec![],
        data: vec![7; 40],
    };
    let udp = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![] };
    let icmp = |message| Body::Icmp { message, code: 0, rest: [0, 7, 0, 1], data: vec![] };
    assert_eq!(shown(syn.clone()), "10.0.0.4:50001 > 52.239.1.9:443 tcp S");
    assert_eq!(shown(udp), "10.0.0.4:50001 > 52.239.1.9:53 udp");
    assert_eq!(shown(icmp(8)), "10.0.0.4:7 > 52.239.1.9:0 icmp request");
    assert_eq!(shown(icmp(0)), "10.0.0.4:0 > 52.239.1.9:7 icmp reply");
    assert_eq!(shown(icmp(3)), "10.0.0.4 > 52.239.1.9 icmp error");
    assert_eq!(shown(icmp(9)), "10.0.0.4 > 52.239.1.9 icmp");
    assert_eq!(shown(Body::Other { protocol: 47, data: vec![] }), "10.0.0.4 > 52.239.1.9 ip-47");
    let parts = Packet::new("10.0.0.4", "52.239.1.9", syn).fragments(24);
    let [first, later] =
        [&parts[0], &parts[1]].map(|bytes| Headers::parse(bytes).unwrap().to_string());
    assert_eq!(first, "10.0.0.4:50001 > 52.239.1.9:443 tcp S fragment 0");
    assert_eq!(later, "10.0.0.4 > 52.239.1.9 tcp fragment 24");
}

#[test]
fn flags_print_from_lowest_bit() {
    let shown = [0x00, 0x02, 0x12, 0x10, 0x14, 0x04, 0x11, 0x18, 0x3F, 0xC2]
        .map(|flags| TcpFlags(flags).to_string());
    assert_eq!(shown, [".", "S", "SA", "A", "RA", "R", "FA", "PA", "FSRPAU", "SEC"]);
}

#[test]
fn numbers_and_causes_are_named() {
    let shown = [VnetId(1).to_string(), SubnetId(2).to_string(), SiteId(3).to_string()];
    assert_eq!(shown, ["vnet#1", "subnet#2", "site#3"]);
    assert_eq!(Malformed::TotalLength.to_string(), Malformed::TotalLength.name());
}

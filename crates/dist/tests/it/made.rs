//! A cloud network and its captures, made by rule.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use serde_json::{Value, json};

const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers";

/// Where the account `stlogs` answers, and a host of the internet.
const STORAGE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(20, 60, 26, 10), 443);
const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 41, 0, 4), 443);

/// When the first packet was captured, in nanoseconds since 1970.
const START: u64 = 1_700_000_000_250_000_000;

/// How large a day is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Day {
    /// Virtual networks, each behind its own NAT gateway.
    pub(crate) vnets: u16,
    /// Hosts of a network. Each has a connection to storage and one to the internet.
    pub(crate) hosts: u16,
    pub(crate) seconds: u64,
    /// Segments that each connection has in a second, each with its acknowledgement.
    pub(crate) segments: u16,
    /// Bytes that a segment carries.
    pub(crate) payload: u16,
    /// Captures that the networks are spread over.
    pub(crate) files: u16,
}

impl Day {
    /// Writes `estate.json` and the folder `day` of captures.
    pub(crate) fn write(self, folder: &Path) {
        fs::create_dir_all(folder.join("day")).unwrap();
        let model = serde_json::to_vec(&self.model()).unwrap();
        fs::write(folder.join("estate.json"), model).unwrap();
        for file in 0..self.files {
            self.capture(&folder.join(format!("day/{file:03}.pcap")), file);
        }
    }

    /// Writes flow logs of every network, as Azure lays them out: a file for each hour.
    pub(crate) fn write_logs(self, folder: &Path, hours: u16) {
        for vnet in 0..self.vnets {
            for hour in 0..hours {
                let folder = folder.join(format!("logs/net-{vnet}/h={hour:02}"));
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("PT1H.json"), self.log(vnet, hour).to_string()).unwrap();
            }
        }
    }

    /// The log of an hour. Connections that began in the hour before go on, or end.
    fn log(self, vnet: u16, hour: u16) -> Value {
        let millis = 1_700_000_000_000 + u64::from(hour) * 3_600_000;
        let mut lines = Vec::new();
        for host in 0..self.hosts {
            let near = address(vnet, host);
            for segment in 0..self.segments {
                for far in [STORAGE, FAR] {
                    let states = [("B", hour), ("C", hour.wrapping_sub(1)), ("E", hour / 2)];
                    for (state, began) in states.into_iter().filter(|(_, began)| *began <= hour) {
                        let port = 10_000 + began * 997 + segment;
                        lines.push(format!(
                            "{millis},{near},{},{port},{},6,O,{state},NX,3,300,4,4000",
                            far.ip(),
                            far.port()
                        ));
                    }
                }
            }
            lines.push(format!("{millis},{near},203.0.113.9,9,22,6,O,D,NX,0,0,0,0"));
            lines.push(format!("{millis},172.20.0.9,{near},9,22,6,I,B,NX,1,40,1,40"));
        }
        json!({ "records": [ {
            "time": "2026-01-01T00:00:00Z",
            "macAddress": "0022",
            "targetResourceID": format!("{GROUP}/Microsoft.Network/virtualNetworks/net-{vnet}"),
            "flowRecords": { "flows": [ { "aclID": "a", "flowGroups": [
                { "rule": "r", "flowTuples": lines } ] } ] },
        } ] })
    }

    fn model(self) -> Value {
        let mut all = vec![json!({
            "id": format!("{GROUP}/Microsoft.Storage/storageAccounts/stlogs"),
            "location": "westeurope",
            "properties": { "networkAcls": { "defaultAction": "Allow" } },
        })];
        for vnet in 0..self.vnets {
            let [high, low] = vnet.to_be_bytes();
            let ip = format!("{GROUP}/Microsoft.Network/publicIPAddresses/ip-{vnet}");
            let nat = format!("{GROUP}/Microsoft.Network/natGateways/nat-{vnet}");
            let public = Ipv4Addr::new(45, 9, high, low).to_string();
            all.extend([
                json!({ "id": ip, "ipAddress": public, "sku": { "name": "Standard" } }),
                json!({ "id": nat, "publicIpAddresses": [ { "id": ip } ] }),
                json!({
                    "id": format!("{GROUP}/Microsoft.Network/virtualNetworks/net-{vnet}"),
                    "location": "northeurope",
                    "addressSpace": { "addressPrefixes": [range(vnet, 16)] },
                    "subnets": [ {
                        "name": "app",
                        "addressPrefix": range(vnet, 22),
                        "natGateway": { "id": nat },
                    } ],
                }),
            ]);
        }
        Value::from(all)
    }

    /// Writes what the hosts of every n-th network send and get.
    fn capture(self, path: &Path, file: u16) {
        let mut out = BufWriter::new(File::create(path).unwrap());
        // Nanoseconds, bare IPv4.
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 0xffff, 101] {
            out.write_all(&word.to_le_bytes()).unwrap();
        }
        let vnets = (0..self.vnets).filter(|vnet| vnet % self.files == file);
        let hosts: Vec<Ipv4Addr> =
            vnets.flat_map(|vnet| (0..self.hosts).map(move |host| address(vnet, host))).collect();
        let ends: Vec<_> = hosts
            .iter()
            .flat_map(|host| [(host, 50_000, STORAGE), (host, 50_001, FAR)])
            .map(|(host, port, far)| (SocketAddrV4::new(*host, port), far))
            .collect();
        let mut time = START + u64::from(file);
        for &(near, far) in &ends {
            record(&mut out, time, &segment(near, far, SYN, 100, 0, 0));
            record(&mut out, time + 1_000, &segment(far, near, SYN | ACK, 900, 101, 0));
            record(&mut out, time + 2_000, &segment(near, far, ACK, 101, 901, 0));
            time += 10_000;
        }
        // What no host sends: no packet, no whole header, no flow, no host.
        record(&mut out, time, &[0x45, 0, 0, 20, 0, 0]);
        let mut headless = segment(FAR, STORAGE, SYN, 5, 0, 0);
        headless[0] = 0x4f;
        record(&mut out, time, &headless);
        record(&mut out, time, &segment(FAR, ends[0].0, ACK, 5, 5, 0));
        record(&mut out, time, &segment(FAR, STORAGE, SYN, 5, 0, 0));
        let mut sent = 101;
        for second in 0..self.seconds {
            let mut time = START + second * 1_000_000_000 + 500_000_000 + u64::from(file);
            for part in 0..self.segments {
                let at = sent + u32::from(part) * u32::from(self.payload);
                for &(near, far) in &ends {
                    let bytes = segment(near, far, ACK, at, 901, self.payload);
                    record(&mut out, time, &bytes);
                    let next = at + u32::from(self.payload);
                    // A mirror port may deliver late.
                    record(&mut out, time - 50, &segment(far, near, ACK, 901, next, 0));
                    time += 100;
                }
            }
            sent += u32::from(self.segments) * u32::from(self.payload);
        }
        out.flush().unwrap();
    }
}

fn range(vnet: u16, length: u8) -> String {
    format!("{}/{length}", Ipv4Addr::from(address(vnet, 0).to_bits() & 0xffff_0000))
}

/// Networks have a /16 each, from 10.0.0.0 on; the platform keeps the first addresses of a subnet.
fn address(vnet: u16, host: u16) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + (u32::from(vnet) << 16) + 4 + u32::from(host))
}

const SYN: u8 = 2;
const ACK: u8 = 16;

fn segment(
    from: SocketAddrV4,
    to: SocketAddrV4,
    flags: u8,
    sequence: u32,
    acknowledges: u32,
    payload: u16,
) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((40 + payload).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(from.ip().octets());
    bytes.extend(to.ip().octets());
    let sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledges.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.resize(40 + usize::from(payload), 7);
    bytes
}

fn record(out: &mut impl Write, time: u64, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap();
    let seconds = u32::try_from(time / 1_000_000_000).unwrap();
    let nanos = u32::try_from(time % 1_000_000_000).unwrap();
    for word in [seconds, nanos, length, length] {
        out.write_all(&word.to_le_bytes()).unwrap();
    }
    out.write_all(bytes).unwrap();
}

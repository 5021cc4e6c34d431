//! Measures what a packet costs before anything is decided about it: parse, rewrite, checksums.
//!
//! One iteration handles a ring of 64 packets, so that no packet waits for what was just written to
//! it. Read the elements per second, or divide the time by 64.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may fail by panic")]

use std::hint::black_box;
use std::net::SocketAddrV4;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vnetem_packet::{Headers, Reset, Rewrite, checksum, rewrite, rewrite_by};

const RING: u16 = 64;

/// Makes a TCP segment of `length` bytes in all, with right checksums.
fn tcp(port: u16, length: u16) -> Vec<u8> {
    let source = SocketAddrV4::new([10, 0, 0, 4].into(), port);
    let destination = SocketAddrV4::new([52, 239, 1, 9].into(), 443);
    let mut packet =
        Reset { source, destination, sequence: 7, acknowledgement: Some(9) }.write(1, 64).to_vec();
    packet[33] = 0x10;
    finish(&mut packet, length, 16);
    packet
}

/// Makes a UDP datagram of `length` bytes in all, with right checksums.
fn udp(port: u16, length: u16) -> Vec<u8> {
    let mut packet = tcp(port, 40)[..28].to_vec();
    packet[9] = 17;
    packet[24..26].copy_from_slice(&(length - 20).to_be_bytes());
    finish(&mut packet, length, 6);
    packet
}

/// Fills up to `length`, and computes both checksums. The transport's is at `offset` of its header.
fn finish(packet: &mut Vec<u8>, length: u16, offset: usize) {
    packet.resize(usize::from(length), 0x55);
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[10..12].fill(0);
    let header = !checksum::sum(&packet[..20]);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    packet[20 + offset..22 + offset].fill(0);
    let (ends, _) = packet[12..20].as_chunks::<4>();
    let pseudo = checksum::pseudo_header(ends[0], ends[1], packet[9], length - 20);
    let transport = !checksum::add(pseudo, checksum::sum(&packet[20..]));
    packet[20 + offset..22 + offset].copy_from_slice(&transport.to_be_bytes());
}

fn rings() -> [(&'static str, Vec<Vec<u8>>); 4] {
    let ring = |packet: fn(u16, u16) -> Vec<u8>, length| {
        (0..RING).map(|port| packet(50_000 + port, length)).collect()
    };
    [
        ("tcp-40", ring(tcp, 40)),
        ("tcp-1440", ring(tcp, 1440)),
        ("udp-46", ring(udp, 46)),
        ("udp-1440", ring(udp, 1440)),
    ]
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(u64::from(RING)));
    for (name, ring) in rings() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for packet in &ring {
                    black_box(Headers::parse(black_box(packet)).unwrap());
                }
            });
        });
    }
}

fn rewriting(criterion: &mut Criterion) {
    let to = Rewrite { source: Some("20.1.1.1:1024".parse().unwrap()), destination: None };
    let mut group = criterion.benchmark_group("rewrite");
    group.throughput(Throughput::Elements(u64::from(RING)));
    for (name, ring) in rings() {
        let mut ring: Vec<_> = ring
            .into_iter()
            .map(|packet| {
                let headers = Headers::parse(&packet).unwrap();
                (packet, headers, to.delta(&headers))
            })
            .collect();
        group.bench_function(BenchmarkId::new("computed", name), |bencher| {
            bencher.iter(|| {
                for (packet, headers, _) in &mut ring {
                    rewrite(black_box(packet), headers, to, 63);
                }
            });
        });
        group.bench_function(BenchmarkId::new("stored", name), |bencher| {
            bencher.iter(|| {
                for (packet, headers, delta) in &mut ring {
                    rewrite_by(black_box(packet), headers, to, *delta, 63);
                }
            });
        });
    }
}

/// Measures what forwarding would cost if payloads were summed, which is the reason for RFC 1624.
fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    group.throughput(Throughput::Elements(u64::from(RING)));
    for (name, ring) in rings() {
        group.bench_function(BenchmarkId::new("sum", name), |bencher| {
            bencher.iter(|| {
                for packet in &ring {
                    black_box(checksum::sum(black_box(packet)));
                }
            });
        });
    }
}

criterion_group!(benches, parse, rewriting, checksums);
criterion_main!(benches);

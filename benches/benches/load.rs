//! Measures the whole data plane: the modes of `vnetem bench` under their names, on the same loads.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may fail by panic")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vnetem::Protocol;
use vnetem_load::{Estate, FrameSize, Load, Shape, TogglePart};

const FLOWS: [u32; 3] = [1_000, 100_000, 1_000_000];

fn load(shape: Shape) -> Load {
    let mut load = Load::new(shape).unwrap();
    load.open(&mut |work| work()).unwrap();
    load
}

fn shape(flows: u32) -> Shape {
    Shape { flows, affected: flows / 64, ..Shape::default() }
}

/// Adds up how long the work took.
fn clock(spent: &mut Duration) -> impl FnMut(&mut dyn FnMut()) {
    move |work| {
        let start = Instant::now();
        work();
        *spent += start.elapsed();
    }
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    let mut shapes = Vec::new();
    for flows in FLOWS {
        for protocol in [Protocol::TCP, Protocol::UDP] {
            for batch in [1, 32] {
                shapes.push(Shape { protocol, batch, ..shape(flows) });
            }
        }
    }
    for size in [FrameSize::Bytes(512), FrameSize::Bytes(1500), FrameSize::Imix] {
        shapes.push(Shape { size, ..shape(1_000) });
    }
    shapes.push(Shape { endpoint: true, ..shape(1_000) });
    for shape in shapes {
        let mut load = load(shape);
        let packets = load.forward(&mut |work| work()).unwrap();
        let endpoint = if shape.endpoint { "/endpoint" } else { "" };
        let Shape { protocol, size, flows, batch, .. } = shape;
        let name = format!("{protocol}/{size}/{flows}/batch-{batch}{endpoint}");
        group.throughput(Throughput::Elements(packets)).bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    load.forward(&mut clock(&mut spent)).unwrap();
                }
                spent
            });
        });
    }
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for (flows, routes) in [(1_000, 0), (100_000, 0), (100_000, 40_000), (1_000_000, 0)] {
        let mut load = load(Shape { routes, ..shape(flows) });
        load.expire(&mut |work| work());
        let name = format!("{flows}/routes-{routes}");
        group.throughput(Throughput::Elements(flows.into())).bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    load.open(&mut clock(&mut spent)).unwrap();
                    load.expire(&mut |work| work());
                }
                spent
            });
        });
    }
}

/// Measures the closing alone: 1,000 flows of one subnet, in tables of several sizes.
fn toggle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("toggle");
    group.sample_size(10);
    for flows in [10_000, 100_000, 1_000_000] {
        let mut load = load(Shape { affected: 1_000, ..shape(flows) });
        let name = format!("1000-of/{flows}");
        group.throughput(Throughput::Elements(1_000)).bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let mut clock = clock(&mut spent);
                    load.toggle(&mut |part, work| {
                        if part == TogglePart::Close { clock(work) } else { work() }
                    })
                    .unwrap();
                }
                spent
            });
        });
    }
}

fn expire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expire");
    group.sample_size(10);
    for flows in FLOWS {
        let mut load = load(shape(flows));
        load.expire(&mut |work| work());
        group.throughput(Throughput::Elements(flows.into())).bench_function(
            flows.to_string(),
            |bencher| {
                bencher.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        load.open(&mut |work| work()).unwrap();
                        load.expire(&mut clock(&mut spent));
                    }
                    spent
                });
            },
        );
    }
}

/// Measures connections from SYN to the last acknowledgement.
fn connect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connect");
    group.sample_size(10);
    for flows in FLOWS {
        let mut load = Load::connecting(shape(flows)).unwrap();
        let mut made = 0;
        let mut connections = 0;
        while made < 2 * u64::from(flows) {
            connections = load.connect(&mut |work| work()).unwrap();
            made += connections;
        }
        group.throughput(Throughput::Elements(connections)).bench_function(
            flows.to_string(),
            |bencher| {
                bencher.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        load.connect(&mut clock(&mut spent)).unwrap();
                    }
                    spent
                });
            },
        );
    }
}

/// Measures an edit, its commit and its apply, for networks of many sizes.
fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for (vnets, routes) in [(1, 0), (1_000, 0), (30_000, 0), (1, 100_000)] {
        let mut estate = Estate::new(vnets, routes, &mut |_, work| work()).unwrap();
        for bulk in [false, true] {
            let kind = if bulk { "bulk-edit" } else { "toggle" };
            group.bench_function(format!("{kind}/{vnets}/routes-{routes}"), |bencher| {
                bencher.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        let mut clock = clock(&mut spent);
                        match bulk {
                            false => estate.toggle(&mut clock).unwrap(),
                            true => estate.bulk_edit(&mut clock).unwrap(),
                        }
                    }
                    spent
                });
            });
        }
    }
}

criterion_group!(benches, forward, open, toggle, expire, connect, commit);
criterion_main!(benches);

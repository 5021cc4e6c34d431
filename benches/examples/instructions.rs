//! Runs a load whose instructions are counted. `.ci/instructions` runs it under valgrind, once with
//! the work and once without, and takes the difference.
//!
//! Arguments: `forward-tcp-1`, `forward-tcp-32`, `forward-udp-32`, `open`, `toggle-2k` or another
//! number of thousands, and `with` or `without`. It prints the number of packets, or flows, of the
//! work.

#![allow(clippy::unwrap_used, clippy::panic, reason = "wrong use ends it")]

use vnetem::Protocol;
use vnetem_load::{Load, Shape, TogglePart};

/// Enough rings of packets, and flows, that the start does not count.
const RINGS: u32 = 20;
const FLOWS: u32 = 1_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap();
    let with = arguments.next().unwrap() == "with";
    let shape = |flows| Shape { flows, affected: 1_000, ..Shape::default() };
    let count = match name.as_str() {
        "forward-tcp-1" => forward(Shape { batch: 1, ..shape(FLOWS) }, with),
        "forward-tcp-32" => forward(shape(FLOWS), with),
        "forward-udp-32" => forward(Shape { protocol: Protocol::UDP, ..shape(FLOWS) }, with),
        "open" => open(shape(5_000), with),
        _ => {
            let thousands = name.strip_prefix("toggle-").and_then(|name| name.strip_suffix('k'));
            match thousands.map(str::parse::<u32>) {
                Some(Ok(thousands)) => toggle(shape(thousands * 1000), with),
                _ => panic!("no load {name}"),
            }
        }
    };
    println!("{count}");
}

/// Does the work, or leaves it out.
fn maybe(with: bool) -> impl FnMut(&mut dyn FnMut()) {
    move |work| {
        if with {
            work();
        }
    }
}

fn forward(shape: Shape, with: bool) -> u64 {
    let mut load = Load::new(shape).unwrap();
    load.open(&mut |work| work()).unwrap();
    let ring = load.forward(&mut |work| work()).unwrap();
    for _ in 0..RINGS {
        // Without the work nothing is forwarded, which is an error.
        let passed = load.forward(&mut maybe(with));
        assert_eq!(passed.is_ok(), with);
    }
    ring * u64::from(RINGS)
}

/// Opens UDP flows by their first packets, so that nothing else has to follow. Making the packets
/// is counted too.
fn open(shape: Shape, with: bool) -> u64 {
    let mut load = Load::new(Shape { protocol: Protocol::UDP, ..shape }).unwrap();
    let flows = load.open(&mut |work| work()).unwrap();
    load.expire(&mut |work| work());
    if with {
        load.open(&mut |work| work()).unwrap();
    }
    flows
}

/// Closes 1,000 flows, whatever else there is.
fn toggle(shape: Shape, with: bool) -> u64 {
    let mut load = Load::new(shape).unwrap();
    load.open(&mut |work| work()).unwrap();
    let closed = load.toggle(&mut |part, work| {
        if part != TogglePart::Close {
            return work();
        }
        if with {
            work();
        }
        // What follows would differ between both runs, and is not to be counted.
        println!("1000");
        std::process::exit(0);
    });
    panic!("nothing was closed: {closed:?}");
}

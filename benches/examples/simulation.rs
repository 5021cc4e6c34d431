//! Measures how fast virtual time runs with async hosts, beside turmoil on the same load, bulk
//! transfer, and the memory of idle hosts:
//!
//! ```text
//! cargo run --release -p vnetem-benches --example simulation
//! ```
//!
//! Every host asks its own echo server ten times a second over one connection. Seconds are
//! processor time. turmoil makes no packets of its bytes, so its figures are of less work.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vnetem::{Network, Settings, SubnetId};
use vnetem_sim::{BoxError, LinkSettings, Place, Sim, TcpListener, TcpStream};

const PAUSE: Duration = Duration::from_millis(100);
/// The least time of a measurement.
const WORTH: Duration = Duration::from_millis(500);

fn main() -> Result<(), BoxError> {
    println!("idle host: {} bytes of memory", idle(10_000)?);
    println!("pairs  vnetem virtual s/s  turmoil virtual s/s   ratio");
    for hosts in [1, 10, 100, 1000] {
        let ours = rate(16, &|seconds| vnetem(hosts, seconds))?;
        let theirs =
            if hosts <= 100 { Some(rate(1, &|seconds| turmoil(hosts, seconds))?) } else { None };
        let (shown, ratio) = match theirs {
            Some(theirs) => (format!("{theirs:.1}"), format!("{:.0}", ours / theirs)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!("{hosts:>5} {ours:>19.1} {shown:>20} {ratio:>7}");
    }
    println!("bulk over a clean link: {:.0} MB/s", bulk(1 << 30)?);
    Ok(())
}

/// Returns the virtual seconds in a real one. It runs longer, from `first` on, until the
/// measurement takes long enough.
fn rate(first: u32, run: &dyn Fn(u32) -> Result<(), BoxError>) -> Result<f64, BoxError> {
    let mut seconds = first;
    loop {
        let start = processor_time()?;
        run(seconds)?;
        let real = processor_time()?.saturating_sub(start);
        if real >= WORTH {
            return Ok(f64::from(seconds) / real.as_secs_f64());
        }
        seconds *= 4;
    }
}

fn network() -> Result<(Network, SubnetId), BoxError> {
    let mut network = Network::new();
    let vnet = network.add_vnet("alpha", &["10.0.0.0/8".parse()?])?;
    let subnet = network.add_subnet(vnet, "web", "10.0.0.0/8".parse()?)?;
    Ok((network, subnet))
}

fn sim() -> Result<(Sim, SubnetId), BoxError> {
    let (network, subnet) = network()?;
    let mut settings = Settings::replayable(1);
    settings.flows.capacity = 4096;
    let mut sim = Sim::with_settings(network, settings, 1);
    sim.set_links(LinkSettings::clean(Duration::from_millis(1)));
    Ok((sim, subnet))
}

fn address(number: u32) -> std::net::Ipv4Addr {
    (0x0a00_0004 + number).into()
}

/// Runs this many clients that ask ten times a second, with an echo server for each.
fn vnetem(hosts: u32, seconds: u32) -> Result<(), BoxError> {
    let (mut sim, subnet) = sim()?;
    for number in 0..hosts {
        let place = Place::Subnet(subnet, address(2 * number));
        sim.host(&format!("server-{number}"), place, || async {
            let listener = TcpListener::bind("0.0.0.0:7").await?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        let _ = stream.write_all(buffer.get(..count).unwrap_or_default()).await;
                    }
                });
            }
        });
    }
    for number in 0..hosts {
        let place = Place::Subnet(subnet, address(2 * number + 1));
        sim.client(&format!("client-{number}"), place, async move {
            let mut stream = TcpStream::connect((address(2 * number), 7)).await?;
            let mut buffer = [0; 64];
            for _ in 0..seconds * 10 {
                stream.write_all(&[1; 64]).await?;
                stream.read_exact(&mut buffer).await?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
    }
    Ok(sim.run()?)
}

/// Runs the same load on turmoil.
fn turmoil(hosts: u32, seconds: u32) -> Result<(), BoxError> {
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(u64::from(seconds) * 2 + 10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(2))
        .build();
    for number in 0..hosts {
        sim.host(format!("server-{number}"), || async {
            let listener = turmoil::net::TcpListener::bind("0.0.0.0:7").await?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        let _ = stream.write_all(buffer.get(..count).unwrap_or_default()).await;
                    }
                });
            }
        });
    }
    for number in 0..hosts {
        sim.client(format!("client-{number}"), async move {
            let server = format!("server-{number}:7");
            let mut stream = turmoil::net::TcpStream::connect(server).await?;
            let mut buffer = [0; 64];
            for _ in 0..seconds * 10 {
                stream.write_all(&[1; 64]).await?;
                stream.read_exact(&mut buffer).await?;
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        });
    }
    sim.run().map_err(|error| error.to_string().into())
}

/// Returns the megabytes in a real second from one host to another.
fn bulk(bytes: usize) -> Result<f64, BoxError> {
    let (mut sim, subnet) = sim()?;
    sim.host("server", Place::Subnet(subnet, address(0)), || async {
        let listener = TcpListener::bind("0.0.0.0:9").await?;
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = vec![0; 1 << 16];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    });
    sim.client("client", Place::Subnet(subnet, address(1)), async move {
        let mut stream = TcpStream::connect("server:9").await?;
        let piece = vec![7; 1 << 16];
        for _ in 0..bytes >> 16 {
            stream.write_all(&piece).await?;
        }
        stream.shutdown().await?;
        let _ = stream.read(&mut [0]).await?;
        Ok(())
    });
    let start = processor_time()?;
    sim.run()?;
    let megabytes = u32::try_from(bytes / 1_000_000)?;
    Ok(f64::from(megabytes) / processor_time()?.saturating_sub(start).as_secs_f64())
}

/// Returns the bytes of memory for each of this many sleeping hosts.
fn idle(hosts: u32) -> Result<u64, BoxError> {
    let (mut sim, subnet) = sim()?;
    let before = resident()?;
    for number in 0..hosts {
        let place = Place::Subnet(subnet, address(number));
        sim.client(&format!("host-{number}"), place, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
    }
    sim.run()?;
    Ok((resident()?.saturating_sub(before)) / u64::from(hosts))
}

/// Returns the processor time of this process.
fn processor_time() -> Result<Duration, BoxError> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Returns the memory of this process in bytes, or 0 where the system does not say.
fn resident() -> Result<u64, BoxError> {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return Ok(0) };
    let pages: u64 = statm.split(' ').nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}

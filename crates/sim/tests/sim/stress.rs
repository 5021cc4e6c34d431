//! Random operations: whatever happens, every task that must go on does, and the run ends.

use core::time::Duration;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use vnetem::control::Scope;
use vnetem_sim::{
    BoxError, HostHandle, LinkSettings, Outcome, Place, Sim, SimError, TcpListener, TcpStream,
};

use crate::azure::{Azure, MILLISECOND, SECOND};

const CLIENTS: u8 = 8;

/// Operations of all clients together; more of them in a long run.
fn operations() -> u64 {
    let wanted = std::env::var("VNETEM_SIM_OPERATIONS").ok();
    wanted.map_or(20_000, |wanted| wanted.parse().expect("VNETEM_SIM_OPERATIONS is a number"))
}

/// SplitMix64.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

async fn echo() -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_keepalive(Some(30 * SECOND));
        HostHandle::current()?.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// What comes back is what was sent, or the connection has ended.
async fn exchange(stream: &mut TcpStream, size: usize) -> io::Result<()> {
    let sent: Vec<u8> = (0..=255).cycle().take(size).collect();
    let mut back = vec![0; size];
    let (mut reader, mut writer) = stream.split();
    let (read, written) = tokio::join!(reader.read_exact(&mut back), writer.write_all(&sent));
    written?;
    read?;
    assert!(sent == back, "other bytes came back");
    Ok(())
}

async fn operate(seed: u64, count: u64) -> Outcome {
    let mut dice = Dice(seed);
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..count {
        let at = usize::try_from(dice.next(open.len().max(1) as u64)).unwrap();
        match dice.next(8) {
            0 | 1 if open.len() < 6 => {
                if let Ok(stream) = TcpStream::connect("stdata:80").await {
                    stream.set_keepalive(Some(30 * SECOND));
                    open.push(stream);
                }
            }
            2..=4 if at < open.len() => {
                let size = usize::try_from(1 + dice.next(20_000)).unwrap();
                if exchange(&mut open[at], size).await.is_err() {
                    drop(open.swap_remove(at));
                }
            }
            5 if at < open.len() => {
                let mut stream = open.swap_remove(at);
                stream.shutdown().await?;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            }
            6 if at < open.len() => drop(open.swap_remove(at)),
            _ => sleep(Duration::from_millis(dice.next(400))).await,
        }
    }
    Ok(())
}

/// Crashes, cuts, holds, lost packets and toggles, each of them undone a little later.
fn disturb(sim: &mut Sim, azure: (vnetem::SubnetId, vnetem::ServiceId), seed: u64) {
    let mut dice = Dice(seed);
    let (web, storage) = azure;
    let mut at = SECOND;
    for _ in 0..400 {
        at += Duration::from_millis(1000 + dice.next(20_000));
        let back = at + Duration::from_millis(dice.next(8000));
        match dice.next(5) {
            0 => {
                sim.at(at, |now| now.crash("stdata"));
                sim.at(back, |now| now.restart("stdata"));
            }
            1 => {
                sim.at(at, |now| now.cut("vm-4"));
                sim.at(back, |now| now.release("vm-4"));
            }
            2 => {
                sim.at(at, |now| now.hold("stdata"));
                sim.at(back, |now| now.release("stdata"));
            }
            3 => {
                let bad = LinkSettings {
                    loss: 200,
                    duplicate: 50,
                    reorder: 50,
                    ..LinkSettings::clean(5 * MILLISECOND)
                };
                sim.at(at, move |now| now.set_links("vm-5", bad));
                let good = LinkSettings::clean(MILLISECOND);
                sim.at(back, move |now| now.set_links("vm-5", good));
            }
            _ => {
                sim.at(at, move |now| {
                    now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide)).unwrap();
                });
                sim.at(back, move |now| {
                    now.edit(|net| net.disable_endpoint(web, storage)).unwrap();
                });
            }
        }
    }
}

fn stressed(seed: u64, count: u64) -> Sim {
    let azure = Azure::new();
    let (web, storage, place) = (azure.web, azure.storage, Place::Resource(azure.stdata));
    let mut sim = Sim::new(azure.network, seed);
    sim.host("stdata", place, echo);
    for last in 4..4 + CLIENTS {
        let place = Place::Subnet(web, [10, 0, 0, last].into());
        let seed = seed * 100 + u64::from(last);
        sim.client(&format!("vm-{last}"), place, operate(seed, count));
    }
    disturb(&mut sim, (web, storage), seed);
    sim
}

#[test]
fn random_operations_always_end() -> Result<(), BoxError> {
    let each = operations() / u64::from(CLIENTS) / 4;
    for seed in 1..=4 {
        let mut sim = stressed(seed, each);
        sim.run().map_err(|error| format!("seed {seed}: {error}"))?;
        sim.world(|world| world.check())?;
    }
    Ok(())
}

#[test]
fn random_operations_are_deterministic() -> Result<(), BoxError> {
    Ok(vnetem_sim::check_deterministic(|| stressed(9, 50))?)
}

/// A crashed client counts as finished, and does not start again.
#[test]
fn crashed_client_is_not_waited_for() -> Result<(), SimError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, core::future::pending());
    sim.at(SECOND, |now| now.crash("vm"));
    sim.run()?;
    assert_eq!(sim.stats().time, SECOND);
    Ok(())
}

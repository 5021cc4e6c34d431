//! Two versions of a service behind one name: clients move when the name moves, if they call anew.

#[path = "support/azure.rs"]
mod azure;

use core::net::Ipv4Addr;
use core::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};
use vnetem_sim::{BoxError, HostHandle, Outcome, Place, Sim, TcpListener, TcpStream};

use azure::Azure;

const SECOND: Duration = Duration::from_secs(1);
const BLUE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const GREEN: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);

/// Answers each byte with the colour.
async fn version(colour: &'static [u8; 5]) -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        HostHandle::current()?.spawn(async move {
            while stream.read_u8().await.is_ok() {
                if stream.write_all(colour).await.is_err() {
                    break;
                }
            }
        });
    }
}

async fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut colour = [0; 5];
    stream.write_u8(b'?').await?;
    stream.read_exact(&mut colour).await?;
    Ok(String::from_utf8_lossy(&colour).trim().to_owned())
}

fn main() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (holds, calls_anew) = (azure.vm(4), azure.vm(5));
    let mut sim = Sim::new(azure.network, 1);
    sim.host("blue", Place::Internet(BLUE), || version(b"blue "));
    sim.host("green", Place::Internet(GREEN), || version(b"green"));
    sim.name("shop", BLUE);
    sim.client("holds", holds, async {
        let start = Instant::now();
        let mut stream = TcpStream::connect("shop:80").await?;
        loop {
            match ask(&mut stream).await {
                Ok(colour) => println!("{:>9.3?} holds its connection: {colour}", start.elapsed()),
                Err(error) => {
                    println!("{:>9.3?} holds its connection: {error}", start.elapsed());
                    break;
                }
            }
            sleep(4 * SECOND).await;
        }
        let colour = ask(&mut TcpStream::connect("shop:80").await?).await?;
        println!("{:>9.3?} has called anew: {colour}", start.elapsed());
        Ok(())
    });
    sim.client("calls-anew", calls_anew, async {
        let start = Instant::now();
        for _ in 0..4 {
            let colour = ask(&mut TcpStream::connect("shop:80").await?).await?;
            println!("{:>9.3?} calls anew: {colour}", start.elapsed());
            sleep(4 * SECOND).await;
        }
        Ok(())
    });
    sim.at(6 * SECOND, |now| {
        println!("          the name moves from blue to green");
        now.name("shop", GREEN);
    });
    sim.at(14 * SECOND, |now| {
        println!("          blue is restarted");
        now.restart("blue");
    });
    Ok(sim.run()?)
}

//! TCP sockets behave as tokio's.

use std::io::{Error, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use vnetem_sim::net::{Readiness, TcpSocket, lookup_host};
use vnetem_sim::{BoxError, HostHandle, Outcome, Place, Sim, TcpListener, TcpStream};

use crate::azure::{Azure, MILLISECOND, SECOND, ask};

const SERVER: [u8; 4] = [10, 0, 0, 5];

/// A client and a server of the same subnet.
fn pair<F>(server: impl Fn() -> F + 'static, client: impl Future<Output = Outcome> + 'static) -> Sim
where
    F: Future<Output = Outcome> + 'static,
{
    let azure = Azure::new();
    let (vm, db) = (azure.vm(4), azure.vm(5));
    let mut sim = Sim::new(azure.network, 1);
    sim.host("db", db, server);
    sim.client("vm", vm, client);
    sim
}

/// Accepts one connection and hands it over.
async fn accepted() -> Result<TcpStream, Error> {
    Ok(TcpListener::bind("0.0.0.0:80").await?.accept().await?.0)
}

async fn kind(to: &str) -> Option<ErrorKind> {
    TcpStream::connect(to).await.err().map(|error| error.kind())
}

#[test]
fn connect_errors_are_the_systems() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        assert_eq!(kind("stdata:81").await, Some(ErrorKind::ConnectionRefused));
        let start = Instant::now();
        assert_eq!(kind("52.239.7.7:80").await, Some(ErrorKind::TimedOut));
        assert_eq!(start.elapsed(), 127 * SECOND);
        assert_eq!(kind("nobody:80").await, Some(ErrorKind::NotFound));
        assert_eq!(kind("stdata").await, Some(ErrorKind::InvalidInput));
        assert_eq!(kind("0.0.0.0:80").await, Some(ErrorKind::InvalidInput));
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn half_close_lets_answers_pass() -> Result<(), BoxError> {
    let server = || async {
        let mut stream = accepted().await?;
        let mut all = String::new();
        stream.read_to_string(&mut all).await?;
        stream.write_all(all.to_uppercase().as_bytes()).await?;
        Ok(())
    };
    let mut sim = pair(server, async {
        let (mut reader, mut writer) = TcpStream::connect("db:80").await?.into_split();
        writer.write_all(b"hello").await?;
        drop(writer);
        let mut all = String::new();
        reader.read_to_string(&mut all).await?;
        assert_eq!(all, "HELLO");
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn unread_data_resets_on_drop() -> Result<(), BoxError> {
    let server = || async {
        let stream = accepted().await?;
        stream.readable().await?;
        Ok(())
    };
    let mut sim = pair(server, async {
        let mut stream = TcpStream::connect("db:80").await?;
        stream.write_all(b"hello").await?;
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // An error is told once; then there is nothing more to read, and nobody to write to.
        assert_eq!(stream.read(&mut [0]).await?, 0);
        assert_eq!(stream.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn linger_zero_resets() -> Result<(), BoxError> {
    let server = || async {
        let stream = accepted().await?;
        stream.set_linger(Some(core::time::Duration::ZERO))?;
        Ok(())
    };
    let mut sim = pair(server, async {
        let mut stream = TcpStream::connect("db:80").await?;
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn peek_leaves_what_try_read_takes() -> Result<(), BoxError> {
    let server = || async {
        let mut stream = accepted().await?;
        stream.write_all(b"hello").await?;
        sleep(SECOND).await;
        Ok(())
    };
    let mut sim = pair(server, async {
        let stream = TcpStream::connect("db:80").await?;
        let mut buffer = [0; 8];
        let empty = stream.try_read(&mut buffer).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        assert_eq!(stream.peek(&mut buffer).await?, 5);
        let both = Readiness { readable: true, writable: true };
        assert_eq!(stream.ready(both).await?, both);
        assert_eq!(stream.try_read(&mut buffer)?, 5);
        assert_eq!(&buffer[..5], b"hello");
        stream.readable().await?;
        assert_eq!(stream.try_read(&mut buffer)?, 0);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn slow_reader_stops_the_writer() -> Result<(), BoxError> {
    let server = || async {
        let mut stream = accepted().await?;
        sleep(10 * SECOND).await;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        assert_eq!(all.len(), 1 << 20);
        assert!(all.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
        Ok(())
    };
    let mut sim = pair(server, async {
        let mut stream = TcpStream::connect("db:80").await?;
        let bytes: Vec<u8> = (0..251).cycle().take(1 << 20).collect();
        let start = Instant::now();
        stream.write_all(&bytes).await?;
        assert!(start.elapsed() > 9 * SECOND);
        stream.shutdown().await?;
        assert_eq!(stream.read(&mut [0]).await?, 0);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn options_read_back() -> Result<(), BoxError> {
    let server = || async { accepted().await.map(drop).map_err(Into::into) };
    let mut sim = pair(server, async {
        let stream = TcpStream::connect(("db", 80)).await?;
        assert!(!stream.nodelay()?);
        stream.set_nodelay(true)?;
        stream.set_ttl(9)?;
        assert!(stream.nodelay()?);
        assert_eq!(stream.ttl()?, 9);
        assert_eq!(stream.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(stream.peer_addr()?, (SERVER, 80).into());
        assert_eq!(stream.local_addr()?, ([10, 0, 0, 4], 32_768).into());
        let found: Vec<_> = lookup_host("db:1").await?.collect();
        assert_eq!(found, [(SERVER, 1).into()]);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn split_halves_reunite() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let (reader, writer) = TcpStream::connect("stdata:80").await?.into_split();
        let (other, _kept) = TcpStream::connect("stdata:80").await?.into_split();
        let wrong = other.reunite(writer).unwrap_err();
        let mut stream = reader.reunite(wrong.1)?;
        assert_eq!(ask(&mut stream).await?, "20.1.1.1");
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn backlog_drops_further_syns() -> Result<(), BoxError> {
    let server = || async {
        let mut socket = TcpSocket::new_v4()?;
        socket.bind(([0, 0, 0, 0], 80).into())?;
        let listener = socket.listen(1)?;
        sleep(5 * SECOND).await;
        let first = listener.accept().await?;
        let second = listener.accept().await?;
        sleep(SECOND).await;
        drop((first, second));
        Ok(())
    };
    let mut sim = pair(server, async {
        let _first = TcpStream::connect("db:80").await?;
        let start = Instant::now();
        let _second = TcpStream::connect("db:80").await?;
        assert!(start.elapsed() >= 5 * SECOND, "{:?}", start.elapsed());
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn taken_ports_are_refused() -> Result<(), BoxError> {
    let server = || async {
        let _first = TcpListener::bind("0.0.0.0:80").await?;
        let second = TcpListener::bind("0.0.0.0:80").await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::AddrInUse);
        sleep(SECOND).await;
        Ok(())
    };
    let mut sim = pair(server, async {
        let call = || async {
            let mut socket = TcpSocket::new_v4()?;
            socket.bind(([0, 0, 0, 0], 50_000).into())?;
            socket.connect((SERVER, 80).into()).await
        };
        let _first = call().await?;
        assert_eq!(call().await.unwrap_err().kind(), ErrorKind::AddrInUse);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn dropped_listener_resets_whom_it_held() -> Result<(), BoxError> {
    let server = || async {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        sleep(SECOND).await;
        drop(listener);
        core::future::pending().await
    };
    let mut sim = pair(server, async {
        let mut stream = TcpStream::connect("db:80").await?;
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(kind("db:80").await, Some(ErrorKind::ConnectionRefused));
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn cancelled_connect_leaves_nothing() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let connect = TcpStream::connect("52.239.7.7:80");
        assert!(timeout(100 * MILLISECOND, connect).await.is_err());
        sleep(200 * SECOND).await;
        Ok(())
    });
    sim.run()?;
    assert_eq!(sim.stats().packets, 1);
    Ok(())
}

/// A host talks to itself without the network, by its own address and by 127.0.0.1.
#[test]
fn loopback_never_leaves() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = Sim::new(azure.network, 1);
    sim.client("vm", vm, async {
        HostHandle::current()?.spawn(crate::azure::whoami(80));
        tokio::task::yield_now().await;
        for (name, seen) in [("127.0.0.1:80", "127.0.0.1"), ("vm:80", "10.0.0.4")] {
            assert_eq!(ask(&mut TcpStream::connect(name).await?).await?, seen);
        }
        Ok(())
    });
    sim.run()?;
    assert_eq!(sim.stats().packets, 0);
    Ok(())
}

/// Two networks, one private address, one local port, one front end: the edge keeps them apart
/// (S-05).
#[test]
fn overlapping_tenants_share_front_end() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let (storage, web) = (azure.storage, azure.web);
    let beta = azure.network.add_vnet("beta", &["10.0.0.0/16".parse()?])?;
    let other = azure.network.add_subnet(beta, "app", "10.0.0.0/24".parse()?)?;
    let mut sim = {
        for subnet in [web, other] {
            azure.network.enable_endpoint(subnet, storage, vnetem::control::Scope::Worldwide)?;
        }
        let place = Place::Resource(azure.stdata);
        let mut sim = Sim::new(azure.network, 1);
        sim.host("stdata", place, || async {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            loop {
                let (mut stream, peer) = listener.accept().await?;
                let Some(vnetem::authz::Arrival::Tunnel(identity)) = stream.arrival() else {
                    panic!()
                };
                let subnet = identity.subnet.0;
                HostHandle::current()?.spawn(async move {
                    while stream.read_u8().await.is_ok() {
                        let line = format!("{peer} {subnet}\n");
                        let _ = stream.write_all(line.as_bytes()).await;
                    }
                });
            }
        });
        sim
    };
    for subnet in [web, other] {
        let place = Place::Subnet(subnet, [10, 0, 0, 4].into());
        sim.client(&format!("vm-{}", subnet.0), place, async move {
            let mut stream = TcpStream::connect("stdata:80").await?;
            for _ in 0..3 {
                let seen = format!("10.0.0.4:32768 {}", subnet.0);
                assert_eq!(ask(&mut stream).await?, seen);
                sleep(SECOND).await;
            }
            Ok(())
        });
    }
    Ok(sim.run()?)
}

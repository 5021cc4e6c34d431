//! Datagrams.

use std::io::ErrorKind;

use tokio::time::{sleep, timeout};
use vnetem_sim::{BoxError, Outcome, Place, UdpSocket};

use crate::azure::{Azure, MILLISECOND, SECOND};

async fn echo() -> Outcome {
    let socket = UdpSocket::bind("0.0.0.0:53").await?;
    let mut buffer = [0; 9000];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..count], from).await?;
    }
}

#[test]
fn datagrams_pass_the_gateway() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.host("dns", Place::Internet([198, 51, 100, 20].into()), echo);
    sim.client("vm", vm, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.send_to(b"hello", "dns:53").await?;
        let mut buffer = [0; 100];
        let (count, from) = socket.recv_from(&mut buffer).await?;
        assert_eq!(
            (&buffer[..count], from.to_string().as_str()),
            (&b"hello"[..], "198.51.100.20:53")
        );
        Ok(())
    });
    Ok(sim.run()?)
}

/// Inside a virtual network fragments pass, and the receiver puts them together.
#[test]
fn long_datagram_travels_in_fragments() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, dns) = (azure.vm(4), azure.vm(5));
    let mut sim = azure.sim();
    sim.host("dns", dns, echo);
    sim.client("vm", vm, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        let long: Vec<u8> = (0..8000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for _ in 0..3 {
            socket.send_to(&long, "dns:53").await?;
        }
        let mut buffer = [0; 9000];
        for _ in 0..3 {
            let (count, _) = timeout(SECOND, socket.recv_from(&mut buffer)).await??;
            assert!(buffer[..count] == long);
        }
        let too_long = socket.send_to(&[0; 8200], "dns:53").await.unwrap_err();
        assert_eq!(too_long.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
    Ok(sim.run()?)
}

/// RFC 1122 4.1.3.3: a connected socket is told that nobody listens.
#[test]
fn port_unreachable_refuses() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, db) = (azure.vm(4), azure.vm(5));
    let mut sim = azure.sim();
    sim.host("db", db, core::future::pending);
    sim.client("vm", vm, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("db:9").await?;
        socket.send(b"?").await?;
        let received = timeout(SECOND, socket.recv(&mut [0; 9])).await?;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // A socket that talks to anybody is not notified, as in Linux.
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.send_to(b"?", "db:9").await?;
        assert!(timeout(SECOND, socket.recv(&mut [0; 9])).await.is_err());
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn connected_socket_hears_one_remote() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, dns, other) = (azure.vm(4), azure.vm(5), azure.vm(6));
    let mut sim = azure.sim();
    sim.host("dns", dns, echo);
    sim.client("vm", vm, async {
        let socket = UdpSocket::bind("0.0.0.0:5000").await?;
        socket.connect("dns:53").await?;
        sleep(100 * MILLISECOND).await;
        socket.send(b"mine").await?;
        let mut buffer = [0; 9];
        assert_eq!(socket.peek_from(&mut buffer).await?.0, 4);
        assert_eq!(socket.recv(&mut buffer).await?, 4);
        assert_eq!(&buffer[..4], b"mine");
        let empty = socket.try_recv(&mut buffer).unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        Ok(())
    });
    sim.client("other", other, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.send_to(b"stray", "vm:5000").await?;
        Ok(())
    });
    Ok(sim.run()?)
}

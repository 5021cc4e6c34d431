//! Closes connections of real Linux sockets: a client and a server in namespaces of their own, and
//! the data plane between them by TUN devices.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panic"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use vnetem::{
    DataPlane, Disposition, Edge, Headers, Network, ServiceId, Settings, SubnetId, Time,
    control::{Outbound, Scope},
};
use vnetem_oracle::{Failure, Namespace, Tun, command, isolated};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const SERVER: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);
/// A host in another subnet, whose endpoint does not change.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);

/// Two hosts with Linux's sockets, and the data plane between.
struct World {
    clients: Namespace,
    servers: Namespace,
    client_side: Tun,
    server_side: Tun,
    plane: DataPlane,
    network: Network,
    subnets: [SubnetId; 2],
    storage: ServiceId,
    began: Instant,
    /// Whether packets to the client are lost behind the data plane.
    loses: bool,
    /// Packets that the data plane made and that were delivered: to the client, to the server.
    made: [Vec<Vec<u8>>; 2],
}

impl World {
    fn new() -> Result<Self, Failure> {
        let mut network = Network::new();
        let storage = network.add_service("storage", &["52.239.0.0/16".parse()?])?;
        let vnet = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
        let web = network.add_subnet(vnet, "web", "10.0.0.0/24".parse()?)?;
        let other = network.add_subnet(vnet, "other", "10.0.1.0/24".parse()?)?;
        network.set_outbound(web, Outbound::NatGateway(vec![PUBLIC]))?;
        network.set_outbound(other, Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 2)]))?;
        let plane = DataPlane::new(network.commit(), Settings::replayable(0));
        let clients = Namespace::new()?;
        let client_side = link("tclient", &[CLIENT, OTHER])?;
        let servers = Namespace::new()?;
        let server_side = link("tserver", &[SERVER])?;
        let (subnets, began) = ([web, other], Instant::now());
        let (loses, made) = (false, [Vec::new(), Vec::new()]);
        Ok(Self {
            clients,
            servers,
            client_side,
            server_side,
            plane,
            network,
            subnets,
            storage,
            began,
            loses,
            made,
        })
    }

    fn now(&self) -> Time {
        Time(0) + self.began.elapsed()
    }

    /// Carries packets until nothing moves any more.
    fn carry(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            idle += 1;
            while let Some(packet) = self.client_side.receive() {
                let source = Headers::parse(&packet).map_or(CLIENT, |headers| headers.source);
                let subnet = self.subnets[usize::from(source == OTHER)];
                self.pass(Edge::Subnet(subnet), packet);
                idle = 0;
            }
            while let Some(packet) = self.server_side.receive() {
                let edge = self.edge_of_server(&packet);
                self.pass(edge, packet);
                idle = 0;
            }
            while let Some(made) = self.plane.poll_transmit(self.now()) {
                let to_server = matches!(made.to, Edge::Service { .. });
                self.made[usize::from(to_server)].push(made.packet.to_vec());
                self.deliver(made.to, &made.packet);
                idle = 0;
            }
            // A socket works in the call that hands it a packet. Only its timers are later.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the edge by which a packet of the server enters: with an identity if it is to a
    /// private address.
    fn edge_of_server(&self, packet: &[u8]) -> Edge {
        let destination = Headers::parse(packet).map_or(PUBLIC, |headers| headers.destination);
        let of = |subnet| vnetem::Identity {
            vnet: self.network.subnet(subnet).map(|subnet| subnet.vnet).unwrap(),
            subnet,
            address: destination,
        };
        let identity = destination.is_private().then(|| of(self.subnets[0]));
        Edge::Service { service: self.storage, identity }
    }

    fn pass(&mut self, edge: Edge, mut packet: Vec<u8>) {
        let verdict = self.plane.process(self.now(), edge, &mut packet);
        if let Disposition::Forward(forward) = verdict.disposition {
            let to = forward.edge(self.plane.snapshot());
            let lost = self.loses && !matches!(to, Edge::Service { .. });
            if !lost {
                self.deliver(to, &packet);
            }
        }
    }

    fn deliver(&mut self, to: Edge, packet: &[u8]) {
        match to {
            Edge::Service { .. } => self.server_side.send(packet),
            _ => self.client_side.send(packet),
        }
    }

    fn toggle(&mut self) -> Result<(), Failure> {
        self.network.enable_endpoint(self.subnets[0], self.storage, Scope::Worldwide)?;
        let (now, snapshot) = (self.now(), self.network.commit());
        self.plane.apply(now, snapshot);
        Ok(())
    }

    fn listen(&mut self, port: u16) -> Result<TcpListener, Failure> {
        self.servers.enter()?;
        let listener = TcpListener::bind(SocketAddrV4::new(SERVER, port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Makes a connection that both ends have used.
    fn connect(
        &mut self,
        from: Ipv4Addr,
        listener: &TcpListener,
    ) -> Result<(TcpStream, TcpStream), Failure> {
        let to = listener.local_addr()?;
        let mut client = self.dial(from, to)?;
        self.carry();
        let (mut server, _) = listener.accept()?;
        server.set_nonblocking(true)?;
        client.write_all(b"question")?;
        self.carry();
        assert_eq!(read(&mut server)?, b"question");
        server.write_all(b"answer")?;
        self.carry();
        assert_eq!(read(&mut client)?, b"answer");
        Ok((client, server))
    }

    /// Makes a socket that sends its SYN and does not wait.
    fn dial(&mut self, from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream, Failure> {
        self.clients.enter()?;
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        // The call reports an error while the connection is being opened.
        let _ = socket.connect(&to.into());
        Ok(socket.into())
    }
}

/// Makes a TUN device with addresses, with the default route by it.
fn link(name: &str, addresses: &[Ipv4Addr]) -> Result<Tun, Failure> {
    let device = Tun::open(name)?;
    command("ip", &["link", "set", "lo", "up"])?;
    for address in addresses {
        command("ip", &["address", "add", &format!("{address}/32"), "dev", name])?;
    }
    command("ip", &["link", "set", name, "up"])?;
    command("ip", &["route", "add", "default", "dev", name])?;
    Ok(device)
}

fn read(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    let length = socket.read(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// Returns the kind of error that reading a socket gives, or nothing if it lives.
fn error(socket: &mut TcpStream) -> Option<ErrorKind> {
    match read(socket) {
        Ok(bytes) => panic!("it read {bytes:?}"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => Some(error.kind()),
    }
}

/// S-17, INV-toggle-ends-exact-set, INV-reset-number-exact: both ends of a live connection get an
/// exact reset at once. The flow of another subnet to the same server goes on, and so does a UDP
/// flow (INV-datagrams-not-reset).
#[test]
fn toggle_resets_its_two_sockets_only() {
    isolated("toggle_resets_its_two_sockets_only", &["ip"], || {
        let mut world = World::new()?;
        let listener = world.listen(443)?;
        let (mut client, mut server) = world.connect(CLIENT, &listener)?;
        let (mut other_client, mut other_server) = world.connect(OTHER, &listener)?;
        world.servers.enter()?;
        let answering = UdpSocket::bind(SocketAddrV4::new(SERVER, 53))?;
        answering.set_nonblocking(true)?;
        world.clients.enter()?;
        let asking = UdpSocket::bind(SocketAddrV4::new(CLIENT, 0))?;
        asking.connect(SocketAddrV4::new(SERVER, 53))?;
        asking.set_nonblocking(true)?;
        asking.send(b"one")?;
        world.carry();
        let mut buffer = [0; 16];
        let (_, public) = answering.recv_from(&mut buffer)?;
        assert_eq!(public.ip(), PUBLIC);

        world.toggle()?;
        world.carry();
        assert_eq!(error(&mut client), Some(ErrorKind::ConnectionReset));
        assert_eq!(error(&mut server), Some(ErrorKind::ConnectionReset));
        assert_eq!(world.made.each_ref().map(Vec::len), [1, 1], "one reset for each end");

        assert_eq!(error(&mut other_client), None);
        other_server.write_all(b"still there")?;
        world.carry();
        assert_eq!(read(&mut other_client)?, b"still there");
        assert_eq!(error(&mut other_server), None);
        answering.send_to(b"two", public)?;
        world.carry();
        assert_eq!(asking.recv(&mut buffer)?, 3, "the UDP flow goes on");
        assert!(asking.take_error()?.is_none());

        // A new connection preserves the private source.
        let (_client, server) = world.connect(CLIENT, &listener)?;
        assert_eq!(server.peer_addr()?.ip(), CLIENT);
        Ok(())
    });
}

/// INV-tombstone-answers, RFC 5961 3: data was lost behind the data plane, so the reset lies ahead
/// of what the client expects. The tombstone answers the client's challenge by an exact reset.
#[test]
fn challenge_after_loss_ends_client() {
    isolated("challenge_after_loss_ends_client", &["ip"], || {
        let mut world = World::new()?;
        let listener = world.listen(443)?;
        let (mut client, mut server) = world.connect(CLIENT, &listener)?;
        world.loses = true;
        server.write_all(&[7; 1000])?;
        world.carry();
        world.loses = false;
        world.toggle()?;
        world.carry();
        assert_eq!(error(&mut client), Some(ErrorKind::ConnectionReset));
        assert_eq!(error(&mut server), Some(ErrorKind::ConnectionReset));
        let sequence = |packet: &Vec<u8>| u32::from_be_bytes(packet[24..28].try_into().unwrap());
        let to_client: Vec<u32> = world.made[0].iter().map(sequence).collect();
        let [ahead, exact] = to_client[..] else {
            panic!("{} resets to the client", to_client.len())
        };
        assert_eq!(ahead.wrapping_sub(exact), 1000, "the first lies behind what was lost");
        Ok(())
    });
}

/// INV-reset-answers-segment: a client that waits for an answer to its SYN is refused at once, and
/// does not wait for its timer.
#[test]
fn connecting_socket_is_refused_immediately() {
    isolated("connecting_socket_is_refused_immediately", &["ip"], || {
        let mut world = World::new()?;
        let listener = world.listen(443)?;
        let mut client = world.dial(CLIENT, listener.local_addr()?)?;
        // The SYN ends at the data plane.
        let mut syn = world.client_side.receive().ok_or("no SYN")?;
        let (now, subnet) = (world.now(), world.subnets[0]);
        assert!(world.plane.process(now, Edge::Subnet(subnet), &mut syn).forwarded_to().is_some());
        world.toggle()?;
        world.carry();
        assert_eq!(error(&mut client), Some(ErrorKind::ConnectionRefused));
        Ok(())
    });
}

/// INV-tombstone-answers: the client continues to send before it gets a reset. Each of its segments
/// is answered, and its socket closes.
#[test]
fn tombstone_answer_closes_the_socket() {
    isolated("tombstone_answer_closes_the_socket", &["ip"], || {
        let mut world = World::new()?;
        let listener = world.listen(443)?;
        let (mut client, _server) = world.connect(CLIENT, &listener)?;
        world.toggle()?;
        // The resets are lost on their way.
        while world.plane.poll_transmit(world.now()).is_some() {}
        assert_eq!(error(&mut client), None);
        client.write_all(b"more")?;
        world.carry();
        assert_eq!(error(&mut client), Some(ErrorKind::ConnectionReset));
        Ok(())
    });
}

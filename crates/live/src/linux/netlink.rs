//! A few requests to rtnetlink, for the network namespace of this thread.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    socket,
};

use super::os;

/// A connection to the kernel's routing, in the namespace in which it was opened.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> Result<Self> {
        let protocol = SockProtocol::NetlinkRoute;
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(Family::Netlink, SockType::Raw, flags, protocol).map(Self).map_err(os)
    }

    /// Switches an interface on.
    pub(super) fn up(&self, name: &str, mtu: Option<u32>, queue: Option<u32>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = if_nametoindex(name).map_err(os)?;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        message.attributes.extend(queue.map(LinkAttribute::TxQueueLen));
        self.request(RouteNetlinkMessage::SetLink(message))
    }

    /// Gives an interface an address of its own.
    pub(super) fn address(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let message = self.address_message(name, address)?;
        self.request(RouteNetlinkMessage::NewAddress(message))
    }

    /// Sends everything by an interface, from an address.
    pub(super) fn default_route(&self, name: &str, source: Ipv4Addr) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Link;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Oif(if_nametoindex(name).map_err(os)?));
        message.attributes.push(RouteAttribute::PrefSource(RouteAddress::Inet(source)));
        self.request(RouteNetlinkMessage::NewRoute(message))
    }

    /// Takes an address from an interface.
    pub(super) fn remove_address(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let message = self.address_message(name, address)?;
        self.request(RouteNetlinkMessage::DelAddress(message))
    }

    fn address_message(&self, name: &str, address: Ipv4Addr) -> Result<AddressMessage> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.index = if_nametoindex(name).map_err(os)?;
        let address = IpAddr::V4(address);
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        Ok(message)
    }

    fn request(&self, message: RouteNetlinkMessage) -> Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let fd = self.0.as_raw_fd();
        sendto(fd, &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(os)?;
        let mut answer = [0; 4096];
        let length = recv(fd, &mut answer, MsgFlags::empty()).map_err(os)?;
        let answer = answer.get(..length).unwrap_or_default();
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::Error(_) => Ok(()),
            _ => Err(Error::new(ErrorKind::InvalidData, "no acknowledgement")),
        }
    }
}

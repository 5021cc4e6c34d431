//! Hosts begin conversations, and learn from the packets that arrive.

use super::*;

impl Runner {
    /// Returns the conversation that a host begins.
    pub(super) fn begin(&self, host: u8, to: u8, ports: u8) -> Conversation {
        let hosts = world::hosts(&self.world);
        let HostAt(edge, address) = match host {
            0..=143 => hosts[*pick(&self.world.beginning.from, host)],
            144..=191 => *pick(&hosts[13..20], host),
            192..=247 => *pick(&hosts[..20], host),
            _ => *pick(&hosts[20..], host),
        };
        let (protocol, port) = match ports % 8 {
            0..=4 => (TCP, [443, 443, 443, 80][usize::from(ports / 8 % 4)]),
            5 => (UDP, 53),
            6 => (ICMP, 0),
            _ if (ports / 8).is_multiple_of(4) => (if ports / 32 % 4 == 3 { 50 } else { 47 }, 0),
            _ => (UDP, 443),
        };
        let from = if matches!(protocol, 47 | 50) { 0 } else { 1000 + u16::from(ports / 32) };
        let initiator = SocketAddrV4::new(address, from);
        let often = &self.world.beginning.towards;
        let there = match to {
            0..=31 if edge == Edge::Internet => pick(&world::CALLED, to).octets(),
            0..=159 => DESTINATIONS[*pick(often, to)],
            _ => *pick(&DESTINATIONS, to),
        };
        let there = self.world.space.address(there.into());
        let remote = SocketAddrV4::new(there, port);
        let conversation = Conversation {
            protocol,
            edges: [Some(edge), None],
            initiator: [initiator; 2],
            remote: [remote; 2],
            callee: None,
            next: [u32::MAX - 200, 7_000 + u32::from(ports)],
            stage: 0,
            datagrams: self.world.wide.then_some(4 * self.conversations.len() as u16),
        };
        // Anybody may call a host back that another conversation has made known outside.
        let here = self.world.network_of(edge);
        let may_call = |known: &&Conversation| {
            let there = known.edges[0].and_then(|edge| self.world.network_of(edge));
            known.protocol == protocol
                && there.is_some()
                && (edge == Edge::Internet || here == there)
        };
        let calls =
            if edge == Edge::Internet { 48..=255 } else { self.world.beginning.known..=231 };
        let calls = calls.contains(&to) && matches!(protocol, TCP | UDP);
        match self.conversations.iter().rev().filter(may_call).nth(usize::from(to % 4)) {
            Some(known) if calls => conversation.calling(known),
            _ => conversation,
        }
    }

    pub(super) fn open(
        &mut self,
        host: u8,
        to: u8,
        ports: u8,
        flags: u8,
        twist: Twist,
    ) -> Result<(), String> {
        let conversation = self.begin(host, to, ports);
        let [Some(edge), _] = conversation.edges else { return Ok(()) };
        let says = match flags {
            230.. => flags,
            _ if flags >= self.world.beginning.middle => 230,
            _ => 200,
        };
        let make = conversation.segment(false, says, 0);
        let bytes = conversation.packet(false, make);
        self.conversations.push(conversation);
        let forwarded = self.send(edge, bytes, twist)?;
        self.remember(self.conversations.len() - 1, false, make, forwarded);
        Ok(())
    }

    /// Returns a conversation, counted back from the latest, and the edge of one of its ends.
    pub(super) fn speaker(&self, of: u8, far: bool) -> Option<(usize, Edge)> {
        let back = usize::from(of) % self.conversations.len().clamp(1, 12);
        let at = self.conversations.len().checked_sub(1 + back)?;
        let edge = (*self.conversations.get(at)?.edges.get(usize::from(far))?)?;
        Some((at, edge))
    }

    /// Records what hosts learn from a packet that arrived.
    pub(super) fn remember(
        &mut self,
        at: usize,
        far: bool,
        make: craft::Make,
        forwarded: Option<(Forward, Packet)>,
    ) {
        let Some(conversation) = self.conversations.get_mut(at) else { return };
        let Some((forward, packet)) = forwarded else { return };
        if !far {
            conversation.edges[1] = Some(forward.to);
            conversation.initiator[1] = packet.source;
            conversation.remote[1] = packet.destination;
        }
        let length = make.data as u32
            + u32::from(make.flags & SYN != 0)
            + u32::from(make.flags & crate::model::wire::FIN != 0);
        if let Some(next) = conversation.next.get_mut(usize::from(far)) {
            *next = make.sequence.wrapping_add(length);
        }
        conversation.stage = match (conversation.stage, far, make.flags & SYN != 0) {
            (_, false, true) => 0,
            (0, true, true) => 1,
            (1, false, _) => 2,
            (stage, ..) if make.flags & crate::model::wire::FIN != 0 => stage.max(3),
            (stage, ..) => stage,
        };
    }
}

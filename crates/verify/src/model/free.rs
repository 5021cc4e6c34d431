//! Lists the public sources that a new flow may get, by a scan of all (INV-port-in-range,
//! INV-refused-only-when-full, INV-hold-down-kept, N-12, N-14, T-01 to T-09).

use std::collections::BTreeSet;

use vnetem::nat::{Block, Blocks, PoolRules};

use super::flow::Zone;
use super::outbound::Piece;
use super::*;

/// The public address that an internal address has, among those of its pool (T-08).
#[derive(Clone, Debug)]
pub(super) struct Pair {
    host: (Zone, Ipv4Addr),
    pieces: Vec<Piece>,
    address: Ipv4Addr,
}

/// The public sources of a method that are free for a flow.
pub(super) struct Free {
    /// The one that its internal socket already has.
    own: Option<SocketAddrV4>,
    /// The addresses and ports to choose from.
    pieces: Vec<Piece>,
    /// Those that are not free.
    taken: BTreeSet<SocketAddrV4>,
    host: (Zone, Ipv4Addr),
    /// The address that it must have by T-08, if that is known.
    paired: Option<Ipv4Addr>,
    rules: PoolRules,
    internal: u16,
    /// Whether ports below 1024 and others are kept apart (T-05).
    has_class: bool,
}

impl Model {
    /// Returns the public sources that may be chosen for a flow (INV-port-in-range, N-12,
    /// INV-hold-down-kept). These are the method's, without those in use or in hold-down towards
    /// the destination (N-14), without those of other sockets' endpoint-independent mappings
    /// (T-01), and without others' blocks (T-09).
    ///
    /// # Errors
    ///
    /// T-09: it would need one block more than its internal address may have.
    pub(super) fn free(
        &self,
        method: &Method,
        flow: &Flow,
        replaced: Option<usize>,
    ) -> Result<Free, DropReason> {
        let rules = method.rules(flow.protocol);
        let has_ports = matches!(flow.protocol, TCP | wire::UDP | wire::ICMP);
        let taken = self.taken(flow, replaced);
        let is_free = |external: SocketAddrV4| !taken.contains(&external);
        let own = self.mapping(flow).map(|mapping| mapping.external).filter(|own| {
            let whole = matches!(flow.share, Share::Whole(_));
            method.has(*own) && (whole || is_free(*own))
        });
        let pieces: Vec<Piece> = match rules.blocks {
            _ if !has_ports => method.pieces.iter().map(|piece| (piece.0, 0..=0)).collect(),
            Blocks::None => method.pieces.clone(),
            Blocks::Deterministic { first, size } => {
                // RFC 7422: counted from the first internal address on.
                let number = flow.internal.ip().to_bits().checked_sub(first.to_bits());
                let all = blocks(&method.pieces, size);
                number.and_then(|number| all.get(number as usize).cloned()).into_iter().collect()
            }
            Blocks::Dynamic { size, most } if own.is_none() => {
                let all = blocks(&method.pieces, size);
                let of = |flow: &Flow| flow.block;
                let host = flow.host();
                let mine: BTreeSet<_> =
                    self.flows.iter().filter(|flow| flow.host() == host).filter_map(of).collect();
                let others: BTreeSet<_> = self.flows.iter().filter_map(of).collect();
                let has_free = |piece: &&Piece| free_of(piece, &taken).next().is_some();
                let have = all.iter().filter(|piece| mine.contains(&block(piece)));
                let have: Vec<Piece> = have.filter(has_free).cloned().collect();
                match have.is_empty() {
                    false => have,
                    true if mine.len() >= usize::from(most) => return Err(DropReason::PortQuota),
                    true => {
                        all.into_iter().filter(|piece| !others.contains(&block(piece))).collect()
                    }
                }
            }
            Blocks::Dynamic { .. } => Vec::new(),
        };
        let host = flow.host();
        let pairs = self.pairs.iter().find(|pair| pair.host == host && pair.pieces == pieces);
        let is_paired = rules.blocks == Blocks::None;
        let paired = pairs.filter(|_| is_paired).map(|pair| pair.address);
        let has_class = rules.preserve_port && flow.protocol != wire::ICMP;
        let internal = flow.internal.port();
        Ok(Free { own, pieces, taken, host, paired, rules, internal, has_class })
    }

    /// Returns the public sources that are not free towards the remote of a flow. A flow that
    /// replaces its own old one may have that one's source after hold-down (T-18).
    fn taken(&self, flow: &Flow, replaced: Option<usize>) -> BTreeSet<SocketAddrV4> {
        let (protocol, remote) = (flow.protocol, flow.remote);
        let has_rested = |old: &Flow| old.rested_at(old.cause_of_expiry(), self.now) <= self.now;
        let is_own = |at: usize, old: &Flow| {
            Some(at) == replaced
                && old.initiator == 0
                && old.internal == flow.internal
                && has_rested(old)
        };
        let flows = self.flows.iter().enumerate().filter(|(at, old)| !is_own(*at, old));
        let flows = flows.map(|(_, flow)| flow).filter(|flow| flow.has_tuple());
        let flows = flows.map(|flow| (flow.protocol, Some(flow.remote), flow.external));
        let rests = self.rests.iter().map(|rest| (rest.protocol, rest.remote, rest.external));
        let whole = self.mappings.iter().filter(|it| matches!(it.share, Share::Whole(_)));
        let whole = whole.map(|it| (it.socket.1, None, it.external));
        let all = flows.chain(rests).chain(whole);
        all.filter(|(of, to, _)| *of == protocol && to.is_none_or(|to| to == remote))
            .map(|(.., external)| external)
            .collect()
    }

    /// Records the address of a host while all addresses have ports. The host keeps it as long as
    /// that has ports (T-08).
    pub(super) fn note_pair(&mut self, free: &Free, chosen: SocketAddrV4) {
        let all = free.pieces.iter().all(|piece| free_of(piece, &free.taken).next().is_some());
        let is_choice = free.own.is_none() && free.rules.blocks == vnetem::nat::Blocks::None;
        if is_choice && all && free.paired.is_none() {
            let (host, pieces, address) = (free.host, free.pieces.clone(), *chosen.ip());
            self.pairs.push(Pair { host, pieces, address });
        }
    }
}

/// Returns the ports of a piece that are not taken.
fn free_of(piece: &Piece, taken: &BTreeSet<SocketAddrV4>) -> impl Iterator<Item = u16> {
    let address = piece.0;
    piece.1.clone().filter(move |port| !taken.contains(&SocketAddrV4::new(address, *port)))
}

/// Splits each piece into blocks of this many ports, from its first port on. Remaining ports are in
/// no block.
fn blocks(pieces: &[Piece], size: u16) -> Vec<Piece> {
    let of = |(address, ports): &Piece| {
        let (address, last) = (*address, *ports.end());
        let firsts = ports.clone().step_by(usize::from(size.max(1)));
        let ends = firsts.filter_map(move |first| Some((first, first.checked_add(size - 1)?)));
        ends.filter(move |block| block.1 <= last).map(move |(first, end)| (address, first..=end))
    };
    pieces.iter().flat_map(of).collect()
}

fn block(piece: &Piece) -> Block {
    Block { address: piece.0, first: *piece.1.start(), last: *piece.1.end() }
}

impl Free {
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_none()
            && self.pieces.iter().all(|piece| free_of(piece, &self.taken).next().is_none())
    }

    /// Returns the block of a public source.
    pub(super) fn block_of(&self, method: &Method, external: SocketAddrV4) -> Option<Block> {
        let Blocks::Dynamic { size, .. } = self.rules.blocks else { return None };
        let all = blocks(&method.pieces, size);
        let has = |(address, ports): &&Piece| {
            address == external.ip() && ports.contains(&external.port())
        };
        all.iter().find(has).map(block)
    }

    pub(super) fn check(&self, chosen: SocketAddrV4) -> Result<(), String> {
        if let Some(own) = self.own {
            return if own == chosen { Ok(()) } else { Err(format!("not {own} (T-01, T-02)")) };
        }
        let has = |piece: &&Piece| piece.0 == *chosen.ip() && piece.1.contains(&chosen.port());
        let Some(piece) = self.pieces.iter().find(has) else {
            return Err(format!(
                "{chosen} is none of those to choose from (INV-port-in-range, T-09)"
            ));
        };
        if self.taken.contains(&chosen) {
            return Err(format!(
                "{chosen} is taken or rests towards this remote (INV-mapping-unique, INV-hold-down-kept, T-01)"
            ));
        }
        let free = || free_of(piece, &self.taken);
        let has_free = |piece: &Piece| free_of(piece, &self.taken).next().is_some();
        if let Some(paired) = self.paired
            && paired != *chosen.ip()
            && self.pieces.iter().any(|piece| piece.0 == paired && has_free(piece))
        {
            return Err(format!("{chosen} is not at {paired}, which has ports left (T-08)"));
        }
        if self.rules.preserve_port && free().any(|port| port == self.internal) {
            return match chosen.port() == self.internal {
                true => Ok(()),
                false => Err(format!("{chosen} is not the socket's own port (T-05)")),
            };
        }
        let class = |port: u16| !self.has_class || (port < 1024) == (self.internal < 1024);
        let parity = |port: u16| !self.rules.keep_parity || port % 2 == self.internal % 2;
        let tiers: [&dyn Fn(u16) -> bool; 4] =
            [&|port| class(port) && parity(port), &class, &parity, &|_| true];
        let best = tiers.iter().find(|tier| free().any(tier));
        match best.is_none_or(|tier| tier(chosen.port())) {
            true => Ok(()),
            false => Err(format!("{chosen} is of the wrong class or parity (T-05, T-06)")),
        }
    }

    /// Returns a free source of each address that may be chosen.
    pub(super) fn one_of_each_address(&self) -> Vec<SocketAddrV4> {
        if let Some(own) = self.own {
            return vec![own];
        }
        let first = |piece: &Piece| free_of(piece, &self.taken).next();
        let free =
            self.pieces.iter().filter_map(|piece| Some(SocketAddrV4::new(piece.0, first(piece)?)));
        let mut all: Vec<_> = free.collect();
        if let Some(paired) = self.paired
            && all.iter().any(|external| *external.ip() == paired)
        {
            all.retain(|external| *external.ip() == paired);
        }
        all
    }
}

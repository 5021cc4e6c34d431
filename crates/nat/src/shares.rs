//! What flows of a pool have in common: the inside address that is limited, the inside socket that keeps its port, the remotes that it
//! talked to, the block of ports that it has. Touched when a flow opens and when it ends, and by no packet in between; flows of pools
//! that want none of it cost nothing here.

use core::net::SocketAddrV4;

use vnetem_packet::FiveTuple;

use crate::choose::{NoTuple, Wanted};
use crate::key::{Key, Secret};
use crate::keyed::Keyed;
use crate::rules::{Filtering, Limits};
use crate::settings::Shared;
use crate::sharing::{Block, Inbound, Sharing, SocketRule};
use crate::sharing::{contact, host_key, socket_key, whole};
use crate::slab::NIL;
use crate::time::nanoseconds;
use crate::{NewFlow, Side, Zone};

pub(crate) struct Shares {
    /// By the slot of the flow; shorter than the table as long as no later flow shares anything.
    of: Vec<Share>,
    hosts: Keyed<Host>,
    sockets: Keyed<Socket>,
    /// Whole sockets by their external tuple.
    externals: Keyed<u32>,
    /// Flows of whole sockets by external tuple and remote address.
    contacts: Keyed<u32>,
    blocks: Keyed<BlockUse>,
    /// Whether there ever was a whole socket.
    has_whole: bool,
    /// Where the search for forgotten hosts goes on.
    hand: u32,
    capacity: usize,
}

/// The groups that one flow belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    host: u32,
    socket: u32,
    contact: u32,
    block: u32,
}

#[derive(Clone, Copy, Default)]
struct Host {
    flows: u32,
    ports: u32,
    /// When the next flow may open if no burst is left; behind the present by as much as the burst has left.
    paid_until: u64,
    blocks: [Option<u32>; 4],
}

#[derive(Clone, Copy)]
struct Socket {
    external: SocketAddrV4,
    filtering: Option<Filtering>,
    flows: u32,
    host: u32,
    block: u32,
    /// Until when its port rests, by the flows that ended so far.
    rests_until: u64,
}

#[derive(Clone, Copy)]
struct BlockUse {
    flows: u32,
    host: u32,
    last: u16,
}

/// What a whole socket leaves behind.
pub(crate) struct Left {
    /// Its external tuple, towards all remotes.
    pub(crate) key: Key,
    pub(crate) until: u64,
}

impl Shares {
    pub(crate) fn new(flows: u32, room: &Shared, secret: Secret) -> Self {
        let flows = if *room == Shared::NONE { 0 } else { flows };
        let sockets = room.sockets.min(flows);
        Self {
            of: Vec::with_capacity(flows as usize),
            hosts: Keyed::new(room.hosts, secret),
            sockets: Keyed::new(sockets, secret),
            externals: Keyed::new(sockets, secret),
            contacts: Keyed::new(sockets, secret),
            blocks: Keyed::new(room.blocks, secret),
            has_whole: false,
            hand: 0,
            capacity: flows as usize,
        }
    }

    /// Whether an inside address may open one more flow by these limits (T-10). Whoever is at the limit may open anew what is over:
    /// `gives_way` is the slot of that, if there is one.
    pub(crate) fn admit(
        &self,
        now: u64,
        limits: &Limits,
        wanted: &Wanted,
        gives_way: impl FnOnce() -> Option<u32>,
    ) -> Result<(), NoTuple> {
        let Some(host) = self.host(wanted) else { return Ok(()) };
        if limits.flows > 0 && host.flows >= limits.flows {
            let counts =
                |slot: u32| self.of.get(slot as usize).is_some_and(|share| share.host != NIL);
            if host.flows > limits.flows || !gives_way().is_some_and(counts) {
                return Err(NoTuple::Quota);
            }
        }
        let Some(rate) = limits.rate else { return Ok(()) };
        let interval = nanoseconds(rate.interval);
        let burst = interval.saturating_mul(u64::from(rate.burst).saturating_sub(1));
        match host.paid_until <= now.saturating_add(burst) {
            true => Ok(()),
            false => Err(NoTuple::Rate),
        }
    }

    /// Whether an inside address may have one more port.
    pub(crate) fn admit_port(&self, limits: &Limits, wanted: &Wanted) -> Result<(), NoTuple> {
        match self.host(wanted) {
            Some(host) if limits.ports > 0 && host.ports >= limits.ports => Err(NoTuple::Quota),
            _ => Ok(()),
        }
    }

    /// The external tuple that an inside socket has.
    pub(crate) fn external(&self, rule: SocketRule, wanted: &Wanted) -> Option<SocketAddrV4> {
        let key = socket_key(rule, wanted.inside_zone, wanted.protocol, wanted.inside)?;
        let socket = self.sockets.get(self.sockets.find(&key)?)?;
        Some(socket.external)
    }

    /// Whether a key is the external tuple of a whole socket, towards all remotes.
    pub(crate) fn has_external(&self, key: &Key) -> bool {
        self.externals.find(key).is_some()
    }

    /// Whether external tuples may rest towards all remotes.
    pub(crate) fn has_whole(&self) -> bool {
        self.has_whole
    }

    /// The inside socket to which a packet from the outside may come without a flow (T-03).
    pub(crate) fn inbound(&self, zone: Zone, tuple: &FiveTuple) -> Option<Inbound> {
        let key = Key::new(zone, tuple);
        let number = *self.externals.get(self.externals.find(&whole(&key))?)?;
        let socket = self.sockets.get(number)?;
        let filtering = socket.filtering?;
        let open = match filtering {
            Filtering::AddressAndPort => false,
            Filtering::Address => self.contacts.find(&contact(&key)).is_some(),
            Filtering::Independent => true,
        };
        let inside = self.sockets.key(number)?;
        let sharing = Sharing {
            socket: SocketRule::Whole(filtering),
            counts: self.hosts.get(socket.host).is_some(),
            delays: 0,
            block: self.block(socket.block),
            ..Sharing::default()
        };
        open.then(|| Inbound { inside: inside.tuple().source, zone: inside.zone(), sharing })
    }

    /// Whether [`join`](Self::join) would succeed, and whether what it takes is not another's.
    pub(crate) fn can_join<T: Copy>(&self, now: u64, new: &NewFlow<T>) -> Result<(), Unshared> {
        let sharing = &new.sharing;
        if sharing.is_none() {
            return Ok(());
        }
        let room = |missing: bool, full: bool| {
            if missing && full { Err(Unshared::NoRoom) } else { Ok(()) }
        };
        if sharing.counts || sharing.block.is_some() {
            room(
                self.hosts.find(&host_key(new.inside_zone, new.inside)).is_none(),
                self.hosts.is_full() && self.idle(now).is_none(),
            )?;
        }
        if let Some(block) = sharing.block {
            room(self.blocks.find(&block.key(new.outside_zone)).is_none(), self.blocks.is_full())?;
        }
        let outside = new.key(Side::Outside);
        if let Some(key) = socket_key(sharing.socket, new.inside_zone, new.protocol, new.inside) {
            let number = self.sockets.find(&key);
            room(number.is_none(), self.sockets.is_full())?;
            let owner = self.externals.find(&whole(&outside)).and_then(|at| self.externals.get(at));
            let is_whole = matches!(sharing.socket, SocketRule::Whole(_));
            if is_whole && owner != number.as_ref() {
                return Err(Unshared::Anothers);
            }
            let socket = number.and_then(|number| self.sockets.get(number));
            if socket.map_or(sharing.filtering(), |socket| socket.filtering)
                == Some(Filtering::Address)
            {
                room(self.contacts.find(&contact(&outside)).is_none(), self.contacts.is_full())?;
            }
        }
        Ok(())
    }

    /// Lets a new flow share what it is to, before it has a slot. Whether its socket takes the external tuple as such, towards all
    /// remotes, is the second answer.
    pub(crate) fn join<T: Copy>(&mut self, now: u64, new: &NewFlow<T>) -> Option<(Share, bool)> {
        let mut share = Share::NONE;
        if new.sharing.is_none() {
            return Some((share, false));
        }
        match self.enter(now, new, &mut share) {
            Some(takes) => Some((share, takes)),
            None => {
                self.part(now, share, 0, &new.key(Side::Outside));
                None
            }
        }
    }

    /// Notes what the flow in a slot shares.
    pub(crate) fn seat(&mut self, slot: u32, share: Share) {
        let at = slot as usize;
        if share.is_none() || at >= self.capacity {
            return;
        }
        if self.of.len() <= at {
            self.of.resize(at.saturating_add(1), Share::NONE);
        }
        if let Some(place) = self.of.get_mut(at) {
            *place = share;
        }
    }

    fn enter<T: Copy>(&mut self, now: u64, new: &NewFlow<T>, share: &mut Share) -> Option<bool> {
        let sharing = new.sharing;
        if sharing.counts || sharing.block.is_some() {
            let key = host_key(new.inside_zone, new.inside);
            if self.hosts.is_full()
                && self.hosts.find(&key).is_none()
                && let Some(idle) = self.idle(now)
            {
                self.hosts.remove(idle);
                self.hand = idle.wrapping_add(1);
            }
            share.host = self.hosts.find_or_insert(key, Host::default())?;
            let host = self.hosts.get_mut(share.host)?;
            host.flows = host.flows.saturating_add(1);
            host.paid_until = host.paid_until.max(now).saturating_add(sharing.delays);
        }
        if let Some(block) = sharing.block {
            let owner = BlockUse { flows: 0, host: share.host, last: block.last };
            share.block = self.blocks.find_or_insert(block.key(new.outside_zone), owner)?;
            let used = self.blocks.get_mut(share.block)?;
            used.flows = used.flows.saturating_add(1);
            let (is_new, number) = (used.flows == 1, share.block);
            let host = self.hosts.get_mut(share.host)?;
            if is_new && let Some(place) = host.blocks.iter_mut().find(|place| place.is_none()) {
                *place = Some(number);
            }
        }
        let outside = new.key(Side::Outside);
        let mut takes = false;
        if let Some(key) = socket_key(sharing.socket, new.inside_zone, new.protocol, new.inside) {
            let filtering = sharing.filtering();
            let Share { host, block, .. } = *share;
            let external = new.external;
            let socket = Socket { external, filtering, flows: 0, host, block, rests_until: 0 };
            share.socket = self.sockets.find_or_insert(key, socket)?;
            let number = share.socket;
            let socket = self.sockets.get_mut(number)?;
            socket.flows = socket.flows.saturating_add(1);
            let (is_new, filtering) = (socket.flows == 1, socket.filtering);
            if is_new && let Some(host) = self.hosts.get_mut(share.host) {
                host.ports = host.ports.saturating_add(1);
            }
            if is_new && filtering.is_some() {
                self.externals.find_or_insert(whole(&outside), number)?;
                self.has_whole = true;
                takes = true;
            }
            // A port keeps the filter with which it was given.
            if filtering == Some(Filtering::Address) {
                share.contact = self.contacts.find_or_insert(contact(&outside), 0)?;
                let flows = self.contacts.get_mut(share.contact)?;
                *flows = flows.saturating_add(1);
            }
        }
        Some(takes)
    }

    /// Whether the flow in a slot has its external tuple from a whole socket, and so leaves the rest to that.
    pub(crate) fn is_of_whole(&self, slot: u32) -> bool {
        let share = self.of.get(slot as usize);
        share
            .and_then(|share| self.sockets.get(share.socket))
            .is_some_and(|socket| socket.filtering.is_some())
    }

    /// The block of the flow in a slot, and how many flows have ports of it.
    pub(crate) fn block_of(&self, slot: u32) -> Option<(Block, u32)> {
        let number = self.of.get(slot as usize)?.block;
        Some((self.block(number)?, self.blocks.get(number)?.flows))
    }

    /// The flow in a slot has ended, and its tuple would rest until then. A whole socket that has no other flow is gone.
    pub(crate) fn leave(&mut self, now: u64, slot: u32, until: u64, outside: &Key) -> Option<Left> {
        let place = self.of.get_mut(slot as usize)?;
        let share = core::mem::replace(place, Share::NONE);
        self.part(now, share, until, outside)
    }

    /// Undoes [`join`](Self::join).
    pub(crate) fn part(
        &mut self,
        now: u64,
        share: Share,
        until: u64,
        outside: &Key,
    ) -> Option<Left> {
        if let Some(flows) = self.contacts.get_mut(share.contact) {
            *flows = flows.saturating_sub(1);
            if *flows == 0 {
                self.contacts.remove(share.contact);
            }
        }
        let left = self.leave_socket(share.socket, until, outside);
        if let Some(used) = self.blocks.get_mut(share.block) {
            used.flows = used.flows.saturating_sub(1);
            if used.flows == 0 {
                if let Some(host) = self.hosts.get_mut(used.host) {
                    host.blocks
                        .iter_mut()
                        .filter(|at| **at == Some(share.block))
                        .for_each(|at| *at = None);
                }
                self.blocks.remove(share.block);
            }
        }
        if let Some(host) = self.hosts.get_mut(share.host) {
            host.flows = host.flows.saturating_sub(1);
            if host.is_idle(now) {
                self.hosts.remove(share.host);
            }
        }
        left
    }

    fn leave_socket(&mut self, number: u32, until: u64, outside: &Key) -> Option<Left> {
        let socket = self.sockets.get_mut(number)?;
        socket.flows = socket.flows.saturating_sub(1);
        socket.rests_until = socket.rests_until.max(until);
        if socket.flows > 0 {
            return None;
        }
        let Socket { filtering, host, rests_until: until, .. } = *socket;
        self.sockets.remove(number);
        if let Some(host) = self.hosts.get_mut(host) {
            host.ports = host.ports.saturating_sub(1);
        }
        filtering?;
        let key = whole(outside);
        if let Some(at) = self.externals.find(&key) {
            self.externals.remove(at);
        }
        Some(Left { key, until })
    }

    /// The blocks that an inside address has now.
    pub(crate) fn blocks_of(&self, wanted: &Wanted) -> impl Iterator<Item = Block> {
        let blocks = self.host(wanted).map_or([None; 4], |host| host.blocks);
        blocks.into_iter().flatten().filter_map(|number| self.block(number))
    }

    /// Whether nobody has a block.
    pub(crate) fn is_unused(&self, zone: Zone, block: Block) -> bool {
        self.blocks.find(&block.key(zone)).is_none()
    }

    fn block(&self, number: u32) -> Option<Block> {
        let (used, key) = (self.blocks.get(number)?, self.blocks.key(number)?);
        let end = key.tuple().destination;
        Some(Block { address: *end.ip(), first: end.port(), last: used.last })
    }

    fn host(&self, wanted: &Wanted) -> Option<&Host> {
        self.hosts.get(self.hosts.find(&host_key(wanted.inside_zone, wanted.inside))?)
    }

    /// A host that may be forgotten to make room, of the next few: those that only still had to wait for their next flow.
    fn idle(&self, now: u64) -> Option<u32> {
        let all = self.hosts.used();
        let mut next = (0..8).filter_map(|step| self.hand.wrapping_add(step).checked_rem(all));
        next.find(|&at| self.hosts.get(at).is_some_and(|host| host.is_idle(now)))
    }
}

/// Why a flow cannot share what it is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unshared {
    NoRoom,
    /// Its external tuple belongs to another inside socket.
    Anothers,
}

impl Host {
    /// Whether it has nothing and owes nothing.
    fn is_idle(&self, now: u64) -> bool {
        self.flows == 0 && self.ports == 0 && self.paid_until <= now
    }
}

impl Share {
    const NONE: Self = Self { host: NIL, socket: NIL, contact: NIL, block: NIL };

    fn is_none(self) -> bool {
        self == Self::NONE
    }
}

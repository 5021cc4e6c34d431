//! Cases that random packets do not reach. An endpoint that is enabled and disabled is in Linux a
//! rule that leaves a destination untranslated (T-12). Fragments are compared after they are
//! joined, since Linux joins them (T-28).

use core::net::Ipv4Addr;

use vnetem_nat::Side;

use crate::draft::{Segment, put};
use crate::packet::{Emitted, ICMP, byte, double, header, payload, show, source_port, word};
use crate::{Draft, Exchange, Failure, Kernel, Ours, Tracking, command, place};

const SYN: u8 = 2;
const ACK: u8 = 16;
const SERVER: u16 = 443;

/// Both sides of a comparison, and the number of compared packets.
struct Pair {
    kernel: Kernel,
    ours: Ours,
    compared: usize,
}

/// Enables and disables an endpoint under connections and datagrams, `rounds` times each. Returns
/// the number of compared packets.
///
/// In Linux a rule before `masquerade` accepts TCP to the service. Linux keeps its tracking
/// entries, so a switch deletes them by the tool. In both, nothing translated leaves afterwards,
/// and all other traffic goes on.
///
/// # Errors
///
/// Something cannot be done, or the first difference.
pub fn toggles(rounds: u16) -> Result<usize, Failure> {
    let mut pair = Pair {
        kernel: Kernel::start(Tracking::Liberal)?,
        ours: Ours::with_service()?,
        compared: 0,
    };
    let datagram = |port| {
        Draft::udp((place::host(0), place::remote(0)), (port, SERVER), b"datagram", true).build()
    };
    let other = pair.connect(place::host(1), 30_000, place::TIMEKEEPER)?;
    let external = pair.same(Side::Internal, &datagram(20_000))?.map(|out| source_port(&out));
    for round in 0..2 * rounds {
        let on = round % 2 == 0;
        let port = 40_000 + round * 8;
        let before: Vec<_> = (0..place::REMOTES)
            .map(|n| pair.connect(place::host(n), port + u16::from(n), place::remote(n)))
            .collect::<Result<_, _>>()?;
        let private = before.iter().all(|talk| talk.external.0 == talk.internal.0);
        let public = before.iter().all(|talk| talk.external.0 == place::EXTERNAL);
        if !(if on { public } else { private }) {
            return Err(format!("round {round}: {before:?}").into());
        }
        pair.switch(on)?;
        for talk in &before {
            for (from, packet) in [
                (Side::Internal, talk.segment(Side::Internal, ACK, (1001, 5001), b"late")),
                (Side::External, talk.segment(Side::External, ACK, (5001, 1001), b"late")),
            ] {
                pair.nothing_through(from, &packet)?;
            }
        }
        // E-13: datagrams are not affected, and neither is traffic elsewhere.
        let out = pair.same(Side::Internal, &datagram(20_000))?;
        if out.map(|out| source_port(&out)) != external {
            return Err(format!("round {round}: a datagram has another port").into());
        }
        pair.talk(&other)?;
    }
    Ok(pair.compared)
}

/// Sends datagrams of all lengths around one and two cuts through both, from both sides, in order
/// and out of order. Returns the number of compared datagrams. What comes out is joined before it
/// is compared. Out of order, vnetem drops what comes before its first fragment (P-30), so that is
/// sent again.
///
/// # Errors
///
/// Something cannot be done, or the first difference.
pub fn fragments() -> Result<usize, Failure> {
    let mut pair =
        Pair { kernel: Kernel::start(Tracking::Liberal)?, ours: Ours::liberal()?, compared: 0 };
    let mut identification = 1;
    for length in 17..80 {
        for order in [&[0, 1][..], &[0, 1, 2], &[0, 2, 1], &[1, 0], &[2, 1, 0], &[1, 2, 0]] {
            let host = place::host(length % 8);
            let ends = (host, place::remote(0));
            let data: Vec<u8> = (0..length).collect();
            for protocol in [17, ICMP] {
                let draft = |ends, port, kind| match protocol {
                    ICMP => Draft::icmp(ends, (kind, 0), u32::from(port) << 16, &data),
                    _ if kind == 8 => Draft::udp(ends, (port, SERVER), &data, true),
                    _ => Draft::udp(ends, (SERVER, port), &data, true),
                };
                identification += 1;
                let sent = draft(ends, 5000 + u16::from(length), 8);
                let out = pair.joined(Side::Internal, sent, order, identification)?;
                let port = source_port(&out);
                identification += 1;
                let back = draft((ends.1, place::EXTERNAL), port, 0);
                pair.joined(Side::External, back, order, identification)?;
            }
        }
    }
    Ok(pair.compared)
}

/// A connection as both ends have it.
#[derive(Debug)]
struct Talk {
    internal: (Ipv4Addr, u16),
    external: (Ipv4Addr, u16),
    remote: Ipv4Addr,
}

impl Talk {
    fn segment(&self, from: Side, flags: u8, numbers: (u32, u32), data: &[u8]) -> Vec<u8> {
        let (ends, ports) = match from {
            Side::Internal => ((self.internal.0, self.remote), (self.internal.1, SERVER)),
            Side::External => ((self.remote, self.external.0), (SERVER, self.external.1)),
        };
        let (sequence, acknowledgement) = numbers;
        let segment = Segment {
            ports,
            sequence,
            acknowledgement,
            flags,
            options: Vec::new(),
            data: data.to_vec(),
        };
        Draft::tcp(ends, &segment).build()
    }
}

impl Pair {
    /// Sends a packet through both, which must do the same. Returns what came out on the other
    /// side.
    fn same(&mut self, from: Side, sent: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.compared += 1;
        let emitted = self.kernel.send(from, sent);
        let exchange = Exchange { from, sent: sent.to_vec(), emitted };
        let (verdict, ours) = self.ours.send(from, sent, exchange.port());
        if exchange.emitted != ours {
            let kernel: Vec<_> = exchange.emitted.iter().map(|one| show(&one.bytes)).collect();
            let ours: Vec<_> = ours.iter().map(|one| show(&one.bytes)).collect();
            let sent = show(sent);
            return Err(format!("{sent}: kernel {kernel:?} ours {ours:?} {verdict:?}").into());
        }
        Ok(exchange.emitted.into_iter().find(|one| one.to != from).map(|one| one.bytes))
    }

    /// Sends a packet that neither forwards, whatever they answer to its sender.
    fn nothing_through(&mut self, from: Side, sent: &[u8]) -> Result<(), Failure> {
        self.compared += 1;
        let kernel = self.kernel.send(from, sent);
        let (_, ours) = self.ours.send(from, sent, None);
        let through = kernel.iter().chain(&ours).find(|one| one.to != from);
        match through {
            None => Ok(()),
            Some(one) => Err(format!("{} came out as {}", show(sent), show(&one.bytes)).into()),
        }
    }

    fn connect(&mut self, host: Ipv4Addr, port: u16, remote: Ipv4Addr) -> Result<Talk, Failure> {
        let internal = (host, port);
        let mut talk = Talk { internal, external: internal, remote };
        let syn = talk.segment(Side::Internal, SYN, (1000, 0), b"");
        let out = self.same(Side::Internal, &syn)?.ok_or("a SYN did not come out")?;
        talk.external = (Ipv4Addr::from_bits(double(&out, 12)), source_port(&out));
        for (from, flags, numbers) in
            [(Side::External, SYN | ACK, (5000, 1001)), (Side::Internal, ACK, (1001, 5001))]
        {
            self.same(from, &talk.segment(from, flags, numbers, b""))?.ok_or("no handshake")?;
        }
        self.talk(&talk)?;
        Ok(talk)
    }

    /// Sends data both ways.
    fn talk(&mut self, talk: &Talk) -> Result<(), Failure> {
        for (from, numbers) in [(Side::Internal, (1001, 5001)), (Side::External, (5001, 1001))] {
            let packet = talk.segment(from, ACK, numbers, b"data");
            self.same(from, &packet)?.ok_or("data did not come out")?;
        }
        Ok(())
    }

    fn switch(&mut self, on: bool) -> Result<(), Failure> {
        let rule = ["ip", "daddr", "52.239.1.0/24", "meta", "l4proto", "tcp", "accept"];
        let chain = ["ip", "oracle", "translate"];
        if on {
            command("nft", &[&["insert", "rule"], &chain[..], &rule[..]].concat())?;
        } else {
            command("nft", &[&["flush", "chain"], &chain[..]].concat())?;
            let all = ["oifname", "tout", "masquerade"];
            command("nft", &[&["add", "rule"], &chain[..], &all[..]].concat())?;
        }
        for n in 0..place::REMOTES {
            let remote = place::remote(n).to_string();
            // Having nothing to delete is an error to the tool.
            let _ = command("conntrack", &["-D", "-p", "tcp", "-d", &remote]);
        }
        self.ours.switch(on)
    }

    /// Sends a datagram in pieces, in this order, through both. What came out, joined, must be the
    /// same, and is returned.
    fn joined(
        &mut self,
        from: Side,
        mut draft: Draft,
        order: &[usize],
        identification: u16,
    ) -> Result<Vec<u8>, Failure> {
        self.compared += 1;
        (draft.identification, draft.fragment) = (identification, 0);
        let whole = draft.build();
        let mut pieces = pieces(&whole, order.len());
        let mut kernel = Vec::new();
        for at in order {
            kernel.extend(self.kernel.send(from, pieces.get(*at).ok_or("no such piece")?));
        }
        let by_kernel = join(&kernel, from).ok_or("Linux let no whole datagram through")?;
        let port = match from {
            Side::Internal => Some(source_port(&by_kernel)),
            Side::External => None,
        };
        let mut ours = Vec::new();
        let mut left: Vec<usize> = order.to_vec();
        // What came before its first piece is sent again.
        for _ in 0..2 {
            left.retain(|at| {
                let piece = pieces.get_mut(*at).map(core::mem::take).unwrap_or_default();
                let (_, out) = self.ours.send(from, &piece, port);
                let dropped = out.is_empty();
                if let Some(place) = pieces.get_mut(*at) {
                    *place = piece;
                }
                ours.extend(out);
                dropped
            });
        }
        let by_ours = join(&ours, from).ok_or_else(|| format!("ours: {ours:?}"))?;
        if by_kernel != by_ours {
            let (kernel, ours) = (show(&by_kernel), show(&by_ours));
            return Err(format!("{}: kernel {kernel} ours {ours}", show(&whole)).into());
        }
        Ok(by_kernel)
    }
}

/// Cuts a datagram into this many pieces: eight bytes each, and the rest.
fn pieces(whole: &[u8], count: usize) -> Vec<Vec<u8>> {
    let (head, body) = whole.split_at(header(whole));
    let mut pieces = Vec::new();
    for at in 0..count {
        let from = at * 8;
        let to = if at + 1 == count { body.len() } else { from + 8 };
        let mut piece = head.to_vec();
        piece.extend_from_slice(body.get(from..to).unwrap_or_default());
        let more = if at + 1 == count { 0 } else { 0x2000 };
        let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        put(&mut piece, 2, length);
        put(&mut piece, 6, more | u16::try_from(at).unwrap_or(0));
        seal(&mut piece);
        pieces.push(piece);
    }
    pieces
}

/// Returns what came out on the other side, as one datagram; `None` if a part is missing.
fn join(emitted: &[Emitted], from: Side) -> Option<Vec<u8>> {
    let mut out: Vec<_> =
        emitted.iter().filter(|one| one.to != from).map(|one| &one.bytes).collect();
    out.sort_by_key(|bytes| word(bytes, 6) & 0x1FFF);
    let mut joined = out.first()?.get(..header(out.first()?))?.to_vec();
    for bytes in &out {
        if usize::from(word(bytes, 6) & 0x1FFF) * 8 != joined.len() - header(&joined) {
            return None;
        }
        joined.extend_from_slice(payload(bytes));
    }
    let complete = word(out.last()?, 6) & 0x2000 == 0;
    let length = u16::try_from(joined.len()).ok()?;
    put(&mut joined, 2, length);
    put(&mut joined, 6, 0);
    seal(&mut joined);
    (complete && byte(&joined, 0) == 0x45).then_some(joined)
}

/// Puts the right checksum into an IPv4 header.
fn seal(packet: &mut [u8]) {
    put(packet, 10, 0);
    let sum = !vnetem::packet::checksum::sum(packet.get(..header(packet)).unwrap_or_default());
    put(packet, 10, sum);
}

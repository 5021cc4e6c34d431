//! Prints a packet as a line, and parses a line into a packet.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::str::{FromStr, SplitWhitespace};

use thiserror::Error;
use vnetem_packet::{Protocol, TcpFlags};

use super::build::LENGTH_LIMIT;
use super::{Content, Datagram, Echo, IcmpError, Packet, Part, Problem, Segment};

/// What is wrong with the line of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {expected}, found {}", .found.as_ref().map_or("nothing".to_owned(), |word| format!("`{word}`")))]
pub struct PacketError {
    /// The word at which the parser stopped; `None` at the end of the line.
    pub found: Option<String>,
    /// What the parser expected there.
    pub expected: &'static str,
}

/// How deep errors may quote errors.
const DEPTH: u8 = 4;

const LETTERS: &str = "FSRPAUEC";

impl FromStr for Packet {
    type Err = PacketError;

    fn from_str(line: &str) -> Result<Self, PacketError> {
        parse(&mut Words { words: line.split_whitespace() }, DEPTH)
    }
}

/// Leaves out what has its default. Parsing the line gives the same packet.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content.ports() {
            Some((source, destination)) => {
                write!(f, "{}:{source} > {}:{destination}", self.source, self.destination)?;
            }
            None => write!(f, "{} > {}", self.source, self.destination)?,
        }
        match &self.content {
            Content::Tcp(segment) => print_tcp(f, segment)?,
            Content::Udp(datagram) => {
                f.write_str(" udp")?;
                print_flag(f, !datagram.checksum, "no-checksum")?;
                print_number(f, "len", datagram.length)?;
            }
            Content::Echo(echo) => {
                write!(
                    f,
                    " icmp {} id {}",
                    if echo.reply { "reply" } else { "echo" },
                    echo.identifier
                )?;
                print_number(f, "seq", echo.sequence)?;
                print_number(f, "len", echo.length)?;
            }
            Content::Error(icmp_error) => {
                write!(f, " icmp {}", icmp_error.problem)?;
                print_option(f, "quote", icmp_error.quoted)?;
            }
            Content::Data { protocol, length } => {
                write!(f, " {protocol}")?;
                print_number(f, "len", *length)?;
            }
        }
        if self.ttl != Self::TTL {
            write!(f, " ttl {}", self.ttl)?;
        }
        print_flag(f, self.dont_fragment, "df")?;
        if let Some(part) = self.fragment {
            write!(f, " frag id {} offset {}", part.identification, part.offset)?;
            print_flag(f, part.more, "more")?;
        }
        print_flag(f, self.flaws.checksum, "bad-checksum")?;
        print_flag(f, self.flaws.header_checksum, "bad-ip-checksum")?;
        match &self.content {
            Content::Error(icmp_error) => write!(f, " about {}", icmp_error.about),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetUnreachable => "unreachable net",
            Self::HostUnreachable => "unreachable host",
            Self::ProtocolUnreachable => "unreachable protocol",
            Self::PortUnreachable => "unreachable port",
            Self::FragmentationNeeded { mtu } => {
                return write!(f, "unreachable fragmentation-needed mtu {mtu}");
            }
            Self::Prohibited => "unreachable prohibited",
            Self::TimeExceeded => "time-exceeded",
            Self::ReassemblyTimeExceeded => "time-exceeded reassembly",
            Self::ParameterProblem => "parameter-problem",
        })
    }
}

fn print_tcp(f: &mut fmt::Formatter<'_>, segment: &Segment) -> fmt::Result {
    write!(f, " tcp {}", segment.flags)?;
    print_number(f, "seq", segment.sequence)?;
    print_number(f, "ack", segment.acknowledgement)?;
    if segment.window != Segment::WINDOW {
        write!(f, " win {}", segment.window)?;
    }
    print_option(f, "mss", segment.maximum_segment_size)?;
    print_option(f, "wscale", segment.window_scale)?;
    print_number(f, "len", segment.length)
}

fn print_number(f: &mut fmt::Formatter<'_>, name: &str, value: impl Into<u32>) -> fmt::Result {
    print_option(f, name, Some(value.into()).filter(|value| *value != 0))
}

fn print_option(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: Option<impl fmt::Display>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name} {value}"))
}

fn print_flag(f: &mut fmt::Formatter<'_>, set: bool, name: &str) -> fmt::Result {
    if set { write!(f, " {name}") } else { Ok(()) }
}

/// The words of a line, read one by one.
struct Words<'a> {
    words: SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.clone().next()
    }

    /// Reads the next word as `expected`.
    fn read<T: FromStr>(&mut self, expected: &'static str) -> Result<T, PacketError> {
        let word = self.next();
        word.and_then(|word| word.parse().ok()).ok_or_else(|| wrong(word, expected))
    }

    fn require(&mut self, wanted: &str, expected: &'static str) -> Result<(), PacketError> {
        let word = self.next();
        if word == Some(wanted) { Ok(()) } else { Err(wrong(word, expected)) }
    }

    /// Takes the next word if it is `wanted`, and says whether it was.
    fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }
}

fn wrong(found: Option<&str>, expected: &'static str) -> PacketError {
    PacketError { found: found.map(str::to_owned), expected }
}

/// An end of a packet, with a port or without.
#[derive(Clone, Copy)]
enum End {
    Port(SocketAddrV4),
    Address(Ipv4Addr),
}

impl FromStr for End {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let address = || word.parse().map(Self::Address);
        word.parse().map(Self::Port).or_else(|_| address()).map_err(|_| ())
    }
}

fn parse(words: &mut Words<'_>, depth: u8) -> Result<Packet, PacketError> {
    const ENDS: &str = "two addresses, both with a port or both without";
    let source: End = words.read("an address, or address:port")?;
    words.require(">", "`>`")?;
    let found = words.peek();
    let destination: End = words.read("an address, or address:port")?;
    let mut packet = match (source, destination) {
        (End::Port(source), End::Port(destination)) => {
            let content = parse_with_ports(words, source.port(), destination.port())?;
            Packet::new(*source.ip(), *destination.ip(), content)
        }
        (End::Address(source), End::Address(destination)) => {
            Packet::new(source, destination, parse_without_ports(words, source, destination)?)
        }
        _ => return Err(wrong(found, ENDS)),
    };
    let mut about = false;
    while let Some(word) = words.next() {
        about = word == "about" && matches!(packet.content, Content::Error(_));
        if about {
            break;
        }
        parse_word(word, words, &mut packet)?;
    }
    if let Content::Error(icmp_error) = &mut packet.content {
        if !about {
            return Err(wrong(None, "`about`"));
        }
        let deeper = depth.checked_sub(1).ok_or_else(|| wrong(words.peek(), "no deeper quote"))?;
        *icmp_error.about = parse(words, deeper)?;
    }
    Ok(packet)
}

fn parse_with_ports(
    words: &mut Words<'_>,
    source_port: u16,
    destination_port: u16,
) -> Result<Content, PacketError> {
    match words.next() {
        Some("tcp") => {
            let flags = words.next();
            let flags = flags.and_then(parse_flags).ok_or_else(|| wrong(flags, "TCP flags"))?;
            Ok(Content::Tcp(Segment::new(source_port, destination_port, flags)))
        }
        Some("udp") => {
            Ok(Content::Udp(Datagram { source_port, destination_port, checksum: true, length: 0 }))
        }
        other => Err(wrong(other, "`tcp` or `udp`")),
    }
}

fn parse_without_ports(
    words: &mut Words<'_>,
    source: Ipv4Addr,
    destination: Ipv4Addr,
) -> Result<Content, PacketError> {
    let word = words.next();
    let protocol = match word {
        Some("tcp") => Protocol::TCP,
        Some("udp") => Protocol::UDP,
        Some("icmp") => Protocol::ICMP,
        other => other
            .and_then(|word| word.strip_prefix("ip-")?.parse().ok())
            .map(Protocol)
            .ok_or_else(|| wrong(other, "`icmp`, `tcp`, `udp` or `ip-` and a number"))?,
    };
    let data = Content::Data { protocol, length: 0 };
    if protocol != Protocol::ICMP {
        return Ok(data);
    }
    if let Some(problem) = parse_problem(words)? {
        // The quoted packet follows at the end of the line.
        let about = Box::new(Packet::new(destination, source, data));
        return Ok(Content::Error(IcmpError { problem, about, quoted: None }));
    }
    let reply = words.take("reply");
    if !reply && !words.take("echo") {
        return Ok(data);
    }
    words.require("id", "`id`")?;
    let identifier = words.read("an identifier up to 65535")?;
    Ok(Content::Echo(Echo { reply, identifier, sequence: 0, length: 0 }))
}

/// Parses a word after the packet's kind, together with its arguments.
fn parse_word(word: &str, words: &mut Words<'_>, packet: &mut Packet) -> Result<(), PacketError> {
    match (word, &mut packet.content) {
        ("ttl", _) => packet.ttl = words.read("a time to live up to 255")?,
        ("df", _) => packet.dont_fragment = true,
        ("frag", _) => packet.fragment = Some(parse_part(words)?),
        ("bad-checksum", _) => packet.flaws.checksum = true,
        ("bad-ip-checksum", _) => packet.flaws.header_checksum = true,
        ("seq", Content::Tcp(segment)) => segment.sequence = words.read("a sequence number")?,
        ("seq", Content::Echo(echo)) => echo.sequence = words.read("a number up to 65535")?,
        ("ack", Content::Tcp(segment)) => {
            segment.acknowledgement = words.read("an acknowledgement number")?;
        }
        ("win", Content::Tcp(segment)) => segment.window = words.read("a window up to 65535")?,
        ("mss", Content::Tcp(segment)) => {
            segment.maximum_segment_size = Some(words.read("a size up to 65535")?);
        }
        ("wscale", Content::Tcp(segment)) => {
            segment.window_scale = Some(words.read("a shift up to 255")?);
        }
        ("no-checksum", Content::Udp(datagram)) => datagram.checksum = false,
        ("quote", Content::Error(icmp_error)) => {
            icmp_error.quoted = Some(words.read("a length up to 65535")?);
        }
        (
            "len",
            Content::Tcp(Segment { length, .. })
            | Content::Udp(Datagram { length, .. })
            | Content::Echo(Echo { length, .. })
            | Content::Data { length, .. },
        ) => *length = parse_length(words)?,
        (other, content) => {
            let expected = match content {
                Content::Tcp(_) => "a word of a TCP segment, or the end of the line",
                Content::Udp(_) => "a word of a UDP datagram, or the end of the line",
                Content::Echo(_) => "a word of an ICMP echo, or the end of the line",
                Content::Error(_) => "a word of an ICMP error, or `about`",
                Content::Data { protocol: Protocol::TCP, .. } if parse_flags(other).is_some() => {
                    "ports behind both addresses, since TCP flags follow"
                }
                Content::Data { .. } => "a word of any packet, `len`, or the end of the line",
            };
            return Err(wrong(Some(other), expected));
        }
    }
    Ok(())
}

fn parse_part(words: &mut Words<'_>) -> Result<Part, PacketError> {
    words.require("id", "`id`")?;
    let identification = words.read("an identification up to 65535")?;
    words.require("offset", "`offset`")?;
    let found = words.peek();
    let offset = words.read("an offset in bytes up to 65535")?;
    if offset % 8 != 0 {
        return Err(wrong(found, "a multiple of 8"));
    }
    Ok(Part { identification, offset, more: words.take("more") })
}

fn parse_problem(words: &mut Words<'_>) -> Result<Option<Problem>, PacketError> {
    if words.take("time-exceeded") {
        let reassembly = words.take("reassembly");
        let problem =
            if reassembly { Problem::ReassemblyTimeExceeded } else { Problem::TimeExceeded };
        return Ok(Some(problem));
    }
    if words.take("parameter-problem") {
        return Ok(Some(Problem::ParameterProblem));
    }
    if !words.take("unreachable") {
        return Ok(None);
    }
    Ok(Some(match words.next() {
        Some("net") => Problem::NetUnreachable,
        Some("host") => Problem::HostUnreachable,
        Some("protocol") => Problem::ProtocolUnreachable,
        Some("port") => Problem::PortUnreachable,
        Some("prohibited") => Problem::Prohibited,
        Some("fragmentation-needed") => {
            words.require("mtu", "`mtu`")?;
            Problem::FragmentationNeeded { mtu: words.read("a size up to 65535")? }
        }
        other => {
            let expected =
                "`net`, `host`, `protocol`, `port`, `prohibited` or `fragmentation-needed`";
            return Err(wrong(other, expected));
        }
    }))
}

fn parse_length(words: &mut Words<'_>) -> Result<u16, PacketError> {
    const EXPECTED: &str = "a length up to 65455";
    let found = words.peek();
    let length = words.read(EXPECTED)?;
    if length > LENGTH_LIMIT { Err(wrong(found, EXPECTED)) } else { Ok(length) }
}

fn parse_flags(word: &str) -> Option<TcpFlags> {
    if word == "." {
        return Some(TcpFlags(0));
    }
    let bit = |letter| LETTERS.find(letter).map(|bit| 1_u8 << bit);
    word.chars().try_fold(0, |flags, letter| Some(flags | bit(letter)?)).map(TcpFlags)
}

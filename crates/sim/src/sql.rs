//! Just enough TDS (MS-TDS 7.4, without TLS) for a login to be let in or refused and for a query to
//! be answered by a long stream of rows.

use bytes::{BufMut, Bytes, BytesMut};

/// The port of SQL servers.
pub const PORT: u16 = 1433;

/// Bytes of the header of a TDS packet.
const HEADER: usize = 8;
/// Largest TDS packet that is sent.
const PACKET_LIMIT: usize = 4096;
/// Largest row of one binary column that fits a packet: header, token and length aside.
pub(crate) const ROW_LIMIT: u64 = (PACKET_LIMIT - HEADER - 3) as u64;

/// Types of TDS messages (MS-TDS 2.2.3.1.1).
mod kind {
    pub(super) const BATCH: u8 = 0x01;
    pub(super) const RESPONSE: u8 = 0x04;
    pub(super) const LOGIN: u8 = 0x10;
    pub(super) const PRELOGIN: u8 = 0x12;
}

/// Tokens of a response (MS-TDS 2.2.7).
mod token {
    pub(super) const COLUMNS: u8 = 0x81;
    pub(super) const ERROR: u8 = 0xaa;
    pub(super) const LOGIN_ACKNOWLEDGEMENT: u8 = 0xad;
    pub(super) const ROW: u8 = 0xd1;
    pub(super) const DONE: u8 = 0xfd;
}

/// Writes what a client sends to run one query: prelogin, login to `server`, and the query, one
/// behind the other.
///
/// The query's text says how long the answer is, as a blob's name does:
/// `select bytes=1000000 rate=20000`.
#[must_use]
pub fn conversation(server: &str, query: &str) -> Bytes {
    let mut out = BytesMut::new();
    put_message(&mut out, kind::PRELOGIN, &prelogin());
    put_message(&mut out, kind::LOGIN, &login(server));
    let mut batch = BytesMut::new();
    // ALL_HEADERS with the transaction descriptor alone.
    batch.put_u32_le(22);
    batch.put_u32_le(18);
    batch.put_u16_le(2);
    batch.put_u64_le(0);
    batch.put_u32_le(1);
    put_wide(&mut batch, query);
    put_message(&mut out, kind::BATCH, &batch);
    out.freeze()
}

/// How far a client has come with a SQL server, from all that it has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer to the prelogin is not whole yet.
    Nothing,
    /// The server has answered the prelogin.
    Prelogin,
    /// The login was refused with this error: 40914 for a subnet without a rule, 40615 for an
    /// address without one (F-18).
    Refused {
        /// Number of the error.
        number: u32,
        /// Its text.
        message: String,
    },
    /// The login was let in.
    LoggedIn,
    /// What came is not TDS.
    Malformed,
}

impl Outcome {
    /// Reads what a client has received, from the first byte on.
    #[must_use]
    pub fn of(received: &[u8]) -> Self {
        match Message::parse(received) {
            Ok(None) => Self::Nothing,
            Ok(Some((first, length))) if first.kind == kind::RESPONSE => {
                match Message::parse(received.get(length..).unwrap_or_default()) {
                    Ok(None) => Self::Prelogin,
                    Ok(Some((second, _))) => second.login_outcome().unwrap_or(Self::Malformed),
                    Err(NotTds) => Self::Malformed,
                }
            }
            _ => Self::Malformed,
        }
    }
}

/// A whole message, put together from its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    kind: u8,
    payload: Vec<u8>,
}

/// What a message asks of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Prelogin,
    Login { server: String },
    Query { text: String },
    Other,
}

/// The bytes are no TDS packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTds;

impl Message {
    /// Longest message that is taken.
    const LIMIT: usize = 65_536;

    /// The message at the start of `bytes` and its length on the wire, or nothing if it is not
    /// whole yet.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, NotTds> {
        let mut payload = Vec::new();
        let mut rest = bytes;
        loop {
            let Some((header, behind)) = rest.split_first_chunk::<HEADER>() else {
                return Ok(None);
            };
            let [kind, status, high, low, ..] = *header;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let known = [kind::BATCH, kind::RESPONSE, kind::LOGIN, kind::PRELOGIN].contains(&kind);
            if !known || length < HEADER || payload.len() > Self::LIMIT {
                return Err(NotTds);
            }
            let Some((part, behind)) = behind.split_at_checked(length - HEADER) else {
                return Ok(None);
            };
            payload.extend_from_slice(part);
            rest = behind;
            if status & 1 != 0 {
                return Ok(Some((Self { kind, payload }, bytes.len() - rest.len())));
            }
        }
    }

    pub(crate) fn asked(&self) -> Asked {
        match self.kind {
            kind::PRELOGIN => Asked::Prelogin,
            kind::LOGIN => Asked::Login { server: self.server_name().unwrap_or_default() },
            kind::BATCH => Asked::Query { text: self.query().unwrap_or_default() },
            _ => Asked::Other,
        }
    }

    /// Offset and length of the server's name stand at bytes 52 to 55 of a login (MS-TDS 2.2.6.4).
    fn server_name(&self) -> Option<String> {
        let offset = usize::from(self.word(52)?);
        let length = usize::from(self.word(54)?) * 2;
        self.payload.get(offset..)?.get(..length).map(narrow)
    }

    fn query(&self) -> Option<String> {
        let headers = u32::from_le_bytes(*self.payload.first_chunk()?);
        self.payload.get(usize::try_from(headers).ok()?..).map(narrow)
    }

    fn login_outcome(&self) -> Option<Outcome> {
        match *self.payload.first()? {
            token::LOGIN_ACKNOWLEDGEMENT => Some(Outcome::LoggedIn),
            token::ERROR => {
                let number = u32::from_le_bytes(*self.payload.get(3..)?.first_chunk()?);
                let length = usize::from(self.word(9)?) * 2;
                let message = narrow(self.payload.get(11..)?.get(..length)?);
                Some(Outcome::Refused { number, message })
            }
            _ => None,
        }
    }

    fn word(&self, offset: usize) -> Option<u16> {
        self.payload.get(offset..)?.first_chunk().copied().map(u16::from_le_bytes)
    }
}

/// The server's answer to a prelogin: its version, and that it does not encrypt.
pub(crate) fn prelogin_response() -> Bytes {
    response(&prelogin())
}

/// The answer to a login that is let in.
pub(crate) fn login_response() -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(token::LOGIN_ACKNOWLEDGEMENT);
    let name = "vnetem";
    // Interface, TDS version, name with its length, server version.
    body.put_u16_le(10 + 2 * 6);
    body.put_u8(1);
    body.put_u32(0x7400_0004);
    body.put_u8(6);
    put_wide(&mut body, name);
    body.put_u32(0x0c00_0000);
    put_done(&mut body, 0);
    response(&body)
}

/// The answer to a login that is refused (F-18).
pub(crate) fn refusal(number: u32, message: &str) -> Bytes {
    let message: String = message.chars().take(1000).collect();
    let wide: Vec<u16> = message.encode_utf16().collect();
    let units = u16::try_from(wide.len()).unwrap_or(u16::MAX);
    let mut body = BytesMut::new();
    body.put_u8(token::ERROR);
    // Number, state, class, message with its length, empty server and procedure names, line.
    body.put_u16_le(4 + 1 + 1 + 2 + units * 2 + 1 + 1 + 4);
    body.put_u32_le(number);
    body.put_u8(1);
    body.put_u8(14);
    body.put_u16_le(units);
    put_wide(&mut body, &message);
    body.put_u16(0);
    body.put_u32_le(1);
    put_done(&mut body, 2);
    response(&body)
}

/// The head of a result of one binary column; rows follow as [`row`] makes them, then
/// [`end_of_rows`].
pub(crate) fn columns() -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(token::COLUMNS);
    body.put_u16_le(1);
    body.put_u32_le(0);
    body.put_u16_le(0);
    body.put_u8(0xa5);
    body.put_u16_le(8000);
    body.put_u8(4);
    put_wide(&mut body, "data");
    let mut out = BytesMut::new();
    put_packet(&mut out, kind::RESPONSE, false, &body);
    out.freeze()
}

/// One packet with one row of `length` bytes, to be filled in by the caller behind the returned
/// bytes.
pub(crate) fn row_head(length: u16) -> Bytes {
    let mut out = BytesMut::new();
    put_header(&mut out, kind::RESPONSE, false, usize::from(length) + 3);
    out.put_u8(token::ROW);
    out.put_u16_le(length);
    out.freeze()
}

/// The end of a result.
pub(crate) fn end_of_rows() -> Bytes {
    let mut body = BytesMut::new();
    put_done(&mut body, 0);
    response(&body)
}

fn prelogin() -> Bytes {
    let mut body = BytesMut::new();
    // Version at 11, six bytes; encryption at 17, one byte: not supported.
    body.put_slice(&[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff]);
    body.put_slice(&[16, 0, 0, 0, 0, 0]);
    body.put_u8(2);
    body.freeze()
}

fn login(server: &str) -> Bytes {
    const FIXED: u16 = 94;
    let server: String = server.chars().take(128).collect();
    let units = u16::try_from(server.encode_utf16().count()).unwrap_or(u16::MAX);
    let mut body = BytesMut::new();
    body.put_u32_le(u32::from(FIXED) + u32::from(units) * 2);
    body.put_u32_le(0x7400_0004);
    body.put_u32_le(4096);
    body.put_bytes(0, 24);
    // Host, user, password, application; server; extension, library, language, database.
    for position in 0..9 {
        body.put_u16_le(FIXED);
        body.put_u16_le(if position == 4 { units } else { 0 });
    }
    body.put_bytes(0, 6);
    for _ in 0..3 {
        body.put_u16_le(FIXED);
        body.put_u16_le(0);
    }
    body.put_u32_le(0);
    put_wide(&mut body, &server);
    body.freeze()
}

fn response(body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    put_message(&mut out, kind::RESPONSE, body);
    out.freeze()
}

fn put_message(out: &mut BytesMut, kind: u8, body: &[u8]) {
    let mut parts = body.chunks(PACKET_LIMIT - HEADER).peekable();
    while let Some(part) = parts.next() {
        put_packet(out, kind, parts.peek().is_none(), part);
    }
}

fn put_packet(out: &mut BytesMut, kind: u8, last: bool, body: &[u8]) {
    put_header(out, kind, last, body.len());
    out.put_slice(body);
}

fn put_header(out: &mut BytesMut, kind: u8, last: bool, length: usize) {
    out.put_u8(kind);
    out.put_u8(u8::from(last));
    out.put_u16(u16::try_from(HEADER + length).unwrap_or(u16::MAX));
    // Process, number of the packet, window.
    out.put_u32(0x0000_0100);
}

fn put_done(body: &mut BytesMut, status: u16) {
    body.put_u8(token::DONE);
    body.put_u16_le(status);
    body.put_u16_le(0);
    body.put_u64_le(0);
}

fn put_wide(out: &mut BytesMut, text: &str) {
    text.encode_utf16().for_each(|unit| out.put_u16_le(unit));
}

fn narrow(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().copied().map(u16::from_le_bytes))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(mut bytes: &[u8]) -> Vec<Message> {
        let mut out = Vec::new();
        while let Ok(Some((message, length))) = Message::parse(bytes) {
            out.push(message);
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        out
    }

    #[test]
    fn conversation_is_prelogin_login_query() {
        let bytes = conversation("sql-a.database.windows.net", "select bytes=7 — é");
        let asked: Vec<_> = messages(&bytes).iter().map(Message::asked).collect();
        assert_eq!(
            asked,
            [
                Asked::Prelogin,
                Asked::Login { server: "sql-a.database.windows.net".to_owned() },
                Asked::Query { text: "select bytes=7 — é".to_owned() },
            ]
        );
    }

    #[test]
    fn message_is_read_only_when_complete() {
        let bytes = refusal(40914, "no");
        for cut in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..cut]), Ok(None));
        }
        assert!(matches!(Message::parse(&bytes), Ok(Some((_, length))) if length == bytes.len()));
    }

    #[test]
    fn long_message_spans_several_packets() {
        let query = "x".repeat(9000);
        let asked = messages(&conversation("s", &query)).remove(2).asked();
        assert_eq!(asked, Asked::Query { text: query });
    }

    /// F-18.
    #[test]
    fn client_distinguishes_refused_login() {
        let answer = |login: Bytes| {
            let bytes = [prelogin_response(), login].concat();
            Outcome::of(&bytes)
        };
        let message = "Client with IP address '20.1.1.1' is not allowed".to_owned();
        let refused = answer(refusal(40615, &message));
        assert_eq!(refused, Outcome::Refused { number: 40615, message });
        assert_eq!(answer(login_response()), Outcome::LoggedIn);
        assert_eq!(Outcome::of(&prelogin_response()), Outcome::Prelogin);
        assert_eq!(Outcome::of(&[]), Outcome::Nothing);
        assert_eq!(Outcome::of(b"HTTP/1.1 200 OK\r\n\r\n"), Outcome::Malformed);
    }

    #[test]
    fn a_row_packet_says_its_length() {
        let mut bytes = row_head(3).to_vec();
        bytes.extend_from_slice(b"abc");
        bytes.extend_from_slice(&end_of_rows());
        let (message, length) = Message::parse(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(&message.payload[..6], [token::ROW, 3, 0, b'a', b'b', b'c']);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(
            bytes: Vec<u8>,
            kind in prop::sample::select(vec![1_u8, 4, 0x10, 0x12]),
        ) {
            let _ = Outcome::of(&bytes);
            let mut framed = BytesMut::new();
            put_message(&mut framed, kind, &bytes);
            if let Ok(Some((message, _))) = Message::parse(&framed) {
                let _ = message.asked();
                let _ = message.login_outcome();
            }
        }
    }
}

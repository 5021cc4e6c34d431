//! The server's side of one connection: bytes in, calls to decide, bytes out as fast as the
//! connection takes them.

use bytes::{Buf, BytesMut};
use vnetem_nat::Time;

use crate::http::{self, HttpError, Request};
use crate::service::{Answer, App};
use crate::sql::{self, Asked};
use crate::{Blob, Refusal};

/// Bytes that are made ready at once: what stands between a paced body and the connection's own
/// buffer.
const CHUNK: u64 = 4096;
/// Bytes that a client may send ahead before the connection's window closes on it.
const INPUT_LIMIT: usize = 4 * http::HEAD_LIMIT;

/// A server's conversation with one client.
#[derive(Debug)]
pub(crate) struct Session {
    app: App,
    input: BytesMut,
    outgoing: Outgoing,
    /// A SQL login has been let in.
    logged_in: bool,
    /// No further request is taken.
    last: bool,
    input_ended: bool,
}

/// What the server has to decide before it can go on.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) host: String,
    pub(crate) target: String,
    head_only: bool,
}

impl Session {
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            input: BytesMut::new(),
            outgoing: Outgoing::default(),
            logged_in: false,
            last: false,
            input_ended: false,
        }
    }

    /// Whether more input is taken now. While an answer is on its way it is not, so that the
    /// client's window closes.
    pub(crate) fn takes_input(&self) -> bool {
        !self.last && self.outgoing.is_idle() && self.input.len() < INPUT_LIMIT
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The client has closed its side.
    pub(crate) fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// Goes on with what has come in, up to the next call that must be decided.
    pub(crate) fn next_question(&mut self, now: Time) -> Option<Question> {
        while !self.last && self.outgoing.is_idle() {
            let question = match self.app {
                App::Http => self.next_request()?,
                App::Sql => self.next_message(now)?,
            };
            if question.is_some() {
                return question;
            }
        }
        None
    }

    /// Starts the answer to a question and gives its status and code for the log.
    pub(crate) fn answer(&mut self, now: Time, asked: &Question, answer: &Answer) -> u16 {
        match (self.app, &answer.refusal) {
            (App::Http, None) => {
                let blob = Blob::named(&asked.target);
                self.outgoing.head(http::response_head(200, None, blob.length, self.last));
                if !asked.head_only {
                    self.outgoing.stream(now, blob, Framing::Whole);
                }
                200
            }
            (App::Http, Some(refusal)) => {
                self.refuse(refusal, asked.head_only);
                refusal.status
            }
            (App::Sql, None) => {
                self.logged_in = true;
                self.outgoing.head(sql::login_response());
                0
            }
            (App::Sql, Some(refusal)) => {
                self.last = true;
                self.outgoing.head(sql::refusal(u32::from(refusal.status), &refusal.message));
                refusal.status
            }
        }
    }

    pub(crate) fn app(&self) -> App {
        self.app
    }

    /// Writes what is to be sent now into `buffer` and says how much that is.
    pub(crate) fn fill(&mut self, now: Time, buffer: &mut [u8]) -> usize {
        self.outgoing.fill(now, buffer)
    }

    /// Bytes of bodies written since this was asked last.
    pub(crate) fn take_body_count(&mut self) -> u64 {
        core::mem::take(&mut self.outgoing.body)
    }

    /// When a paced answer has more to send.
    pub(crate) fn next_poll(&self) -> Option<Time> {
        self.outgoing.next_release()
    }

    /// Whether everything is said, so that the server closes.
    pub(crate) fn is_finished(&self) -> bool {
        self.last && self.outgoing.is_idle()
    }

    /// `None`: wait for more input. `Some(None)`: go on. `Some(Some)`: decide.
    fn next_request(&mut self) -> Option<Option<Question>> {
        match Request::parse(&self.input) {
            Ok(None) => {
                self.last = self.input_ended;
                None
            }
            Ok(Some((request, length))) => {
                self.input.advance(length);
                self.last = request.close;
                let head_only = request.method == "HEAD";
                if !head_only && request.method != "GET" {
                    self.refuse(&bad_request(405, "UnsupportedHttpVerb"), false);
                    return Some(None);
                }
                Some(Some(Question { host: request.host, target: request.target, head_only }))
            }
            Err(error) => {
                self.last = true;
                let status = match error {
                    HttpError::HeadTooLong => 431,
                    HttpError::Version => 505,
                    HttpError::Malformed | HttpError::Host => 400,
                };
                self.refuse(&bad_request(status, "InvalidInput"), false);
                Some(None)
            }
        }
    }

    fn next_message(&mut self, now: Time) -> Option<Option<Question>> {
        let Ok(message) = sql::Message::parse(&self.input) else {
            self.last = true;
            return None;
        };
        let Some((message, length)) = message else {
            self.last = self.input_ended;
            return None;
        };
        self.input.advance(length);
        match message.asked() {
            Asked::Prelogin => self.outgoing.head(sql::prelogin_response()),
            Asked::Login { server } => {
                let target = "login".to_owned();
                return Some(Some(Question { host: server, target, head_only: false }));
            }
            Asked::Query { text } if self.logged_in => {
                self.outgoing.head(sql::columns());
                self.outgoing.stream(now, Blob::named(&text), Framing::Rows);
            }
            Asked::Query { .. } | Asked::Other => self.last = true,
        }
        Some(None)
    }

    fn refuse(&mut self, refusal: &Refusal, head_only: bool) {
        let body = http::error_body(&refusal.code, &refusal.message);
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let code = Some(refusal.code.as_str());
        self.outgoing.head(http::response_head(refusal.status, code, length, self.last));
        if !head_only {
            self.outgoing.ready.extend_from_slice(body.as_bytes());
        }
    }
}

fn bad_request(status: u16, code: &str) -> Refusal {
    Refusal { status, code: code.to_owned(), message: "The request is not served.".to_owned() }
}

/// Bytes on their way into a connection: what is ready, and the body that is made as it goes.
#[derive(Debug, Default)]
struct Outgoing {
    ready: BytesMut,
    /// How many of the ready bytes are no body.
    head: usize,
    body: u64,
    stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    blob: Blob,
    framing: Framing,
    started: Time,
    offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Whole,
    /// Each chunk is a row in a packet of its own.
    Rows,
}

impl Outgoing {
    fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.stream.is_none()
    }

    fn head(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.ready.extend_from_slice(bytes);
        self.head += bytes.len();
    }

    fn stream(&mut self, started: Time, blob: Blob, framing: Framing) {
        self.stream = Some(Stream { blob, framing, started, offset: 0 });
    }

    fn fill(&mut self, now: Time, buffer: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(space) = buffer.get_mut(written..).filter(|space| !space.is_empty()) {
            if self.ready.is_empty() {
                self.refill(now);
            }
            if self.ready.is_empty() {
                break;
            }
            let count = space.len().min(self.ready.len());
            space.iter_mut().zip(&self.ready).for_each(|(to, from)| *to = *from);
            self.ready.advance(count);
            written += count;
        }
        // A stream that has no more to make is over, even if the buffer became full at its last
        // byte.
        if self.ready.is_empty() {
            self.refill(now);
        }
        let head = written.min(self.head);
        self.head -= head;
        self.body += u64::try_from(written - head).unwrap_or(u64::MAX);
        written
    }

    /// Makes the next chunk of the stream ready, or ends it.
    fn refill(&mut self, now: Time) {
        let Some(stream) = &mut self.stream else { return };
        let rows = stream.framing == Framing::Rows;
        if stream.offset >= stream.blob.length {
            self.stream = None;
            if rows {
                self.ready.extend_from_slice(&sql::end_of_rows());
            }
            return;
        }
        let released = stream.blob.released(now.since(stream.started));
        let limit = if rows { sql::ROW_LIMIT } else { CHUNK };
        // At most CHUNK, so it fits everywhere.
        let length = u16::try_from(released.saturating_sub(stream.offset).min(limit)).unwrap_or(0);
        if length == 0 {
            return;
        }
        if rows {
            self.ready.extend_from_slice(&sql::row_head(length));
        }
        let start = self.ready.len();
        self.ready.resize(start + usize::from(length), 0);
        stream.blob.fill(stream.offset, self.ready.get_mut(start..).unwrap_or_default());
        stream.offset += u64::from(length);
    }

    fn next_release(&self) -> Option<Time> {
        if !self.ready.is_empty() {
            return None;
        }
        let stream = self.stream.as_ref()?;
        Some(stream.started + stream.blob.release(stream.offset)?)
    }
}

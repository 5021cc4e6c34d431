//! Just enough HTTP/1.1 (RFC 9112) for a blob to be fetched and for a refusal to be spoken:
//! requests, response heads, error bodies.

use core::fmt::Write as _;

use bytes::Bytes;
use thiserror::Error;

/// Longest head of a message that is read, in bytes.
pub const HEAD_LIMIT: usize = 8192;

/// A request without a body.
///
/// ```
/// use vnetem_sim::http::{Request, Response};
///
/// let bytes = Request::get("stlogs.blob.core.windows.net", "/logs/today").write();
/// let (request, length) = Request::parse(&bytes)?.expect("the whole head is there");
/// assert_eq!((request.target.as_str(), length), ("/logs/today", bytes.len()));
/// # Ok::<(), vnetem_sim::http::HttpError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD` or another method.
    pub method: String,
    /// Path and query, as it stands in the request line.
    pub target: String,
    /// The `Host` field, which names the resource on a shared service address.
    pub host: String,
    /// Whether the connection ends after the response (RFC 9112 9.6).
    pub close: bool,
}

/// What has arrived of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// The `x-ms-error-code` field, by which Azure services name a refusal (F-16).
    pub error_code: Option<&'a str>,
    /// The `Content-Length` field.
    pub content_length: Option<u64>,
    /// As much of the body as has been given.
    pub body: &'a [u8],
}

/// Why bytes are no HTTP message that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The head does not end within [`HEAD_LIMIT`] bytes.
    #[error("the head is longer than 8192 bytes")]
    HeadTooLong,
    /// The first line or a field is not well formed (RFC 9112 3 and 5).
    #[error("the head is malformed")]
    Malformed,
    /// Another version than HTTP/1.0 or HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// A request without exactly one `Host` field (RFC 9112 3.2).
    #[error("there is not exactly one Host field")]
    Host,
}

impl Request {
    /// Makes a GET after which the server closes the connection.
    #[must_use]
    pub fn get(host: &str, target: &str) -> Self {
        let (method, target, host) = ("GET".to_owned(), target.to_owned(), host.to_owned());
        Self { method, target, host, close: true }
    }

    /// Makes the same request, after which the connection stays open.
    #[must_use]
    pub fn keep_alive(self) -> Self {
        Self { close: false, ..self }
    }

    /// Returns the bytes of the request.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let close = if self.close { "Connection: close\r\n" } else { "" };
        let Self { method, target, host, .. } = self;
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n").into()
    }

    /// Reads a request at the start of `bytes`: it and the length of its head, or nothing if the
    /// head is not whole yet.
    ///
    /// # Errors
    ///
    /// [`HttpError`] if no further byte can make it a request.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HttpError> {
        let Some(head) = Head::parse(bytes)? else { return Ok(None) };
        let mut parts = head.first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HttpError::Malformed);
        };
        if method.is_empty() || target.is_empty() {
            return Err(HttpError::Malformed);
        }
        let old = known_version(version)?;
        let mut hosts = head.fields("host");
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, None) if old => "",
            _ => return Err(HttpError::Host),
        };
        let connection = |word: &str| {
            head.fields("connection")
                .any(|field| field.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
        };
        // A body is not read, so nothing behind it on the connection could be told apart from it.
        let body = head.fields("content-length").any(|length| length != "0")
            || head.fields("transfer-encoding").next().is_some();
        let close = connection("close") || (old && !connection("keep-alive")) || body;
        let (method, target, host) = (method.to_owned(), target.to_owned(), host.to_owned());
        Ok(Some((Self { method, target, host, close }, head.length)))
    }
}

impl<'a> Response<'a> {
    /// Reads a response at the start of `bytes`, or nothing if its head is not whole yet.
    ///
    /// # Errors
    ///
    /// [`HttpError`] if no further byte can make it a response.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, HttpError> {
        let Some(head) = Head::parse(bytes)? else { return Ok(None) };
        let mut parts = head.first.splitn(3, ' ');
        let (Some(version), Some(status)) = (parts.next(), parts.next()) else {
            return Err(HttpError::Malformed);
        };
        known_version(version)?;
        if status.len() != 3 {
            return Err(HttpError::Malformed);
        }
        let status = status.parse().map_err(|_| HttpError::Malformed)?;
        let content_length = match head.fields("content-length").next() {
            Some(length) => Some(length.parse().map_err(|_| HttpError::Malformed)?),
            None => None,
        };
        Ok(Some(Self {
            status,
            error_code: head.fields("x-ms-error-code").next(),
            content_length,
            body: bytes.get(head.length..).unwrap_or_default(),
        }))
    }

    /// Returns the code in a Storage error body, `<Error><Code>..</Code>` (S-47).
    #[must_use]
    pub fn xml_code(&self) -> Option<&'a str> {
        let body = core::str::from_utf8(self.body).ok()?;
        let (_, rest) = body.split_once("<Code>")?;
        rest.split_once("</Code>").map(|(code, _)| code)
    }
}

/// Returns the head of a response with `content_length` bytes to follow; `error_code` becomes the
/// field that names a refusal.
#[must_use]
pub fn response_head(
    status: u16,
    error_code: Option<&str>,
    content_length: u64,
    close: bool,
) -> String {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    let kind = if error_code.is_some() { "application/xml" } else { "application/octet-stream" };
    // Writing to a String cannot fail.
    let _ = write!(head, "Content-Length: {content_length}\r\nContent-Type: {kind}\r\n");
    if let Some(code) = error_code {
        let _ = write!(head, "x-ms-error-code: {}\r\n", one_line(code));
    }
    head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
    head
}

/// Returns the body by which Azure Storage explains a refusal (F-16, S-47).
#[must_use]
pub fn error_body(code: &str, message: &str) -> String {
    let (code, message) = (escape(code), escape(message));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
}

/// A head: the first line, and the fields behind it.
struct Head<'a> {
    first: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    /// Bytes up to and with the empty line.
    length: usize,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Option<Self>, HttpError> {
        let window = bytes.get(..HEAD_LIMIT).unwrap_or(bytes);
        let Some(end) = window.windows(4).position(|four| four == b"\r\n\r\n") else {
            let whole = bytes.len() < HEAD_LIMIT;
            return if whole { Ok(None) } else { Err(HttpError::HeadTooLong) };
        };
        let head = window.get(..end).unwrap_or_default();
        let head = core::str::from_utf8(head).map_err(|_| HttpError::Malformed)?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        if head.bytes().any(|byte| byte == 0) || first.contains(['\r', '\n']) {
            return Err(HttpError::Malformed);
        }
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(HttpError::Malformed)?;
            // No space before the colon and no folded lines (RFC 9112 5.1, 5.2).
            if name.is_empty() || name.contains([' ', '\t']) || line.contains(['\r', '\n']) {
                return Err(HttpError::Malformed);
            }
            fields.push((name, value.trim_matches([' ', '\t'])));
        }
        Ok(Some(Self { first, fields, length: end + 4 }))
    }

    fn fields(&self, wanted: &str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| *value)
    }
}

/// Whether it is the old version, whose connections close by default.
fn known_version(version: &str) -> Result<bool, HttpError> {
    match version {
        "HTTP/1.1" => Ok(false),
        "HTTP/1.0" => Ok(true),
        other if other.starts_with("HTTP/") => Err(HttpError::Version),
        _ => Err(HttpError::Malformed),
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

fn one_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<(Request, usize)>, HttpError> {
        Request::parse(text.as_bytes())
    }

    #[test]
    fn a_written_request_reads_back() {
        for request in [Request::get("a.example", "/x?y=1"), Request::get("h", "/").keep_alive()] {
            let bytes = request.write();
            assert_eq!(Request::parse(&bytes), Ok(Some((request, bytes.len()))));
        }
    }

    #[test]
    fn head_is_read_only_when_complete() {
        let bytes = Request::get("a.example", "/").write();
        for cut in 0..bytes.len() {
            assert_eq!(Request::parse(&bytes[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn extra_bytes_belong_to_next_request() {
        let mut bytes = Request::get("a", "/1").keep_alive().write().to_vec();
        let length = bytes.len();
        bytes.extend_from_slice(&Request::get("a", "/2").write());
        let (first, used) = Request::parse(&bytes).unwrap().unwrap();
        assert_eq!((first.target.as_str(), used), ("/1", length));
        let (second, _) = Request::parse(&bytes[used..]).unwrap().unwrap();
        assert_eq!(second.target, "/2");
    }

    #[test]
    fn malformed_requests_are_refused() {
        use HttpError::{HeadTooLong, Host, Malformed, Version};
        for (text, wanted) in [
            ("GET / HTTP/1.1\r\n\r\n", Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Host),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
            ("GET /\r\nHost: a\r\n\r\n", Malformed),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Malformed),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Malformed),
            ("\u{12}\u{1}\0\0\r\n\r\n", Malformed),
        ] {
            assert_eq!(parse(text), Err(wanted), "{text:?}");
        }
        assert_eq!(parse(&"x".repeat(HEAD_LIMIT)), Err(HeadTooLong));
    }

    #[test]
    fn connection_closes_on_request_or_misframing() {
        let close = |text: &str| parse(text).unwrap().unwrap().0.close;
        assert!(!close("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(close("GET / HTTP/1.1\r\nHOST: a\r\nconnection: x, Close\r\n\r\n"));
        assert!(close("GET / HTTP/1.0\r\n\r\n"));
        assert!(!close("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        assert!(close("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"));
    }

    /// F-16, S-47.
    #[test]
    fn refusal_code_in_header_and_body() {
        let body = error_body("AuthorizationFailure", "This request is not authorized.");
        let length = u64::try_from(body.len()).unwrap();
        let text = response_head(403, Some("AuthorizationFailure"), length, true) + &body;
        let response = Response::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(response.status, 403);
        assert_eq!(response.error_code, Some("AuthorizationFailure"));
        assert_eq!(response.xml_code(), Some("AuthorizationFailure"));
        assert_eq!(response.content_length, u64::try_from(response.body.len()).ok());
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"));
    }

    #[test]
    fn refusal_escapes_outside_text() {
        assert!(!response_head(403, Some("a\r\nX: b"), 0, true).contains("\r\nX: b"));
        assert!(error_body("<Code>", "a & b").contains("&lt;Code&gt;</Code><Message>a &amp; b<"));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
            let _ = Response::parse(&bytes).map(|read| read.map(|response| response.xml_code()));
        }
    }
}

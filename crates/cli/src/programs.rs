//! Two small real programs, for the demonstration and the tests of live networks: an HTTP server
//! whose bodies are a function of their name, and its client. They use the kernel's TCP and nothing
//! of vnetem's but those bodies.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use vnetem_sim::Blob;

/// The verb by which this command is one of the programs.
pub(crate) const VERB: &str = "__program";

/// Bytes that are written or read at once.
const PIECE: usize = 64 * 1024;

/// Is one of the programs if the command line asks for it, and gives its exit status.
pub(crate) fn run() -> Option<u8> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (verb, rest) = arguments.split_first()?;
    if verb != VERB {
        return None;
    }
    let words: Vec<String> = rest.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", port] => serve(port, false),
        ["serve-headed", port] => serve(port, true),
        ["get", host, path] => get(host, path),
        ["echo", port] => echo(port),
        ["ask", remote, count, size, rest @ ..] => ask(remote, count, size, rest.first().copied()),
        ["resolve", name] => resolve(name),
        ["hammer", host, path, seconds] => hammer(host, path, seconds),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "no such program")),
    };
    match done {
        Ok(()) => Some(0),
        Err(error) => {
            eprintln!("{}: {error}", words.join(" "));
            Some(1)
        }
    }
}

/// Serves bodies: `/NAME?bytes=N&rate=N`, and `/whoami` with the caller's address. A line for each
/// connection that ends.
///
/// `headed` is whether connections begin with a header of the PROXY protocol; `/whoami` then shows
/// what it says.
fn serve(port: &str, headed: bool) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", number(port)?))?;
    for stream in listener.incoming() {
        let (stream, began) = (stream?, Instant::now());
        thread::spawn(move || {
            let Ok(client) = stream.peer_addr() else { return };
            let mut sent = 0;
            let ended = answer(&stream, client, &mut sent, began, headed);
            // When a reset came matters, not when it is noticed at the next write.
            say("server", client, sent, &ended);
        });
    }
    Ok(())
}

fn answer(
    mut stream: &TcpStream,
    client: SocketAddr,
    sent: &mut u64,
    began: Instant,
    headed: bool,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let subnet = if headed { Some(read_header(&mut reader)?) } else { None };
    let mut lines = reader.lines();
    let request = lines.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()))?;
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    if path == "/whoami" {
        let body = match subnet {
            None => client.ip().to_string(),
            Some(subnet) => format!("{} of {subnet}", client.ip()),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        return stream.write_all((head + &body).as_bytes());
    }
    let blob = Blob::named(&path);
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", blob.length)?;
    let mut piece = vec![0; PIECE];
    while *sent < blob.length {
        let released = blob.released(began.elapsed());
        let length = usize::try_from(released - *sent).unwrap_or(PIECE).min(PIECE);
        let Some(part) = piece.get_mut(..length).filter(|part| !part.is_empty()) else {
            wait_or_end(stream, Duration::from_millis(1))?;
            continue;
        };
        blob.fill(*sent, part);
        stream.write_all(part)?;
        *sent += length as u64;
    }
    Ok(())
}

/// Reads a header of the PROXY protocol, version 2, with addresses of IPv4: the text of its first
/// further field, or none.
fn read_header(reader: &mut impl Read) -> io::Result<String> {
    let mut start = [0; 16];
    reader.read_exact(&mut start)?;
    let [signature @ .., version, family, l0, l1] = start;
    if &signature != b"\r\n\r\n\0\r\nQUIT\n" || (version, family) != (0x21, 0x11) {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([l0, l1]))];
    reader.read_exact(&mut rest)?;
    let field = rest.get(15..).unwrap_or_default();
    Ok(if field.is_empty() { "none".into() } else { String::from_utf8_lossy(field).into_owned() })
}

/// Waits, unless the connection is reset meanwhile.
fn wait_or_end(mut stream: &TcpStream, time: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(time))?;
    match stream.read(&mut [0]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

/// Fetches a body and compares every byte; a line when the connection ends.
fn get(host: &str, path: &str) -> io::Result<()> {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let mut stream = TcpStream::connect((name, number(port)?))?;
    let local = stream.local_addr()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")?;
    let mut reader = BufReader::with_capacity(PIECE, stream);
    let (mut status, mut line) = (String::new(), String::new());
    reader.read_line(&mut status)?;
    let mut length = None;
    while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
        let (field, value) = line.split_once(':').unwrap_or_default();
        if field.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
        line.clear();
    }
    if path == "/whoami" || !status.contains(" 200 ") {
        let mut body = String::new();
        reader.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body)?;
        println!("{} {body}", status.split(' ').nth(1).unwrap_or_default());
        return Ok(());
    }
    let mut received = 0;
    let ended = compare(&mut reader, &Blob::named(path), &mut received);
    say("client", local, received, &ended);
    ended
}

fn compare(reader: &mut impl Read, blob: &Blob, received: &mut u64) -> io::Result<()> {
    let (mut piece, mut expected) = (vec![0; PIECE], vec![0; PIECE]);
    while *received < blob.length {
        let length = reader.read(&mut piece)?;
        let (found, expected) = (piece.get(..length), expected.get_mut(..length));
        let (Some(found), Some(expected)) = (found, expected) else { continue };
        if found.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        blob.fill(*received, expected);
        if found != expected {
            return Err(io::Error::new(ErrorKind::InvalidData, "other bytes than were sent"));
        }
        *received += length as u64;
    }
    Ok(())
}

/// Sends datagrams back.
fn echo(port: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", number(port)?))?;
    let mut datagram = vec![0; PIECE];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(datagram.get(..length).unwrap_or_default(), from)?;
    }
}

/// Sends datagrams one after another, and counts the answers with the same bytes.
fn ask(remote: &str, count: &str, size: &str, ttl: Option<&str>) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    if let Some(ttl) = ttl {
        socket.set_ttl(number(ttl)?.into())?;
    }
    socket.connect(remote)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (mut answers, size) = (0, usize::from(number(size)?));
    let mut datagram: Vec<u8> = (0..=250).cycle().take(size).collect();
    for round in 0..number(count)? {
        let marked = [&round.to_be_bytes()[..], datagram.get(2..).unwrap_or_default()].concat();
        socket.send(&marked)?;
        let length = socket.recv(&mut datagram)?;
        answers += u32::from(datagram.get(..length) == Some(&marked));
    }
    println!("{answers}");
    Ok(())
}

/// Prints the addresses that a name means.
fn resolve(name: &str) -> io::Result<()> {
    for address in (name, 0).to_socket_addrs()? {
        println!("{}", address.ip());
    }
    Ok(())
}

/// Fetches the same body again and again, and counts how connections ended. It stops after a number
/// of seconds, or with `-` when its standard input ends.
fn hammer(host: &str, path: &str, seconds: &str) -> io::Result<()> {
    let runs_on: Box<dyn Fn() -> bool> = if seconds == "-" {
        let ended = Arc::new(AtomicBool::new(false));
        let signalled = Arc::clone(&ended);
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            signalled.store(true, Ordering::Relaxed);
        });
        Box::new(move || !ended.load(Ordering::Relaxed))
    } else {
        let until = Instant::now() + Duration::from_secs(number(seconds)?.into());
        Box::new(move || Instant::now() < until)
    };
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let (mut done, mut resets, mut others) = (0, 0, Vec::new());
    let blob = Blob::named(path);
    while runs_on() {
        let fetch = || {
            let mut stream = TcpStream::connect((name, number(port)?))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n")?;
            let mut reader = BufReader::with_capacity(PIECE, stream);
            let mut line = String::new();
            while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
                line.clear();
            }
            compare(&mut reader, &blob, &mut 0)
        };
        match fetch() {
            Ok(()) => done += 1,
            // A reset that answers a SYN reads as a refusal.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
                ) =>
            {
                resets += 1;
            }
            Err(error) => others.push(error.to_string()),
        }
    }
    println!("{}", json!({ "done": done, "resets": resets, "others": others }));
    Ok(())
}

/// Says how a connection ended, and when.
fn say(who: &str, peer: SocketAddr, bytes: u64, ended: &io::Result<()>) {
    let end = match ended {
        Ok(()) => "done",
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "reset",
        Err(error) if error.kind() == ErrorKind::BrokenPipe => "broken pipe",
        Err(error) if error.kind() == ErrorKind::TimedOut => "timed out",
        Err(error) if error.kind() == ErrorKind::InvalidData => "other bytes",
        Err(_) => "cut",
    };
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let line =
        json!({ "who": who, "peer": peer.to_string(), "bytes": bytes, "end": end, "at": at });
    println!("{line}");
}

fn number(text: &str) -> io::Result<u16> {
    text.parse()
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, format!("{text} is no number")))
}

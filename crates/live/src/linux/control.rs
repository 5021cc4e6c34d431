//! The control socket: a thread listens, one more a connection reads and writes, and the router
//! answers between two turns.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, getsockopt, sendmsg};
use nix::unistd::geteuid;
use serde_json::json;

use super::client::address;
use super::namespaces::{Spaces, Users};
use super::os;
use crate::{Answer, LiveError};

/// Something that the router is asked for.
pub(super) enum Request {
    /// An edit or a question.
    Ask(String, Sender<Answer>),
    /// The namespaces of a host.
    Enter(String, Sender<Result<Arc<Spaces>, Answer>>),
    /// A child of the router ended with this status.
    Ended(u32, u8),
    /// The network is to end with this status.
    Down(u8),
}

/// Where requests come in.
pub(super) struct Control {
    pub(super) requests: Receiver<Request>,
    /// Is readable when there are any.
    pub(super) bell: Arc<EventFd>,
    mailbox: Mailbox,
}

/// By which requests reach the router.
#[derive(Clone)]
pub(super) struct Mailbox {
    requests: Sender<Request>,
    bell: Arc<EventFd>,
}

/// How long who connects may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request at most.
const LONGEST: u64 = 65_536;

impl Control {
    /// Listens under the name of a network. `users` is the namespace of users of all hosts.
    pub(super) fn listen(cloud: &str, users: Users) -> Result<Self, LiveError> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let bell = Arc::new(bell.map_err(os).map_err(LiveError::system("an event"))?);
        let (sender, requests) = channel();
        let mailbox = Mailbox { requests: sender, bell: Arc::clone(&bell) };
        let address = address(users.uid, cloud).map_err(LiveError::system(cloud))?;
        let listener = UnixListener::bind_addr(&address).map_err(|_| {
            LiveError::Refused(format!(
                "a live network {cloud} is up already; --name gives this one another name"
            ))
        })?;
        let user_namespace = std::fs::File::open("/proc/self/ns/user")
            .map_err(LiveError::system("/proc/self/ns/user"))?;
        let (users, own) = (users, Arc::new(OwnedFd::from(user_namespace)));
        let open = mailbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mailbox, own) = (open.clone(), Arc::clone(&own));
                std::thread::spawn(move || mailbox.answer(stream, users, &own));
            }
        });
        Ok(Self { requests, bell, mailbox })
    }

    /// By which others reach the router, too.
    pub(super) fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }
}

impl Mailbox {
    /// Hands a request to the router; whether there still is one.
    pub(super) fn put(&self, request: Request) -> bool {
        self.requests.send(request).is_ok() && self.bell.write(1).is_ok()
    }

    fn answer(&self, stream: UnixStream, users: Users, user_namespace: &OwnedFd) -> Option<()> {
        // Only who started the network may change it. Others are nobody in its namespace.
        let peer = getsockopt(&stream, PeerCredentials).ok()?;
        if peer.uid() != geteuid().as_raw() {
            return None;
        }
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut line = String::new();
        BufReader::new(Read::take(&stream, LONGEST)).read_line(&mut line).ok()?;
        let (verb, words) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        let (words, mut stream) = (words.to_owned(), stream);
        if verb == "ask" {
            let (reply, wait) = channel();
            self.put(Request::Ask(words, reply)).then_some(())?;
            let answer = wait.recv().ok()?;
            return stream.write_all(answer.to_json().to_string().as_bytes()).ok();
        }
        let (reply, wait) = channel();
        self.put(Request::Enter(words, reply)).then_some(())?;
        match wait.recv().ok()? {
            Err(answer) => stream.write_all(answer.to_json().to_string().as_bytes()).ok(),
            Ok(spaces) => {
                let Users { own, uid, gid } = users;
                let value = json!({ "own": own, "uid": uid, "gid": gid });
                let text = Answer::lines(Vec::new()).with(value).to_json().to_string();
                let handed = [user_namespace, &spaces.net, &spaces.mounts].map(AsRawFd::as_raw_fd);
                hand_over(&stream, &text, &handed)?;
                // The stream is how the command learns that the network is down.
                stream.set_read_timeout(None).ok()?;
                stream.read(&mut [0]).ok().map(drop)
            }
        }
    }
}

fn hand_over(stream: &UnixStream, text: &str, handed: &[RawFd]) -> Option<()> {
    let message = [ControlMessage::ScmRights(handed)];
    let text = [IoSlice::new(text.as_bytes())];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<UnixAddr>(stream.as_raw_fd(), &text, &message, flags, None).ok().map(drop)
}

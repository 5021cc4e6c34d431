//! The other end of the control socket.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, getsockopt, recvmsg};
use nix::unistd::geteuid;
use serde_json::Value;

use super::namespaces::Users;
use super::os;
use crate::{Answer, LiveError};

/// What a command needs to go into a host.
pub(super) struct Entrance {
    /// TupleKey when the network goes down.
    pub(super) stream: UnixStream,
    pub(super) users: Users,
    /// Of users, of the network, of mounts.
    pub(super) namespaces: Vec<OwnedFd>,
}

/// The socket of a network of a user. It is no file, so nothing remains of it.
pub(super) fn address(uid: u32, cloud: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("vnetem/{uid}/{cloud}"))
}

/// Asks a network that is up: an edit as scenarios write it, or a question; `help` lists them.
///
/// # Errors
///
/// There is no such network, or it does not answer.
pub fn ask(cloud: &str, words: &str) -> Result<Answer, LiveError> {
    let mut stream = connect(cloud)?;
    let failed = || LiveError::system(format!("asking {cloud}"));
    writeln!(stream, "ask {}", words.replace('\n', " ")).map_err(failed())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(failed())?;
    let answer = Answer::from_json(&text)
        .ok_or_else(|| LiveError::Refused(format!("the network {cloud} went down")))?;
    if words.trim() == "down" {
        wait_until_gone(cloud);
    }
    Ok(answer)
}

/// Waits until the name of a network is free again, for as long as servers may take to end.
fn wait_until_gone(cloud: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until && names_of_clouds().iter().any(|name| name == cloud) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the networks of this user that are up.
#[must_use]
pub fn names_of_clouds() -> Vec<String> {
    let prefix = format!("@vnetem/{}/", geteuid());
    let listed = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths = listed.lines().filter_map(|line| line.split_whitespace().nth(7));
    let mut names: Vec<String> =
        paths.filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

/// Asks for the namespaces of a host.
pub(super) fn enter(cloud: &str, host: &str) -> Result<Entrance, LiveError> {
    let mut stream = connect(cloud)?;
    let failed = || LiveError::system(format!("asking {cloud}"));
    writeln!(stream, "enter {host}").map_err(failed())?;
    let (text, namespaces) = receive(&stream).map_err(failed())?;
    let answer = Answer::from_json(&text)
        .ok_or_else(|| LiveError::Refused(format!("the network {cloud} went down")))?;
    if !answer.good {
        return Err(LiveError::Refused(answer.lines.join("\n")));
    }
    let number = |name: &str| {
        let number = answer.value.get(name).and_then(Value::as_u64);
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    };
    let own = answer.value.get("own").and_then(Value::as_bool).unwrap_or(false);
    let users = Users { own, uid: number("uid"), gid: number("gid") };
    Ok(Entrance { stream, users, namespaces })
}

fn connect(cloud: &str) -> Result<UnixStream, LiveError> {
    let uid = geteuid();
    let address = address(uid.as_raw(), cloud).map_err(LiveError::system(cloud))?;
    let Ok(stream) = UnixStream::connect_addr(&address) else {
        let names = names_of_clouds();
        let up = match names.as_slice() {
            [] => "none is up (`vnetem live FILE.scn` starts one)".to_owned(),
            names => format!("up are: {}", names.join(", ")),
        };
        return Err(LiveError::Refused(format!("there is no live network {cloud}; {up}")));
    };
    // Anybody may listen under any name.
    let owner = getsockopt(&stream, PeerCredentials).map_err(os);
    if owner.map_err(LiveError::system(cloud))?.uid() != uid.as_raw() {
        return Err(LiveError::Refused(format!("the network {cloud} is another user's")));
    }
    Ok(stream)
}

/// One message, and the descriptors that come with it.
fn receive(stream: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = vec![0; 4096];
    let mut parts = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 3]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags);
    let message = message.map_err(os)?;
    let length = message.bytes;
    let mut namespaces = Vec::new();
    for part in message.cmsgs().map_err(os)? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            for number in numbers {
                // Taken over by its name, which needs no unsafe code.
                namespaces.push(File::open(format!("/proc/self/fd/{number}"))?.into());
                nix::unistd::close(number).map_err(os)?;
            }
        }
    }
    text.truncate(length);
    Ok((String::from_utf8_lossy(&text).into_owned(), namespaces))
}

//! Namespaces: one of users for all, one of networks and of mounts for each host.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::check::Obstacle;
use super::device::Device;
use super::netlink::Netlink;
use super::os;
use crate::LiveError;

/// Who the user is outside, and whether there is a user namespace in which it is root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Users {
    /// Whether this process has a user namespace of its own.
    pub(super) own: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Moves this process, which must have one thread, to where it may make hosts: root into a mount
/// namespace, everybody else into a user namespace too, in which it is root.
pub(super) fn enter() -> Result<Users, Obstacle> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let root = uid == 0 && unshare(CloneFlags::CLONE_NEWNS).is_ok();
    if !root {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
            .map_err(|error| Obstacle::users(os(error)))?;
        map_ids((0, uid), (0, gid)).map_err(Obstacle::mapping)?;
    }
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(|error| Obstacle::mounts(os(error)))?;
    Ok(Users { own: !root, uid, gid })
}

/// Says who the one user of a new user namespace is inside and outside.
pub(super) fn map_ids(uid: (u32, u32), gid: (u32, u32)) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{} {} 1", uid.0, uid.1))?;
    fs::write("/proc/self/gid_map", format!("{} {} 1", gid.0, gid.1))
}

/// What a host is made of.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) address: Ipv4Addr,
    pub(super) forwards: bool,
    pub(super) offload: bool,
    /// From which ports it calls, where another host has the same address.
    pub(super) ports: Option<(u16, u16)>,
}

/// The namespaces of a host, which live as long as this.
#[derive(Debug)]
pub(super) struct Spaces {
    pub(super) net: OwnedFd,
    pub(super) mounts: OwnedFd,
}

/// The name of the interface in every host.
pub(super) const INTERFACE: &str = "eth0";
/// The name server, as in every virtual network.
pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
const MTU: u32 = 1500;
/// Packets that may wait for the router before the host drops some.
const QUEUE: u32 = 4096;

impl Spaces {
    /// Makes the namespaces of a host, and its device.
    pub(super) fn make(spec: &Spec) -> Result<(Self, Device), LiveError> {
        let spec = spec.clone();
        // A thread of its own, which takes its namespaces with it when it ends.
        let made = std::thread::spawn(move || Self::make_here(&spec)).join();
        made.unwrap_or_else(|_| Err(LiveError::Refused("making a host failed".into())))
    }

    fn make_here(spec: &Spec) -> Result<(Self, Device), LiveError> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .map_err(|error| LiveError::system("a network namespace")(os(error)))?;
        set_kernel_options(spec);
        let device = Device::open(INTERFACE, spec.offload)
            .map_err(|error| LiveError::Refused(Obstacle::device(error).to_string()))?;
        configure(spec).map_err(LiveError::system("the interface of a host"))?;
        cover_files()?;
        let open = |kind: &str| {
            let path = format!("/proc/thread-self/ns/{kind}");
            File::open(&path).map(OwnedFd::from).map_err(LiveError::system(path.clone()))
        };
        Ok((Self { net: open("net")?, mounts: open("mnt")? }, device))
    }

    /// Gives the host further addresses, and takes others from it.
    pub(super) fn readdress(self: &Arc<Self>, more: &[Ipv4Addr], less: &[Ipv4Addr]) -> bool {
        let (spaces, more, less) = (Arc::clone(self), more.to_vec(), less.to_vec());
        let done = std::thread::spawn(move || {
            spaces.join().map_err(os)?;
            let netlink = Netlink::open()?;
            more.iter().try_for_each(|address| netlink.address(INTERFACE, *address))?;
            less.iter().try_for_each(|address| netlink.remove_address(INTERFACE, *address))
        });
        done.join().is_ok_and(|done: io::Result<()>| done.is_ok())
    }

    /// Moves this thread into the host, for good.
    pub(super) fn join(&self) -> nix::Result<()> {
        // Its own working directory and root, which the mounts change.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.net, CloneFlags::CLONE_NEWNET)?;
        setns(&self.mounts, CloneFlags::CLONE_NEWNS)
    }
}

fn configure(spec: &Spec) -> io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.up("lo", None, None)?;
    netlink.up(INTERFACE, Some(MTU), Some(QUEUE))?;
    netlink.address(INTERFACE, spec.address)?;
    netlink.default_route(INTERFACE, spec.address)
}

/// Sets what can be set: not every kernel has all, and a container's /proc/sys may be read-only.
fn set_kernel_options(spec: &Spec) {
    let set = |path: &str, value: &str| {
        let _ = fs::write(format!("/proc/sys/net/{path}"), value);
    };
    // IPv4 only: no discovery of neighbours, routers and listeners.
    set("ipv6/conf/all/disable_ipv6", "1");
    set("ipv6/conf/default/disable_ipv6", "1");
    set("ipv4/ip_unprivileged_port_start", "0");
    set("ipv4/ping_group_range", "0 0");
    // An address that is answered anywhere is no spoofed one.
    set("ipv4/conf/all/rp_filter", "0");
    set("ipv4/conf/default/rp_filter", "0");
    if let Some((first, last)) = spec.ports {
        set("ipv4/ip_local_port_range", &format!("{first} {last}"));
    }
    if spec.forwards {
        set("ipv4/ip_forward", "1");
        // A packet leaves by the interface by which it came, which is no mistake of its sender.
        set("ipv4/conf/all/send_redirects", "0");
        set("ipv4/conf/default/send_redirects", "0");
    }
}

/// What every host says about names. A server that looks up its caller gets an answer at once.
fn cover_files() -> Result<(), LiveError> {
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>);
    let files = [
        ("/etc/resolv.conf", format!("nameserver {NAME_SERVER}\noptions timeout:2\n")),
        ("/etc/hosts", "127.0.0.1 localhost\n".to_owned()),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
    ];
    for (path, text) in files {
        // What is not there asks nobody.
        if Path::new(path).exists() {
            cover_file(path, &text).map_err(LiveError::system(path))?;
        }
    }
    // Programs of the machine outside, which would answer with its names.
    for path in ["/run/nscd", "/run/systemd/resolve"] {
        if Path::new(path).is_dir() {
            let _ = mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>);
        }
    }
    Ok(())
}

/// Shows another text under a path, in this mount namespace only.
fn cover_file(path: &str, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    mount(Some(file.path()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(os)
}

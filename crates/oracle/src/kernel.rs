//! Linux's NAT in a namespace of its own, between two TUN devices.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use vnetem_nat::Side;

use crate::packet::{Emitted, word};
use crate::{Failure, Namespace, Tun};

/// Linux between two TUN devices. It routes and translates what is sent, and all its output is
/// collected.
///
/// There is no need to wait for a packet: a write to a TUN device runs the whole stack before it
/// returns.
#[derive(Debug)]
pub struct Kernel {
    internal: Tun,
    external: Tun,
    _namespace: Namespace,
}

/// How the kernel is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// For random packets: windows are not checked, no timer expires, and a connection that is over
    /// ends at once.
    Liberal,
    /// For states and timers: Linux's defaults.
    Strict,
}

/// Everything from the internal side leaves from the external address. What tracking calls invalid
/// is dropped, and the kernel itself sends nothing to the external side.
const RULES: &str = "table ip oracle {
    chain translate { type nat hook postrouting priority 100; oifname \"tout\" masquerade; }
    chain carry { type filter hook forward priority 0; ct state invalid drop; }
    chain receive { type filter hook input priority 0; iifname \"tout\" drop; }
}
";

/// Far longer than any run.
const NEVER: &str = "2000000";

const TIMERS: [&str; 11] = [
    "udp_timeout",
    "udp_timeout_stream",
    "icmp_timeout",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_max_retrans",
    "tcp_timeout_unacknowledged",
];

impl Kernel {
    /// Makes a namespace with both devices, routes and rules, and moves this thread into it.
    ///
    /// # Errors
    ///
    /// Any of it cannot be done.
    pub fn start(tracking: Tracking) -> Result<Self, Failure> {
        let namespace = Namespace::new()?;
        for interface in ["all", "default", "lo"] {
            // The kernel may have no IPv6.
            let _ = set(&format!("ipv6/conf/{interface}/disable_ipv6"), "1");
        }
        let (internal, external) = (Tun::open("tin")?, Tun::open("tout")?);
        command("ip", &["address", "add", "10.0.0.1/24", "dev", "tin"])?;
        command("ip", &["address", "add", "20.1.1.1/24", "dev", "tout"])?;
        for device in ["lo", "tin", "tout"] {
            command("ip", &["link", "set", device, "up"])?;
        }
        command("ip", &["route", "add", "default", "dev", "tout"])?;
        set("ipv4/ip_forward", "1")?;
        set("ipv4/icmp_ratelimit", "0")?;
        // Not every kernel has these for each namespace.
        let _ = set("ipv4/icmp_msgs_per_sec", "1000000");
        let _ = set("ipv4/icmp_msgs_burst", "1000000");
        for interface in ["all", "default", "tin", "tout"] {
            set(&format!("ipv4/conf/{interface}/rp_filter"), "0")?;
            set(&format!("ipv4/conf/{interface}/send_redirects"), "0")?;
        }
        load(RULES)?;
        // A segment in the middle of an unknown connection opens nothing, as in vnetem (T-19,
        // T-20).
        set("netfilter/nf_conntrack_tcp_loose", "0")?;
        // The ends check transport checksums, as in vnetem (T-39).
        set("netfilter/nf_conntrack_checksum", "0")?;
        if tracking == Tracking::Liberal {
            set("netfilter/nf_conntrack_tcp_be_liberal", "1")?;
            for timer in TIMERS {
                set(&format!("netfilter/nf_conntrack_{timer}"), NEVER)?;
            }
            // A connection that is over ends at once. After an RST, Linux forgets a connection
            // without an answer and keeps another one for a while. That, and a SYN in TIME_WAIT, is
            // for the scenes of connections.
            set("netfilter/nf_conntrack_tcp_timeout_close", "0")?;
            set("netfilter/nf_conntrack_tcp_timeout_time_wait", "0")?;
        }
        let mut kernel = Self { internal, external, _namespace: namespace };
        kernel.late();
        Ok(kernel)
    }

    /// Sends a packet from a side, and collects what comes out on both.
    pub fn send(&mut self, from: Side, packet: &[u8]) -> Vec<Emitted> {
        match from {
            Side::Internal => self.internal.send(packet),
            Side::External => self.external.send(packet),
        }
        self.drain()
    }

    /// Returns what comes out after everything was collected, which should be nothing.
    pub fn late(&mut self) -> Vec<Emitted> {
        std::thread::sleep(Duration::from_millis(20));
        self.drain()
    }

    fn drain(&mut self) -> Vec<Emitted> {
        let mut emitted = Vec::new();
        for (to, device) in
            [(Side::Internal, &mut self.internal), (Side::External, &mut self.external)]
        {
            while let Some(mut bytes) = device.receive() {
                bytes.truncate(word(&bytes, 2).into());
                emitted.push(Emitted { to, bytes });
            }
        }
        emitted
    }
}

/// Runs a command in the namespace of this thread, and returns its output.
///
/// # Errors
///
/// It cannot be started or fails. The error has its output.
pub fn command(name: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} {}: {}", arguments.join(" "), said.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Sets a variable of the network stack of this thread's namespace.
fn set(name: &str, value: &str) -> Result<(), Failure> {
    std::fs::write(format!("/proc/sys/net/{name}"), value)
        .map_err(|error| format!("net/{name}: {error}").into())
}

fn load(rules: &str) -> Result<(), Failure> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("nft: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(rules.as_bytes())?;
    }
    if child.wait()?.success() { Ok(()) } else { Err("nft does not take the rules".into()) }
}

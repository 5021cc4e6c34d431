//! Networks beside namespaces of somebody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use vnetem_checks::skip;

use crate::rig::{NETWORK, VNETEM, is_possible, stdout};

/// A script that runs in a network namespace of its own; nothing if that is not allowed here.
fn in_namespace(test: &str, script: &str) -> Option<std::process::Output> {
    if !is_possible(test) {
        return None;
    }
    let can = |words: &[&str]| {
        Command::new("unshare").args(words).output().is_ok_and(|done| done.status.success())
    };
    if !can(&["--net", "ip", "link"]) {
        skip(test, "it needs root, unshare and ip");
        return None;
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.scn"));
    fs::write(&file, crate::rig::text(NETWORK)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "timeout", "60", "sh", "-euc", script]);
    command.env("VNETEM", VNETEM).env("FILE", &file).env("TMP", env!("CARGO_TARGET_TMPDIR"));
    Some(command.output().unwrap())
}

/// A device of another namespace is a host of a subnet.
#[test]
fn attached_device_is_in_its_subnet() {
    let script = "
        ip link set lo up
        ip tuntap add mode tun name t0
        ip address add 10.0.0.77/32 dev t0
        ip link set t0 up
        ip route add default dev t0
        $VNETEM live $FILE --attach net-a/app=t0 >/dev/null &
        until $VNETEM __program get 20.60.26.10 /whoami 2>/dev/null; do sleep 0.1; done
        $VNETEM ctl enable Microsoft.Storage on net-a/app >/dev/null
        $VNETEM __program get 20.60.26.10 /whoami
        $VNETEM __program get 20.60.26.10 '/film?bytes=20000000'
        $VNETEM ctl seen t0 | tail -1
        $VNETEM ctl down >/dev/null";
    let Some(done) = in_namespace("attached_device_is_in_its_subnet", script) else { return };
    let text = stdout(&done);
    assert!(text.starts_with("200 20.31.0.10\n200 10.0.0.77\n"), "{done:?}");
    assert!(text.contains("\"bytes\":20000000,\"end\":\"done\""), "{done:?}");
    assert!(text.ends_with("t0 10.0.0.77 > stdata:80 seen as 10.0.0.77 of net-a/app"), "{done:?}");
}

/// What root may, an ordinary user may, too, where /dev/net/tun is open to all.
#[test]
fn ordinary_user_needs_no_root() {
    let test = "ordinary_user_needs_no_root";
    let copy = std::env::temp_dir().join(format!("vnetem-{}", std::process::id()));
    fs::copy(VNETEM, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    // The device is opened to all in this mount namespace only.
    let script = format!(
        "
        mount -t tmpfs tmpfs $TMP
        mknod $TMP/tun c 10 200
        chmod 666 $TMP/tun
        mount --bind $TMP/tun /dev/net/tun
        exec setpriv --reuid 12345 --regid 12345 --clear-groups {} live --demo",
        copy.display()
    );
    let done = in_namespace(test, &script);
    fs::remove_file(&copy).unwrap();
    let Some(done) = done else { return };
    let text = stdout(&done);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(text.contains("vm-a: reset after"), "{text}");
    assert!(text.contains("server: reset after"), "{text}");
    assert!(
        text.contains("Now the server sees vm-a as 10.0.0.4, and vm-b as 20.31.0.20"),
        "{text}"
    );
}

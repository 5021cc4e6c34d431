//! Packets of many segments, carried whole or each alone.

use crate::rig::{ACCOUNT, NETWORK, cloud_with, printed, program, start, whoami};

/// INV-checksums-stay-right: every byte of 200 MB arrives, with offload and without.
#[test]
fn two_hundred_megabytes_arrive_unchanged() {
    for options in [&[][..], &["--no-offload"]] {
        let test = "two_hundred_megabytes_arrive_unchanged";
        let Some(cloud) = cloud_with(test, NETWORK, options) else { return };
        whoami(&cloud, "vm-a", ACCOUNT);
        let path = "/disk?bytes=200000000";
        let ended = printed(start(&mut program(&cloud, "vm-a", &["get", ACCOUNT, path])));
        assert_eq!((&ended["end"], &ended["bytes"]), (&"done".into(), &200_000_000.into()));
        let counters = cloud.ctl("counters").unwrap().value;
        let (read, stand_for) = (counters["received"].as_u64(), counters["segments"].as_u64());
        // Every packet of 1500 bytes is read alone, or many of them at once.
        let (read, stand_for) = (read.unwrap(), stand_for.unwrap());
        assert!(stand_for > 135_000, "{options:?}: {stand_for}");
        let whole = read > stand_for / 2;
        assert_eq!(whole, !options.is_empty(), "{options:?}: {read} that stand for {stand_for}");
    }
}

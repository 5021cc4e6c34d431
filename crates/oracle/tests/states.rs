//! TCP states and timers, segment by segment, against the golden file `corpus/tcp-states.txt`:
//! Linux's, where the kernel is available, and vnetem's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panic")]

use std::path::{Path, PathBuf};

use vnetem_oracle::{Connection, Ours, Scene, scenes, write_scenes};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/tcp-states.txt")
}

fn golden() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// Replaces the states of vnetem in the scenes. Those of Linux stay.
fn play_ours(scenes: &mut [Scene]) {
    for (scene, number) in scenes.iter_mut().zip(0..) {
        let mut ours = Ours::strict().unwrap();
        let port = Scene::port(number);
        for step in &mut scene.steps {
            let (_, emitted) = ours.send(step.from, &step.packet(port), Some(port));
            let state = ours.plane().flows().next().map(|flow| Connection::of_ours(flow.state));
            step.ours = Connection { passes: !emitted.is_empty(), state };
        }
    }
}

/// T-14, T-17 to T-20: every state and timer is as the file says, whether Linux agrees or not.
#[test]
fn vnetem_follows_the_recorded_states() {
    let text = golden();
    let mut scenes = scenes(&text).unwrap();
    play_ours(&mut scenes);
    assert_eq!(write_scenes(&text, &scenes), text);
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use vnetem_oracle::{Failure, Kernel, Tracking, command, isolated};

    fn play_linux(scenes: &mut [Scene]) -> Result<(), Failure> {
        let mut kernel = Kernel::start(Tracking::Strict)?;
        for (scene, number) in scenes.iter_mut().zip(0..) {
            let port = Scene::port(number);
            // Having nothing to delete is an error to the tool in some versions.
            let _ = command("conntrack", &["-F"]);
            for step in &mut scene.steps {
                let emitted = kernel.send(step.from, &step.packet(port));
                let listed = command("conntrack", &["-L", "-p", "tcp"])?;
                let state = listed.lines().next().and_then(Connection::of_linux);
                assert_eq!(state.is_some(), !listed.trim().is_empty(), "unknown timer: {listed}");
                step.linux = Connection { passes: !emitted.is_empty(), state };
            }
        }
        Ok(())
    }

    /// The golden file is true of Linux. `VNETEM_BLESS=1` writes both sides of it.
    #[test]
    fn linux_follows_the_recorded_states() {
        let name = "linux::linux_follows_the_recorded_states";
        isolated(name, &["ip", "nft", "conntrack"], || {
            let text = golden();
            let mut scenes = scenes(&text)?;
            play_linux(&mut scenes)?;
            if vnetem_checks::flag("VNETEM_BLESS") {
                play_ours(&mut scenes);
                std::fs::write(path(), write_scenes(&text, &scenes))?;
            } else {
                assert_eq!(write_scenes(&text, &scenes), text);
            }
            Ok(())
        });
    }
}

//! The toggle's promise with async sockets: whatever is lost, both ends learn (S-17).

use core::cell::Cell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use vnetem::control::Scope;
use vnetem_sim::{BoxError, HostHandle, LinkSettings, Place, Sim, TcpListener, TcpStream};

use crate::azure::{Azure, MILLISECOND, SECOND};

const TOGGLES: u32 = 100;

/// One connection for each toggle; both ends talk until they learn that it has ended.
fn both_ends_learn(loss: u16) -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, web, storage) = (azure.vm(4), azure.web, azure.storage);
    let place = Place::Resource(azure.stdata);
    let mut sim = Sim::new(azure.network, u64::from(loss) + 1);
    sim.set_links(LinkSettings { loss, ..LinkSettings::clean(5 * MILLISECOND) });
    let ended = Rc::new(Cell::new(0));
    // An end that is reset within its handshake is never accepted.
    let (accepted, notified) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let counts = (Rc::clone(&accepted), Rc::clone(&notified));
    sim.host("stdata", place, move || {
        let (accepted, notified) = counts.clone();
        async move {
            let listener = TcpListener::bind("0.0.0.0:80").await?;
            let (learnt, mut counted) = tokio::sync::mpsc::unbounded_channel();
            let accept = async {
                loop {
                    let (mut stream, _) = listener.accept().await?;
                    accepted.set(accepted.get() + 1);
                    let learnt = learnt.clone();
                    HostHandle::current()?.spawn(async move {
                        while stream.write_u8(b'.').await.is_ok() {
                            sleep(500 * MILLISECOND).await;
                        }
                        let _ = learnt.send(());
                    });
                }
            };
            let count = async {
                while counted.recv().await.is_some() {
                    notified.set(notified.get() + 1);
                }
                Ok(())
            };
            let (served, counted) = tokio::join!(accept, count);
            let _: Result<(), BoxError> = served;
            counted
        }
    });
    let client_ended = Rc::clone(&ended);
    sim.client("vm", vm, async move {
        for _ in 0..TOGGLES {
            let Ok(mut stream) = TcpStream::connect("stdata:80").await else { continue };
            // Whose reset is lost learns by its next segment: a probe, if it has nothing else to
            // say.
            stream.set_keepalive(Some(10 * SECOND));
            while stream.read_u8().await.is_ok() {
                if stream.write_u8(b'.').await.is_err() {
                    break;
                }
            }
            client_ended.set(client_ended.get() + 1);
        }
        sleep(1000 * SECOND).await;
        Ok(())
    });
    for number in 0..TOGGLES * 40 {
        sim.at((number + 1) * 30 * SECOND, move |now| {
            let done = now.edit(|net| {
                if number % 2 == 0 {
                    net.enable_endpoint(web, storage, Scope::Worldwide)
                } else {
                    net.disable_endpoint(web, storage)
                }
            });
            done.unwrap();
        });
    }
    sim.run()?;
    assert!(ended.get() > TOGGLES / 2, "{loss}: {} ended", ended.get());
    assert!(accepted.get() > TOGGLES / 2, "{loss}: {} accepted", accepted.get());
    assert_eq!(notified.get(), accepted.get(), "{loss}");
    Ok(())
}

#[test]
fn both_ends_learn_whatever_is_lost() -> Result<(), BoxError> {
    [0, 10, 50, 100, 200, 300].into_iter().try_for_each(both_ends_learn)
}

//! How runs end, and what the error says.

use tokio::time::sleep;
use vnetem_sim::{
    BoxError, HostHandle, Outcome, Place, Sim, SimError, TcpStream, check_deterministic,
};

use crate::azure::{Azure, MILLISECOND, SECOND, ask};

fn fails(main: impl Future<Output = Outcome> + 'static) -> SimError {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm-a", vm, main);
    sim.run().unwrap_err()
}

#[test]
fn error_names_host_and_time() {
    let error = fails(async {
        sleep(3 * SECOND).await;
        TcpStream::connect("stdata:81").await?;
        Ok(())
    });
    assert_eq!(error.to_string(), "vm-a failed at 3.004s: connection refused");
}

#[test]
fn panic_names_host_and_time() {
    let error = fails(async {
        sleep(SECOND).await;
        panic!("as asked")
    });
    assert_eq!(error.to_string(), "vm-a panicked at 1s: as asked");
}

#[test]
fn panic_of_socket_holder_ends_run() {
    let error = fails(async {
        let stream = TcpStream::connect("stdata:80").await?;
        HostHandle::current()?.spawn(async move {
            let _stream = stream;
            panic!("in a task")
        });
        sleep(5 * SECOND).await;
        Ok(())
    });
    let expected = "vm-a panicked at 4ms: a task that held one of its sockets";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn stuck_names_who_waits() {
    let error = fails(async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        tokio::io::AsyncReadExt::read_u8(&mut stream).await?;
        Ok(())
    });
    let SimError::Stuck { last_packet, waiting, .. } = error else { panic!("{error}") };
    assert_eq!(waiting, ["vm-a (10.0.0.4:32768 > 52.239.1.9:80 reads)"]);
    assert!(last_packet < 10 * MILLISECOND);
}

#[test]
fn foreign_task_has_no_host() {
    let error = fails(async {
        tokio::spawn(async { TcpStream::connect("stdata:80").await }).await??;
        Ok(())
    });
    assert!(error.to_string().contains("spawn it by HostHandle::spawn"), "{error}");
}

#[test]
fn spawned_task_runs_on_its_host() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let asked = HostHandle::current()?
            .spawn(async { ask(&mut TcpStream::connect("stdata:80").await?).await });
        assert_eq!(asked.await??, "20.1.1.1");
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn wrong_setup_is_named() {
    let mut sim = Azure::new().sim();
    sim.client("stdata", Place::Internet([1, 2, 3, 4].into()), async { Ok(()) });
    assert_eq!(sim.run().unwrap_err().to_string(), "there are two hosts of the name stdata");
}

fn story() -> Sim {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        for _ in 0..10 {
            ask(&mut stream).await?;
            sleep(33 * MILLISECOND).await;
        }
        Ok(())
    });
    sim
}

#[test]
fn equal_runs_are_deterministic() -> Result<(), BoxError> {
    check_deterministic(story)?;
    let capture = || {
        let mut sim = story();
        sim.capture();
        sim.run().map(|()| sim.take_capture())
    };
    let first = capture()?;
    assert!(first.len() > 1000);
    assert_eq!(first, capture()?);
    Ok(())
}

#[test]
fn first_differing_packet_is_named() {
    let runs = core::cell::Cell::new(0_u8);
    let error = check_deterministic(|| {
        runs.set(runs.get() + 1);
        let pause = u32::from(runs.get()) * MILLISECOND;
        let azure = Azure::new();
        let vm = azure.vm(4);
        let mut sim = azure.sim();
        sim.client("vm", vm, async move {
            let mut stream = TcpStream::connect("stdata:80").await?;
            sleep(pause).await;
            ask(&mut stream).await?;
            Ok(())
        });
        sim
    })
    .unwrap_err();
    let SimError::Diverged { first, second, .. } = &error else { panic!("{error}") };
    assert_ne!(first, second);
    assert!(first.contains("10.0.0.4:32768 > 52.239.1.9:80 tcp"), "{error}");
}

//! The clock: tokio's paused one, moved to the next of packet, stack, data plane, script and timer
//! of the code.
//!
//! tokio tells by its park hook that no task can go on. The driver then does what there is to do
//! now, or moves the clock to the next thing. tokio's timers stand on whole milliseconds: within
//! one the driver moves the clock exactly, beyond it the driver sleeps, and tokio moves the clock
//! to the earliest timer of all.

use core::cell::{Cell, RefCell};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Builder;
use tokio::task::{JoinError, JoinHandle, LocalSet};
use tokio::time::{Instant, Sleep};
use vnetem::Time;

use super::control::Control;
use super::handle::HostHandle;
use super::{Main, Outcome, Script, Shared, Sim, SimError};
use crate::world::Changed;

/// tokio's timers stand on multiples of this.
const MILLISECOND: u64 = 1_000_000;
/// The step of the clock where something wants to happen at once for ever.
const TICK: Duration = Duration::from_micros(1);

thread_local! {
    /// No task can go on.
    static IDLE: Cell<bool> = const { Cell::new(false) };
    /// tokio may move its clock.
    static PARK: Cell<bool> = const { Cell::new(false) };
    /// The code of some host has ended since the driver looked last.
    static ENDED: Cell<bool> = const { Cell::new(true) };
    /// Wakes the driver.
    static DRIVER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// tokio calls this when no task can go on. The driver goes first, and says whether tokio may move
/// its clock.
fn on_park() {
    if PARK.take() {
        return;
    }
    IDLE.set(true);
    DRIVER.with_borrow(|driver| {
        if let Some(driver) = driver {
            driver.wake_by_ref();
        }
    });
}

/// Runs a simulation to its end.
pub(super) fn run(sim: &mut Sim) -> Result<(), SimError> {
    sim.scripts.sort_by_key(|(at, _)| *at);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(on_park)
        .build()
        .map_err(|why| SimError::Setup(format!("no runtime: {why}")))?;
    IDLE.set(false);
    PARK.set(false);
    ENDED.set(true);
    let set = LocalSet::new();
    let result = runtime.block_on(async {
        for (id, main) in sim.mains.iter_mut().enumerate() {
            main.start(HostHandle::new(Arc::clone(&sim.shared), id, 0), &set);
        }
        let start = Instant::now();
        let mut driver = Driver {
            all: Arc::clone(&sim.shared),
            mains: &mut sim.mains,
            scripts: core::mem::take(&mut sim.scripts).into_iter().peekable(),
            set: &set,
            start,
            limit: Time(0) + sim.limit,
            sleep: Box::pin(tokio::time::sleep_until(start)),
            reaped: Vec::new(),
            last_packet: Time(0),
        };
        let driven = core::future::poll_fn(|cx| driver.poll(cx));
        // tokio puts off whatever a task does beyond its budget of 128 steps; the driver must not
        // be.
        set.run_until(tokio::task::unconstrained(driven)).await
    });
    DRIVER.set(None);
    for main in &mut sim.mains {
        main.handle = None;
    }
    drop(set);
    result
}

/// Moves the clock.
struct Driver<'a> {
    all: Arc<Mutex<Shared>>,
    mains: &'a mut Vec<Main>,
    scripts: core::iter::Peekable<std::vec::IntoIter<(Time, Option<Script>)>>,
    set: &'a LocalSet,
    start: Instant,
    limit: Time,
    sleep: Pin<Box<Sleep>>,
    reaped: Vec<JoinHandle<Outcome>>,
    last_packet: Time,
}

impl Driver<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SimError>> {
        DRIVER.with_borrow_mut(|driver| match driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => *driver = Some(cx.waker().clone()),
        });
        if !IDLE.take() {
            return Poll::Pending;
        }
        let all = Arc::clone(&self.all);
        let mut shared = all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = Time(0) + self.start.elapsed();
        loop {
            shared.world.set_now(now);
            let before = shared.world.packets();
            shared.world.run_due();
            if shared.world.packets() != before {
                self.last_packet = now;
            }
            let wakes = shared.world.take_wakes();
            if !wakes.is_empty() {
                drop(shared);
                wakes.into_iter().for_each(Waker::wake);
                return Poll::Pending;
            }
            if let Some(result) = self.verdict(&shared, now, cx) {
                return Poll::Ready(result);
            }
            if self.scripts.peek().is_some_and(|(at, _)| *at <= now) {
                let result = self.play(&mut shared);
                let wakes = shared.world.take_wakes();
                drop(shared);
                // What it woke, started or ended goes first.
                cx.waker().wake_by_ref();
                wakes.into_iter().for_each(Waker::wake);
                return result.map_or(Poll::Pending, |fault| Poll::Ready(Err(fault)));
            }
            let script = self.scripts.peek().map(|(at, _)| *at);
            let next = shared.world.next_event().map(|at| at.max(now + TICK));
            let next = next.into_iter().chain(script).min().unwrap_or(self.limit);
            let next = next.min(self.limit);
            let turn = Time((now.0 / MILLISECOND + 1).saturating_mul(MILLISECOND));
            if next < turn {
                advance(next.since(now));
                now = next;
                continue;
            }
            if !now.0.is_multiple_of(MILLISECOND) {
                // Timers of the next millisecond go before packets of it. tokio may not park yet:
                // `advance` looks at the timers before the hook is called, and whoever wakes may
                // send.
                advance(turn.since(now));
                return Poll::Pending;
            }
            let whole = Time(next.0 / MILLISECOND * MILLISECOND);
            self.sleep.as_mut().reset(self.start + whole.since(Time(0)));
            drop(shared);
            if self.sleep.as_mut().poll(cx).is_pending() {
                PARK.set(true);
            } else {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    }

    /// How the run ends, if it ends now.
    fn verdict(
        &mut self,
        shared: &Shared,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), SimError>> {
        if let Some(&(id, at)) = shared.panics.first() {
            let (host, at) = (shared.name(id).to_owned(), at.since(Time(0)));
            let message = self.panic_of(id, cx);
            return Some(Err(SimError::Panicked { host, at, message }));
        }
        if let Some(verdict) = ENDED.take().then(|| self.ended(shared, now, cx)).flatten() {
            return Some(verdict);
        }
        if now < self.limit {
            return None;
        }
        let waits =
            |(id, main): (usize, &Main)| (main.awaited && !main.done).then(|| shared.waiting(id));
        let waiting = self.mains.iter().enumerate().filter_map(waits).collect();
        let (at, last_packet) = (now.since(Time(0)), self.last_packet.since(Time(0)));
        Some(Err(SimError::Stuck { at, last_packet, waiting }))
    }

    /// Looks at the code that has ended, and says how the run ends if it ends by that.
    fn ended(
        &mut self,
        shared: &Shared,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Option<Result<(), SimError>> {
        for (id, main) in self.mains.iter_mut().enumerate() {
            let (host, at) = (|| shared.name(id).to_owned(), now.since(Time(0)));
            match main.outcome(cx) {
                None => {}
                Some(Ok(Ok(()))) => main.done = true,
                Some(Ok(Err(error))) => {
                    return Some(Err(SimError::Failed { host: host(), at, error }));
                }
                Some(Err(error)) if error.is_panic() => {
                    let message = message(error);
                    return Some(Err(SimError::Panicked { host: host(), at, message }));
                }
                Some(Err(_)) => {}
            }
        }
        let over = self.mains.iter().all(|main| main.done || !main.awaited);
        over.then_some(Ok(()))
    }

    /// The message of a host's own panic; a task's is the business of whoever spawned it.
    fn panic_of(&mut self, id: usize, cx: &mut Context<'_>) -> String {
        let own = self.mains.get_mut(id).and_then(|main| main.outcome(cx));
        match own {
            Some(Err(error)) if error.is_panic() => message(error),
            _ => "a task that held one of its sockets".to_owned(),
        }
    }

    /// Plays the next script.
    fn play(&mut self, shared: &mut Shared) -> Option<SimError> {
        let (_, script) = self.scripts.next()?;
        let mut control = Control {
            shared,
            all: &self.all,
            mains: self.mains,
            set: self.set,
            reaped: &mut self.reaped,
            changed: Changed { closed: Vec::new(), made: Vec::new() },
            fault: None,
        };
        script?(&mut control);
        let fault = control.fault.take();
        // A client that has crashed may have been the last.
        ENDED.set(true);
        self.reaped.retain(|handle| !handle.is_finished());
        fault.map(SimError::Setup)
    }
}

impl Main {
    /// Starts the code as a host's.
    pub(super) fn start(&mut self, host: HostHandle, set: &LocalSet) {
        let code = host.enter(|| (self.software)());
        let code = async move {
            let _ended = Ended;
            code.await
        };
        self.handle = Some(set.spawn_local(host.scope(code)));
    }

    /// How the code ended, told once.
    fn outcome(&mut self, cx: &mut Context<'_>) -> Option<Result<Outcome, JoinError>> {
        let handle = self.handle.as_mut().filter(|handle| handle.is_finished())?;
        let Poll::Ready(outcome) = Pin::new(handle).poll(cx) else { return None };
        self.handle = None;
        Some(outcome)
    }
}

/// Tells the driver when it is dropped: the code has returned, panicked or been aborted.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        ENDED.set(true);
    }
}

fn message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return String::new() };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

/// Moves tokio's clock at once, and exactly.
fn advance(time: Duration) {
    if time.is_zero() {
        return;
    }
    let mut moved = pin!(tokio::time::advance(time));
    let _ = moved.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

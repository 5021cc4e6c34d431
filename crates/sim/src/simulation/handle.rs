//! A host as its own code sees it.

use core::cell::RefCell;
use core::future::Future;
use core::net::Ipv4Addr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use super::shared::Shared;

thread_local! {
    static CURRENT: RefCell<Option<HostHandle>> = const { RefCell::new(None) };
}

/// A host, for code that runs on it.
///
/// Sockets belong to the host whose code makes them. A task that is spawned by `tokio::spawn` has
/// no host: spawn it by [`spawn`](Self::spawn), or make its sockets before.
#[derive(Clone)]
pub struct HostHandle {
    shared: Arc<Mutex<Shared>>,
    id: usize,
    incarnation: u32,
}

impl HostHandle {
    pub(super) fn new(shared: Arc<Mutex<Shared>>, id: usize, incarnation: u32) -> Self {
        Self { shared, id, incarnation }
    }

    /// Returns the host whose code runs.
    ///
    /// # Errors
    ///
    /// The task belongs to no host.
    pub fn current() -> io::Result<Self> {
        let text = "this task belongs to no host of a simulation: spawn it by HostHandle::spawn";
        CURRENT.with_borrow(Clone::clone).ok_or_else(|| io::Error::other(text))
    }

    /// Returns the name of the host.
    #[must_use]
    pub fn name(&self) -> String {
        self.lock().name(self.id).to_owned()
    }

    /// Returns the address of the host.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.lock().address(self.id)
    }

    /// Spawns a task that belongs to this host and ends when it crashes.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let handle = tokio::spawn(self.scope(future));
        let mut shared = self.lock();
        if let Some(machine) = shared.machines.get_mut(self.id) {
            if machine.tasks.len() >= 64 && machine.tasks.len().is_power_of_two() {
                machine.tasks.retain(|task| !task.is_finished());
            }
            machine.tasks.push(handle.abort_handle());
        }
        handle
    }

    /// Runs a future as this host's: sockets that it makes are this host's.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped { host: self.clone(), inner: Box::pin(future) }
    }

    pub(super) fn enter<R>(&self, run: impl FnOnce() -> R) -> R {
        let _before = Before(CURRENT.replace(Some(self.clone())));
        run()
    }

    pub(crate) const fn id(&self) -> usize {
        self.id
    }

    /// What is shared, however a task that held the lock has ended.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is shared; `None` once the host has crashed, after which its sockets wait for ever.
    pub(crate) fn live(&self) -> Option<MutexGuard<'_, Shared>> {
        let shared = self.lock();
        shared.is_live(self.id, self.incarnation).then_some(shared)
    }
}

impl core::fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HostHandle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Sets back the host that was current, after a panic too.
struct Before(Option<HostHandle>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// A future that runs as one host's.
#[derive(Debug)]
pub struct Scoped<F> {
    host: HostHandle,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.host.enter(|| this.inner.as_mut().poll(cx))
    }
}

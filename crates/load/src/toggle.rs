//! Toggles an endpoint under live flows.

use vnetem::{DataPlane, EditError, Protocol, Time, control::Scope};

use crate::{LONG, Load, LoadError, SHORT, TogglePart};

impl Load {
    /// Toggles the endpoint of one subnet. Every flow of it is closed, and both ends of each get a
    /// reset. Each part is timed under its name, and then the closed flows are opened again.
    /// Returns the number of closed flows.
    ///
    /// # Errors
    ///
    /// [`LoadError::Closed`] if another number of flows was closed, or the error of the network or
    /// the packets.
    pub fn toggle(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
    ) -> Result<u64, LoadError> {
        self.toggle_by(timed, |plane, now, timed| {
            timed(TogglePart::Close, &mut || while plane.poll_transmit(now).is_some() {});
        })
    }

    /// Toggles as [`toggle`](Self::toggle) does, but times each call of the closing alone: the
    /// longest time that other traffic waits.
    ///
    /// # Errors
    ///
    /// As for [`toggle`](Self::toggle).
    pub fn toggle_in_steps(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
    ) -> Result<u64, LoadError> {
        self.toggle_by(timed, |plane, now, timed| {
            let mut more = true;
            while more {
                timed(TogglePart::Step, &mut || more = plane.poll_transmit(now).is_some());
            }
        })
    }

    fn toggle_by(
        &mut self,
        timed: &mut dyn FnMut(TogglePart, &mut dyn FnMut()),
        close: impl FnOnce(&mut DataPlane, Time, &mut dyn FnMut(TogglePart, &mut dyn FnMut())),
    ) -> Result<u64, LoadError> {
        // Flows outside the toggled subnet would time out after half a million toggles.
        if self.now >= self.opened + LONG / 2 {
            self.expire(&mut |work| work());
            self.open(&mut |work| work())?;
        }
        let before = self.plane.counters().generated.packets;
        self.switch(!self.shape.endpoint)?;
        let (network, plane, now) = (&mut self.network, &mut self.plane, self.now);
        let mut snapshot = None;
        timed(TogglePart::Commit, &mut || snapshot = Some(network.commit()));
        timed(TogglePart::Apply, &mut || {
            if let Some(snapshot) = snapshot.take() {
                plane.apply(now, snapshot);
            }
        });
        close(plane, now, timed);
        let resets = self.plane.counters().generated.packets - before;
        // No endpoint takes UDP flows, so none is closed.
        let affected = if self.shape.protocol == Protocol::TCP { self.shape.affected } else { 0 };
        if resets != 2 * u64::from(affected) {
            return Err(LoadError::Closed { closed: resets / 2, affected });
        }
        // As before: the tombstones expire, the endpoint returns, and the flows are opened again.
        self.now += SHORT;
        self.plane.handle_timeout(self.now);
        self.switch(self.shape.endpoint)?;
        let snapshot = self.network.commit();
        self.plane.apply(self.now, snapshot);
        while self.plane.poll_transmit(self.now).is_some() {}
        let ring = self.frames.ring();
        for first in (0..affected).step_by(ring) {
            let last = affected.min(first.saturating_add(u32::try_from(ring).unwrap_or(u32::MAX)));
            self.open_some(first..last, &mut |work| work())?;
        }
        Ok(u64::from(affected))
    }

    fn switch(&mut self, on: bool) -> Result<(), EditError> {
        let Some(&subnet) = self.subnets.first() else { return Ok(()) };
        if on {
            self.network.enable_endpoint(subnet, self.service, Scope::Worldwide)
        } else {
            self.network.disable_endpoint(subnet, self.service)
        }
    }
}

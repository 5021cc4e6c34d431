//! What can be set on a connection.

use core::time::Duration;
use std::io::{self, ErrorKind};

use super::TcpStream;
use crate::engine::duration;

impl TcpStream {
    /// Returns whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.with(|conn| (!conn.socket().nagle_enabled(), false)).unwrap_or(false))
    }

    /// Sends small writes at once, or not.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.with(|conn| (conn.socket().set_nagle_enabled(!nodelay), false));
        Ok(())
    }

    /// Resets the connection when it is dropped, with a time of zero. No other time changes
    /// anything: a drop never waits.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.with(|conn| {
            conn.linger = linger;
            ((), false)
        });
        Ok(())
    }

    /// Returns what [`set_linger`](Self::set_linger) set.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.with(|conn| (conn.linger, false)).flatten())
    }

    /// Returns the time to live of what is sent.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(self.with(|conn| (conn.socket().hop_limit(), false)).flatten().unwrap_or(64).into())
    }

    /// Sets the time to live of what is sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is 0 or above 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = u8::try_from(ttl).ok().filter(|ttl| *ttl > 0).ok_or(ErrorKind::InvalidInput)?;
        self.with(|conn| (conn.socket().set_hop_limit(Some(ttl)), false));
        Ok(())
    }

    /// Probes the other end after so long a silence; never without.
    pub fn set_keepalive(&self, interval: Option<Duration>) {
        self.with(|conn| (conn.socket().set_keep_alive(interval.map(duration)), true));
    }
}

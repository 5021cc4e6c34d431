//! What can be called.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::io::{self, ErrorKind};

use crate::simulation::{HostHandle, Shared};

/// What can be called, as a host understands it: `"stdata:80"`, `("stdata", 80)`, an address with a
/// port.
pub trait ToAddress: sealed::Sealed {
    /// The address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` without a port, `NotFound` for a name that means nothing to the host,
    /// `Unsupported` for IPv6.
    #[doc(hidden)]
    fn address(&self, resolve: &Resolver<'_>) -> io::Result<SocketAddr>;
}

mod sealed {
    pub trait Sealed {}
}

/// What names mean to one host.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    shared: &'a Shared,
    host: usize,
}

/// Looks a name up as the current host does.
///
/// # Errors
///
/// `NotFound` if the name means nothing to the host; the task belongs to no host.
#[allow(clippy::unused_async, reason = "tokio's is async")]
pub async fn lookup_host(to: impl ToAddress) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let host = HostHandle::current()?;
    let address = resolve(&host.lock(), host.id(), &to)?;
    Ok(core::iter::once(SocketAddr::V4(address)))
}

/// The address that a host calls.
pub(super) fn resolve(
    shared: &Shared,
    host: usize,
    to: &impl ToAddress,
) -> io::Result<SocketAddrV4> {
    match to.address(&Resolver { shared, host })? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(only_ipv4()),
    }
}

pub(super) fn only_ipv4() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "emulated hosts have IPv4 addresses only")
}

impl core::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Resolver").field("host", &self.host).finish_non_exhaustive()
    }
}

macro_rules! to_address {
    ($($type:ty: |$this:ident, $resolver:ident| $body:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        impl ToAddress for $type {
            fn address(&self, resolver: &Resolver<'_>) -> io::Result<SocketAddr> {
                let ($this, $resolver) = (self, resolver);
                let _ = $resolver;
                $body
            }
        }
    )*};
}

to_address! {
    SocketAddr: |this, _resolver| Ok(*this);
    SocketAddrV4: |this, _resolver| Ok((*this).into());
    (IpAddr, u16): |this, _resolver| Ok((*this).into());
    (Ipv4Addr, u16): |this, _resolver| Ok((*this).into());
    (String, u16): |this, resolver| (this.0.as_str(), this.1).address(resolver);
    String: |this, resolver| this.as_str().address(resolver);
    (&str, u16): |this, resolver| {
        let address = resolver.shared.resolve(resolver.host, this.0)?;
        Ok((address, this.1).into())
    };
    str: |this, resolver| {
        let wrong = || {
            let text = format!("expected NAME:PORT, found {this:?}");
            io::Error::new(ErrorKind::InvalidInput, text)
        };
        let (name, port) = this.rsplit_once(':').ok_or_else(wrong)?;
        (name, port.parse::<u16>().map_err(|_| wrong())?).address(resolver)
    };
}

impl<T: ToAddress + ?Sized> sealed::Sealed for &T {}

impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn address(&self, resolver: &Resolver<'_>) -> io::Result<SocketAddr> {
        (**self).address(resolver)
    }
}

//! Placeholder front page.

mod headers;
mod identity;
mod tuple;

pub use headers::{Fragment, Headers, TcpFlags, TcpSegment, Transport};
pub use identity::{Identity, Realm, SiteId, SubnetId, VnetId};
pub use tuple::{FiveTuple, Protocol};

#![doc = include_str!("../README.md")]
#![no_std]
#![warn(clippy::arithmetic_side_effects)]

mod address_class;
pub mod checksum;
mod ends;
mod fast_headers;
mod headers;
mod icmp;
mod icmp_error;
mod identity;
mod malformed;
mod options;
mod parse;
mod quote;
mod reset;
mod rewrite;
mod tcp_options;
pub mod tunnel;
mod tuple;
mod verify;

pub use address_class::AddressClass;
pub use ends::AddressPair;
pub use fast_headers::FastHeaders;
pub use headers::{Fragment, Headers, TcpFlags, TcpSegment, Transport};
pub use icmp_error::{IcmpError, IcmpErrorKind};
pub use identity::{Identity, Realm, SiteId, SubnetId, VnetId};
pub use malformed::Malformed;
pub use quote::{Quote, rewrite_quoting};
pub use reset::Reset;
pub use rewrite::{Delta, Rewrite, rewrite, rewrite_by};
pub use tcp_options::{TcpOptions, clamp_maximum_segment_size, tcp_options};
pub use tuple::{FiveTuple, Protocol};
pub use verify::{Checksums, TransportChecksum, verify_icmp_checksum};

//! Properties of packets, each against a slow and obvious reference implementation.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod address_class;
mod checksum;
mod display;
mod fast_headers;
mod icmp_error;
mod packets;
mod parse;
mod quote;
mod reference;
mod reset;
mod rewrite;
mod tcp_options;
mod tunnel;

//! Service tunnels: packets over endpoints as they travel between the host and the service.

pub use crate::plane::tunnel_port::{TunnelCounters, TunnelDrop, TunnelPort, TunnelSettings};

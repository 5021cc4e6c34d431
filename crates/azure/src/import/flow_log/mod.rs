//! Flow logs of virtual networks and of network security groups.

/// Whether the bytes begin as a flow log does.
pub(super) fn is_one(_bytes: &[u8]) -> bool {
    false
}

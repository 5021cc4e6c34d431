//! The edits of a network, by topic.

mod balancers;
mod places;
mod policies;
mod private_endpoints;
mod resources;
mod routes;
mod security;
mod services;
mod sites;

pub(crate) use security::SecurityRule;

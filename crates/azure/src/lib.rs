//! What Azure publishes about its services: address lists, endpoint names, regions.
//!
//! [`ServiceTags`] reads the published list of service tags in its file form and in its API form,
//! and carries a dated default. [`EndpointService`] is the catalogue of what a service endpoint can
//! be enabled for. IPv4 only.
//!
//! ```
//! use vnetem_azure::{EndpointService, ServiceTags};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let tags = ServiceTags::embedded();
//!     assert_eq!(tags.to_string().lines().nth(2), Some("date 2025-10-28"));
//!
//!     let storage = EndpointService::named("microsoft.storage").ok_or("no such service")?;
//!     let prefixes = tags.tag(storage.tag).ok_or("no such tag")?.prefixes();
//!     assert_eq!(prefixes.len(), 495);
//!     assert_eq!(storage.scope.locations("eastus"), ["eastus", "westus", "westus3"]);
//!
//!     let mut network = vnetem::Network::new();
//!     let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
//!     let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
//!     let service = storage.add_to(&mut network, &tags)?;
//!     network.set_endpoint(web, service, storage.endpoint(Some("eastus")))?;
//!     Ok(())
//! }
//! ```

mod date;
mod error;
pub mod import;
mod json;
mod network;
mod regions;
mod service_tags;
mod services;
mod text;

pub use date::Date;
pub use error::{Place, Problem, TagsError};
pub use network::ServiceError;
pub use regions::{known_region, nearest, nearest_region, paired_regions, region_name};
pub use service_tags::{ServiceTag, ServiceTags};
pub use services::{
    Assumption, ENDPOINT_PROTOCOL, EndpointService, Product, RolloutTimes, RuleCheck, Scope,
};

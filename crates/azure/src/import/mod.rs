//! Reads the files that people have of their networks.
//!
//! An [`Importer`] takes files of any kind: ARM templates, what `az`, PowerShell, Resource Graph
//! and the REST interface print, Terraform plans and states, deployment what-ifs, service tags and
//! effective routes. It recognises a file by its shape. An [`Inventory`] is what all of them say
//! together, in types. What a file does not say is never guessed: the inventory lists it as
//! [`Unresolved`], and the elements around it stay.
//!
//! ```
//! use vnetem_azure::import::{FileKind, Importer};
//!
//! let file = br#"{
//!     "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub",
//!     "location": "West Europe",
//!     "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
//!     "subnets": [ { "name": "web", "addressPrefix": "10.0.1.0/24", "routeTable": null } ]
//! }"#;
//! let mut importer = Importer::new();
//! assert_eq!(importer.read("hub.json", file)?, FileKind::Resources);
//!
//! let inventory = importer.inventory();
//! assert_eq!(inventory.names().of(&inventory.subnets[0].id), "hub/web");
//! assert_eq!(inventory.vnets[0].region, "westeurope");
//! assert!(inventory.unresolved.is_empty());
//! # Ok::<(), vnetem_azure::import::ImportError>(())
//! ```

mod arm;
mod batch;
mod build;
mod check;
mod effective;
mod error;
mod exported;
mod extract;
pub mod flow_log;
mod id;
mod importer;
mod inventory;
mod model;
mod model_more;
mod names;
mod not_ours;
mod notes;
mod recognise;
mod resource;
mod security;
mod terraform;
mod text;
mod value;
mod what_if;

pub use build::LoadedNetwork;
pub use effective::ShownRoute;
pub use error::{ImportError, ImportProblem};
pub use id::Id;
pub use importer::{DeploymentScope, Importer};
pub use inventory::{
    AzureFirewall, EndpointPolicy, Gateway, Inventory, IpConfiguration, Link, LoadBalancer,
    NatGateway, NetworkInterface, OutboundRule, Peering, PolicyDefinition, PrivateEndpoint,
    PrivateZone, PublicIp, PublicIpPrefix, Route, RoutePrefix, RouteTable, RouteTarget,
    ServiceEndpoint, Subnet, VirtualNetwork,
};
pub use model::Model;
pub use names::Names;
pub use notes::{Assumption, Contradiction, Place, Unresolved};
pub use recognise::FileKind;
pub use resource::{DefaultAction, IpRule, PublicAccess, Resource, ResourceKind, SubnetRule};
pub use security::{Peer, SecurityGroup, SecurityRule};

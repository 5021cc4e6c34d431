//! The catalogue and the published list, put into a network.

use core::fmt;

use vnetem::{EditError, Ipv4Net, Network, ServiceId, control::Endpoint};

use crate::{EndpointService, Scope, ServiceTag, ServiceTags, known_region};

/// Why a service was not put into a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// The list has no such tag.
    NoTag(String),
    /// The network has no such service.
    NoService(String),
    /// The network refuses it.
    Edit(EditError),
}

impl EndpointService {
    /// Makes the service in a network, with the prefixes of its tag (E-03) and the regions of the
    /// sub-tags (C-06). Services of one tag are one in the network, and that one then has a further
    /// name (E-07, S-32).
    ///
    /// Another tag may be chosen: `EndpointService { tag: "AzureActiveDirectory.ServiceEndpoint",
    /// ..service }` takes the narrower one of the directory (U-10).
    ///
    /// # Errors
    ///
    /// The list has no such tag, or the network refuses the service. The network is then as it was.
    pub fn add_to(
        &self,
        network: &mut Network,
        tags: &ServiceTags,
    ) -> Result<ServiceId, ServiceError> {
        let same = Self::ALL.iter().filter(|other| other.tag == self.tag);
        if let Some(id) = same.filter_map(|other| network.service_named(other.name)).next() {
            network.add_service_name(id, self.name)?;
            return Ok(id);
        }
        let id = tags.add_plain_service(network, self.name, self.tag)?;
        self.describe(network, id)?;
        Ok(id)
    }

    /// Tells a network what is known of the service beyond its prefixes.
    fn describe(&self, network: &mut Network, id: ServiceId) -> Result<(), EditError> {
        network.set_endpoint_first(id, self.rules.endpoint_first)?;
        network.set_takes_policies(id, self.takes_policies)?;
        if self.same_region_path {
            network.set_same_region_path(id, true)?;
        }
        Ok(())
    }

    /// Returns the endpoint that a subnet in `region` gets: its locations are those of the
    /// service's scope, or all where the region is not known (E-05, E-06).
    #[must_use]
    pub fn endpoint(&self, region: Option<&str>) -> Endpoint {
        let region = region.map(|region| known_region(region).unwrap_or(region));
        let scope = match region.filter(|_| self.scope != Scope::Worldwide) {
            None => vnetem::control::Scope::Worldwide,
            Some(region) => {
                let locations = self.scope.locations(region).into_iter();
                vnetem::control::Scope::Regions(locations.map(str::to_owned).collect())
            }
        };
        Endpoint { name: self.name.to_owned(), scope, network_identifier: None }
    }
}

impl ServiceTags {
    /// Makes a service in a network from a tag: its prefixes, and the regions of its sub-tags
    /// (E-03, C-06). Where the tag is that of a service of the catalogue, what is known of that
    /// service holds for this one too.
    ///
    /// # Errors
    ///
    /// There is no such tag, or the network refuses the service. The network is then as it was.
    pub fn add_service(
        &self,
        network: &mut Network,
        name: &str,
        tag: &str,
    ) -> Result<ServiceId, ServiceError> {
        let id = self.add_plain_service(network, name, tag)?;
        let known = EndpointService::ALL.iter().find(|it| it.tag.eq_ignore_ascii_case(tag));
        known.map_or(Ok(()), |known| known.describe(network, id))?;
        Ok(id)
    }

    fn add_plain_service(
        &self,
        network: &mut Network,
        name: &str,
        tag: &str,
    ) -> Result<ServiceId, ServiceError> {
        let listed = self.tag(tag).ok_or_else(|| ServiceError::NoTag(tag.to_owned()))?;
        let id = network.add_service(name, listed.prefixes())?;
        network.set_service_regions(id, self.regions(tag))?;
        Ok(id)
    }

    /// Replaces the prefixes and regions of a service by those of this list, as the platform does
    /// by itself when a new one comes (E-19).
    ///
    /// # Errors
    ///
    /// There is no such tag or service, or the network refuses the prefixes. The network is then as
    /// it was.
    pub fn update_service(
        &self,
        network: &mut Network,
        name: &str,
        tag: &str,
    ) -> Result<(), ServiceError> {
        let listed = self.tag(tag).ok_or_else(|| ServiceError::NoTag(tag.to_owned()))?;
        let id =
            network.service_named(name).ok_or_else(|| ServiceError::NoService(name.to_owned()))?;
        network.set_service_prefixes(id, listed.prefixes())?;
        network.set_service_regions(id, self.regions(tag))?;
        Ok(())
    }

    /// The prefixes of a tag whose region is known, with the region.
    fn regions(&self, tag: &str) -> impl Iterator<Item = (Ipv4Net, String)> {
        let placed = |part: &ServiceTag| part.region().map(str::to_owned);
        self.sub_tags(tag).filter_map(move |part| Some((part, placed(part)?))).flat_map(
            |(part, region)| part.prefixes().iter().map(move |&prefix| (prefix, region.clone())),
        )
    }
}

impl From<EditError> for ServiceError {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTag(name) => write!(f, "the list of tags has no tag {name}"),
            Self::NoService(name) => write!(f, "there is no service {name}"),
            Self::Edit(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ServiceError {}

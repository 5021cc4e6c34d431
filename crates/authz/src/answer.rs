//! How services answer a request that their network rules refuse (P-32).

use core::net::Ipv4Addr;

use crate::{Arrival, Refusal};

/// The answer to a refused request. The service sends it over the open connection (P-32).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAnswer {
    /// An HTTP response.
    Http {
        /// The status.
        status: u16,
        /// The error code in the body.
        code: &'static str,
        /// The message.
        text: String,
    },
    /// An error of the SQL login.
    Sql {
        /// The error number.
        number: u16,
        /// The message.
        text: String,
    },
}

impl ServiceAnswer {
    /// Turns 403 into 404, since some services hide that the resource exists (C-12, F-17). SQL has
    /// no such form.
    #[must_use]
    pub fn as_not_found(self) -> Self {
        match self {
            Self::Http { .. } => Self::http(
                404,
                "ResourceNotFound",
                "The specified resource does not exist.".to_owned(),
            ),
            sql @ Self::Sql { .. } => sql,
        }
    }

    /// Answers for a storage account, the same for every reason (F-16, S-47).
    pub(crate) fn storage() -> Self {
        let text = "This request is not authorized to perform this operation.";
        Self::http(403, "AuthorizationFailure", text.to_owned())
    }

    /// Answers for a SQL server. The text has the caller's address if the server sees one (F-18).
    pub(crate) fn sql(refusal: Refusal, arrival: Arrival, server: &str) -> Self {
        if refusal == Refusal::PublicAccessDisabled {
            let text = "The public network interface on this server is not accessible. To connect to this server, use the Private Endpoint from inside your virtual network.";
            return Self::Sql { number: 47073, text: text.to_owned() };
        }
        let (number, client) = match arrival {
            Arrival::Public(address) | Arrival::PrivateSameRegion(address) => {
                (40615, format!("Client with IP address '{address}'"))
            }
            Arrival::Tunnel(_) | Arrival::PrivateEndpoint { .. } | Arrival::Instance(_) => {
                (40914, "Client".to_owned())
            }
        };
        let text = format!(
            "Cannot open server '{server}' requested by the login. {client} is not allowed to access the server."
        );
        Self::Sql { number, text }
    }

    /// Answers for a Cosmos DB account. The text tells how the request arrived (F-19).
    pub(crate) fn cosmos_db(arrival: Arrival) -> Self {
        let from = match arrival {
            Arrival::Tunnel(_) => "client VNET through service endpoint".to_owned(),
            Arrival::PrivateEndpoint { .. } => "client VNET through private endpoint".to_owned(),
            other => format!("IP {} through public internet", named(other)),
        };
        let text = format!(
            "Request originated from {from}. This is blocked by your Cosmos DB account firewall settings."
        );
        Self::http(403, "Forbidden", text)
    }

    /// Answers for a key vault (F-23).
    pub(crate) fn key_vault(arrival: Arrival) -> Self {
        let text = format!(
            "Client address is not authorized and caller is not a trusted service. Client address: {}",
            named(arrival)
        );
        Self::http(403, "Forbidden", text)
    }

    /// Answers for a container registry, which said 404 in preview (F-17).
    pub(crate) fn container_registry(arrival: Arrival) -> Self {
        let text = format!("client with IP '{}' is not allowed access.", named(arrival));
        Self::http(403, "DENIED", text)
    }

    /// Answers for a service whose exact text is unknown (F-17, F-20).
    pub(crate) fn forbidden() -> Self {
        Self::http(403, "Forbidden", "Access to this resource is forbidden.".to_owned())
    }

    fn http(status: u16, code: &'static str, text: String) -> Self {
        Self::Http { status, code, text }
    }
}

/// Prints the address by which the service knows the caller.
fn named(arrival: Arrival) -> String {
    arrival.address().map_or_else(|| "unknown".to_owned(), |address: Ipv4Addr| address.to_string())
}

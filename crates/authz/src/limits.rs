//! Limits on the number and form of a resource's rules.

/// Limits on the number and form of a resource's rules. `None` if the service states no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLimits {
    /// The most VNet rules.
    pub vnet_rules: Option<usize>,
    /// The most IP rules.
    pub ip_rules: Option<usize>,
    /// The most rules of all kinds together.
    pub all_rules: Option<usize>,
    /// Whether an IP rule may be written with the length 31 or 32 (F-05).
    pub host_prefixes: bool,
    /// Whether an IP rule may contain a private range.
    ///
    /// Storage and Key Vault accept no private addresses, so they refuse a rule that contains some
    /// (F-04). A SQL server accepts 0.0.0.0 to 255.255.255.255.
    pub around_private: bool,
}

impl RuleLimits {
    /// Limits of a service that states none.
    pub const UNSTATED: Self = Self {
        vnet_rules: None,
        ip_rules: None,
        all_rules: None,
        host_prefixes: true,
        around_private: false,
    };
    /// Limits of a storage account (C-10, F-05).
    pub const STORAGE: Self =
        Self { vnet_rules: Some(400), ip_rules: Some(400), host_prefixes: false, ..Self::UNSTATED };
    /// Limits of a logical SQL server, or of a Synapse workspace's.
    pub const SQL: Self = Self { vnet_rules: Some(128), around_private: true, ..Self::UNSTATED };
    /// Limits of a Cosmos DB account.
    pub const COSMOS_DB: Self = Self { vnet_rules: Some(64), ..Self::UNSTATED };
    /// Limits of a key vault.
    pub const KEY_VAULT: Self =
        Self { vnet_rules: Some(200), ip_rules: Some(1000), ..Self::UNSTATED };
    /// Limits of a Service Bus namespace.
    pub const SERVICE_BUS: Self = Self { vnet_rules: Some(128), ..Self::UNSTATED };
    /// Limits of an Event Hubs namespace.
    pub const EVENT_HUBS: Self = Self { vnet_rules: Some(128), ..Self::UNSTATED };
    /// Limits of an App Service site (F-20).
    pub const APP_SERVICE: Self = Self { all_rules: Some(512), ..Self::UNSTATED };
}

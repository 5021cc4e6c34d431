//! How many rules a resource may have, and how they may be written.

/// How many rules a resource may have, and how they may be written; `None` where its service states
/// no limit.
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
    /// Whether an IP rule may contain a private range. The texts of Storage and Key Vault take no
    /// private addresses, so a rule that holds some is refused (F-04); a SQL server takes 0.0.0.0
    /// to 255.255.255.255.
    pub around_private: bool,
}

impl RuleLimits {
    /// Of a service that states none.
    pub const UNSTATED: Self = Self {
        vnet_rules: None,
        ip_rules: None,
        all_rules: None,
        host_prefixes: true,
        around_private: false,
    };
    /// Of a storage account (C-10, F-05).
    pub const STORAGE: Self =
        Self { vnet_rules: Some(400), ip_rules: Some(400), host_prefixes: false, ..Self::UNSTATED };
    /// Of a logical SQL server, or a Synapse workspace's.
    pub const SQL: Self = Self { vnet_rules: Some(128), around_private: true, ..Self::UNSTATED };
    /// Of a Cosmos DB account.
    pub const COSMOS_DB: Self = Self { vnet_rules: Some(64), ..Self::UNSTATED };
    /// Of a key vault.
    pub const KEY_VAULT: Self =
        Self { vnet_rules: Some(200), ip_rules: Some(1000), ..Self::UNSTATED };
    /// Of a Service Bus namespace.
    pub const SERVICE_BUS: Self = Self { vnet_rules: Some(128), ..Self::UNSTATED };
    /// Of an Event Hubs namespace.
    pub const EVENT_HUBS: Self = Self { vnet_rules: Some(128), ..Self::UNSTATED };
    /// Of an App Service site (F-20).
    pub const APP_SERVICE: Self = Self { all_rules: Some(512), ..Self::UNSTATED };
}

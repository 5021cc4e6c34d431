//! Resource ids, which compare without regard to case.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// The id of a resource. Ids compare without regard to case: flow logs shout them in capitals.
///
/// A resource of a Terraform plan whose id is known after apply only has its address for one,
/// `terraform:azurerm_subnet.app`.
#[derive(Clone)]
pub struct Id {
    text: String,
    key: String,
}

impl Id {
    /// Makes an id of its text; a slash at its end means nothing.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim().trim_end_matches('/');
        Self { text: text.to_owned(), key: text.to_ascii_lowercase() }
    }

    /// Returns the id as the file writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the id of a child, such as a subnet of a virtual network.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        Self::new(&format!("{}/{kind}/{name}", self.text))
    }

    /// Returns the id of the resource that this one is a part of; none for one that stands alone.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (start, name) = self.text.rsplit_once('/')?;
        let (start, kind) = start.rsplit_once('/')?;
        let alone = start.to_ascii_lowercase();
        let namespace = alone.rsplit('/').nth(1) == Some("providers");
        let named = !name.is_empty() && !kind.is_empty();
        (named && !namespace && !start.is_empty()).then(|| Self::new(start))
    }

    /// Returns the last word of the id, its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the word behind a word such as `resourceGroups`.
    #[must_use]
    pub fn part(&self, word: &str) -> Option<&str> {
        let mut words = self.text.split('/');
        words.find(|part| part.eq_ignore_ascii_case(word))?;
        words.next().filter(|part| !part.is_empty())
    }

    /// Returns the type, `microsoft.network/virtualnetworks/subnets`, in small letters; empty if
    /// the id is none of Azure's.
    #[must_use]
    pub fn kind(&self) -> String {
        let Some((_, provider)) = self.key.rsplit_once("/providers/") else { return String::new() };
        let mut words = provider.split('/');
        let namespace = words.next().unwrap_or_default().to_owned();
        words.step_by(2).fold(namespace, |kind, word| format!("{kind}/{word}"))
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Id {}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.text)
    }
}

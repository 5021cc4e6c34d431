//! Records which flows the last changes may concern.

use std::collections::VecDeque;
use std::sync::Arc;

use vnetem_nat::{Generation, RevalidationKey};

use crate::ServiceId;
use crate::edge::service_of;

/// What the last changes invalidated, newest last, so that a data plane may skip generations.
#[derive(Clone, Debug, Default)]
pub(crate) struct InvalidationLog(VecDeque<(Generation, Invalidated)>);

/// The flows that a change may concern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invalidated {
    pub(crate) keys: Arc<[RevalidationKey]>,
    /// Concerns the keys of these services at every place.
    pub(crate) everywhere: Services,
}

/// A set of services. What belongs to no service counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services(u32);

/// A data plane more than this many generations behind revalidates every flow.
const LOG_LENGTH: usize = 64;

impl InvalidationLog {
    pub(crate) fn with(&self, generation: Generation, invalidated: Invalidated) -> Self {
        let mut log = VecDeque::with_capacity(LOG_LENGTH);
        log.extend(self.0.iter().skip((self.0.len() + 1).saturating_sub(LOG_LENGTH)).cloned());
        log.push_back((generation, invalidated));
        Self(log)
    }

    pub(crate) fn since(
        &self,
        generation: Generation,
    ) -> Option<impl Iterator<Item = (Generation, &Invalidated)>> {
        let (oldest, _) = self.0.front()?;
        (oldest.0 <= generation.0.saturating_add(1)).then(|| {
            self.0
                .iter()
                .filter(move |(at, _)| at.0 > generation.0)
                .map(|(at, invalidated)| (*at, invalidated))
        })
    }
}

impl Services {
    /// All services, and what belongs to none.
    pub(crate) const ALL: Self = Self(u32::MAX);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn add(&mut self, service: Option<ServiceId>) {
        self.0 |= Self::bit(service);
    }

    /// Returns whether the flows of a key are concerned.
    pub(crate) fn concern(self, revalidation_key: RevalidationKey) -> bool {
        self.0 & Self::bit(service_of(revalidation_key)) != 0
    }

    fn bit(service: Option<ServiceId>) -> u32 {
        1_u32.rotate_left(service.map_or(0, |service| u32::from(service.0) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{MAX_SERVICES, revalidation_key};

    /// INV-accepted-edit-in-force: a data plane within the length of the log gets each generation
    /// since its own, oldest first. One further behind gets none.
    #[test]
    fn log_keeps_the_last_64_generations() {
        let mut log = InvalidationLog::default();
        assert!(log.since(Generation(0)).is_none());
        for number in 1..=100 {
            let keys = Arc::from([RevalidationKey(7)]);
            log =
                log.with(Generation(number), Invalidated { keys, everywhere: Services::default() });
        }
        let since = |generation| {
            let notified = log.since(Generation(generation))?;
            Some(notified.map(|(at, _)| at.0).collect::<Vec<_>>())
        };
        assert_eq!(since(35), None);
        assert_eq!(since(36), Some((37..=100).collect()));
        assert_eq!(since(37), Some((38..=100).collect()));
        assert_eq!(since(99), Some(vec![100]));
        assert_eq!(since(100), Some(vec![]));
    }

    #[test]
    fn services_concern_their_own_keys() {
        let all = || (0..).take(MAX_SERVICES).map(|number| Some(ServiceId(number))).chain([None]);
        for service in all() {
            let mut services = Services::default();
            assert!(services.is_empty());
            services.add(service);
            for other in all() {
                let key = revalidation_key(77, other);
                assert_eq!(services.concern(key), service == other);
                assert!(Services::ALL.concern(key));
            }
        }
    }
}

//! Quotas: what each tenant may use of a bounded table, whatever the others do.

/// The tenant charged for a flow, or for anything else that takes room. The caller chooses the
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u32);

impl Tenant {
    /// No tenant: guaranteed nothing, may use what the others leave.
    pub const NOBODY: Self = Self(0);
}

/// What each tenant uses of some bounded tables.
///
/// - Half of a table is guaranteed. Each of T tenants is guaranteed a part of `total / 2T`, rounded
///   down.
/// - A tenant with less than its part always finds room.
/// - A tenant with more, or one that is not listed, finds room while more is free than the others
///   still lack.
///
/// So a full table first refuses the tenant who filled it. When the parts change, a tenant that has
/// too much keeps it. Its excess becomes available to others as it is given back.
#[derive(Clone, Debug)]
pub struct Quota<const TABLES: usize> {
    /// By number.
    parts: Vec<Part<TABLES>>,
    tables: [Room; TABLES],
}

#[derive(Clone, Debug)]
struct Part<const TABLES: usize> {
    tenant: Tenant,
    /// Whether it is guaranteed a part. Others are forgotten when they have nothing left.
    is_guaranteed: bool,
    used: [u32; TABLES],
}

#[derive(Clone, Copy, Debug)]
struct Room {
    total: u32,
    taken: u32,
    /// The part of each tenant.
    part: u32,
    /// What all tenants below their part lack together.
    lacking: u32,
}

impl<const TABLES: usize> Quota<TABLES> {
    /// Makes empty tables of these sizes, without tenants.
    #[must_use]
    pub fn new(totals: [u32; TABLES]) -> Self {
        let room = |total| Room { total, taken: 0, part: 0, lacking: 0 };
        Self { parts: Vec::new(), tables: totals.map(room) }
    }

    /// Divides the tables among these tenants. This is the only call that allocates.
    pub fn share_among(&mut self, tenants: impl IntoIterator<Item = Tenant>) {
        self.parts.iter_mut().for_each(|part| part.is_guaranteed = false);
        for tenant in tenants {
            match self.place(tenant) {
                Ok(at) => {
                    if let Some(part) = self.parts.get_mut(at) {
                        part.is_guaranteed = true;
                    }
                }
                Err(at) => {
                    self.parts.insert(at, Part { tenant, is_guaranteed: true, used: [0; TABLES] });
                }
            }
        }
        self.parts.retain(|part| part.is_guaranteed || part.used.iter().any(|used| *used != 0));
        let guaranteed = || self.parts.iter().filter(|part| part.is_guaranteed);
        let count = u32::try_from(guaranteed().count()).unwrap_or(u32::MAX);
        for (at, room) in self.tables.iter_mut().enumerate() {
            room.part = room.total.checked_div(count.saturating_mul(2)).unwrap_or(0);
            room.lacking = guaranteed()
                .filter_map(|part| part.used.get(at))
                .fold(0, |sum, used| sum.saturating_add(room.part.saturating_sub(*used)));
        }
    }

    /// Says whether a tenant finds room for one more.
    #[must_use]
    #[inline]
    pub fn has_room(&self, table: usize, tenant: Tenant) -> bool {
        let Some(room) = self.tables.get(table) else { return false };
        let free = room.total.saturating_sub(room.taken);
        free > room.lacking || free > 0 && self.lacks(table, tenant, 0)
    }

    /// Says whether a tenant finds room for one more after another tenant, or it itself, has taken
    /// one.
    #[must_use]
    pub fn has_room_beside(&self, table: usize, tenant: Tenant, other: Option<Tenant>) -> bool {
        let Some(mut room) = self.tables.get(table).copied() else { return false };
        if let Some(other) = other {
            room.lacking = room.lacking.saturating_sub(u32::from(self.lacks(table, other, 0)));
            room.taken = room.taken.saturating_add(1);
        }
        let own = u32::from(other == Some(tenant));
        let free = room.total.saturating_sub(room.taken);
        free > 0 && (free > room.lacking || self.lacks(table, tenant, own))
    }

    /// Says whether a tenant has more than its part.
    #[must_use]
    pub fn is_over(&self, table: usize, tenant: Tenant) -> bool {
        let part = self.tables.get(table).map_or(0, |room| room.part);
        self.part(tenant).is_none_or(|own| {
            !own.is_guaranteed || own.used.get(table).is_some_and(|used| *used > part)
        })
    }

    /// Takes room for one more.
    #[inline]
    pub fn take(&mut self, table: usize, tenant: Tenant) {
        let place = self.place(tenant);
        let Some(room) = self.tables.get_mut(table) else { return };
        room.taken = room.taken.saturating_add(1);
        let part = place.ok().and_then(|at| self.parts.get_mut(at));
        let Some(part) = part else { return };
        let Some(used) = part.used.get_mut(table) else { return };
        let lacks = part.is_guaranteed && *used < room.part;
        room.lacking = room.lacking.saturating_sub(lacks.into());
        *used = used.saturating_add(1);
    }

    /// Gives back room for one.
    #[inline]
    pub fn give_back(&mut self, table: usize, tenant: Tenant) {
        let place = self.place(tenant);
        let Some(room) = self.tables.get_mut(table) else { return };
        room.taken = room.taken.saturating_sub(1);
        let part = place.ok().and_then(|at| self.parts.get_mut(at));
        let Some(part) = part else { return };
        let Some(used) = part.used.get_mut(table) else { return };
        *used = used.saturating_sub(1);
        let lacks = part.is_guaranteed && *used < room.part;
        room.lacking = room.lacking.saturating_add(lacks.into());
    }

    /// Gives how much of a table a tenant uses.
    #[must_use]
    pub fn used(&self, table: usize, tenant: Tenant) -> u32 {
        self.part(tenant).and_then(|part| part.used.get(table)).copied().unwrap_or(0)
    }

    /// Gives how much of a table each tenant is guaranteed.
    #[must_use]
    pub fn part_of_each(&self, table: usize) -> u32 {
        self.tables.get(table).map_or(0, |room| room.part)
    }

    /// Says whether a tenant would be below its part with so many more.
    fn lacks(&self, table: usize, tenant: Tenant, more: u32) -> bool {
        let part = self.part_of_each(table);
        self.part(tenant).is_some_and(|own| {
            let used = own.used.get(table).copied().unwrap_or(0);
            own.is_guaranteed && used.saturating_add(more) < part
        })
    }

    fn place(&self, tenant: Tenant) -> Result<usize, usize> {
        self.parts.binary_search_by_key(&tenant, |part| part.tenant)
    }

    fn part(&self, tenant: Tenant) -> Option<&Part<TABLES>> {
        self.parts.get(self.place(tenant).ok()?)
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the numbers of the tests are small"
)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ALICE: Tenant = Tenant(2);
    const BOB: Tenant = Tenant(4);

    #[test]
    fn largest_tenant_is_refused_first() {
        let mut quota = Quota::new([100]);
        quota.share_among([ALICE, BOB]);
        assert_eq!(quota.part_of_each(0), 25);
        let taken = (0..100).take_while(|_| {
            let room = quota.has_room(0, ALICE);
            if room {
                quota.take(0, ALICE);
            }
            room
        });
        assert_eq!(taken.count(), 75);
        assert!(quota.is_over(0, ALICE) && !quota.is_over(0, BOB));
        assert!(!quota.has_room(0, Tenant::NOBODY));
        for _ in 0..25 {
            assert!(quota.has_room(0, BOB));
            quota.take(0, BOB);
        }
        assert!(!quota.has_room(0, BOB), "all is taken");
        quota.give_back(0, BOB);
        assert!(quota.has_room(0, BOB) && !quota.has_room(0, ALICE));
        assert_eq!((quota.used(0, ALICE), quota.used(0, BOB)), (75, 24));
    }

    #[test]
    fn one_tenant_alone_has_all() {
        let mut quota = Quota::new([10, 0]);
        quota.share_among([ALICE]);
        for _ in 0..10 {
            assert!(quota.has_room(0, ALICE));
            quota.take(0, ALICE);
        }
        assert!(!quota.has_room(0, ALICE) && !quota.has_room(1, ALICE));
    }

    /// A removed tenant's room counts until it is given back.
    #[test]
    fn removed_tenant_is_guaranteed_nothing() {
        let mut quota = Quota::new([8]);
        quota.share_among([ALICE, BOB]);
        quota.take(0, ALICE);
        quota.share_among([BOB]);
        assert_eq!((quota.used(0, ALICE), quota.part_of_each(0)), (1, 4));
        assert!(quota.is_over(0, ALICE));
        for _ in 0..3 {
            assert!(quota.has_room(0, ALICE));
            quota.take(0, ALICE);
        }
        assert!(!quota.has_room(0, ALICE) && quota.has_room(0, BOB));
        (0..4).for_each(|_| quota.give_back(0, ALICE));
        quota.share_among([BOB]);
        assert_eq!(quota.parts.len(), 1, "and then it is forgotten");
    }

    proptest! {
        /// Compares with counting from scratch each time.
        #[test]
        fn a_quota_agrees_with_counting(
            total in 0_u32..40,
            moves in proptest::collection::vec((0_u32..5, 0_u8..10, any::<bool>()), 0..200),
        ) {
            let mut quota = Quota::new([total]);
            let mut tenants: Vec<u32> = Vec::new();
            let mut used: BTreeMap<u32, u32> = BTreeMap::new();
            for (tenant, what, beside) in moves {
                if what == 0 {
                    tenants = (0..=tenant).filter(|other| !beside || other % 2 == 0).collect();
                    quota.share_among(tenants.iter().map(|number| Tenant(*number)));
                } else if what < 4 {
                    // An unknown tenant has nothing to give back.
                    if used.get(&tenant).is_some_and(|count| *count > 0) {
                        quota.give_back(0, Tenant(tenant));
                        *used.entry(tenant).or_default() -= 1;
                    }
                }
                let part = total.checked_div(2 * tenants.len() as u32).unwrap_or(0);
                let of = |tenant: &u32| used.get(tenant).copied().unwrap_or(0);
                let other = (tenant + 1) % 5;
                let has_room = |more: Option<u32>| {
                    let of = |tenant: &u32| of(tenant) + u32::from(more == Some(*tenant));
                    let taken: u32 = used.values().sum::<u32>() + u32::from(more.is_some());
                    let lacking: u32 = tenants.iter().map(|one| part.saturating_sub(of(one))).sum();
                    let free = total.saturating_sub(taken);
                    let lacks = tenants.contains(&tenant) && of(&tenant) < part;
                    free > 0 && (lacks || free > lacking)
                };
                for more in [None, Some(other), Some(tenant)] {
                    let found = quota.has_room_beside(0, Tenant(tenant), more.map(Tenant));
                    prop_assert_eq!(found, has_room(more));
                }
                if what >= 4 && has_room(None) && tenants.contains(&tenant) {
                    quota.take(0, Tenant(tenant));
                    *used.entry(tenant).or_default() += 1;
                }
            }
        }
    }
}

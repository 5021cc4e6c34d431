use std::fmt;
use std::hash::Hash;

use ipnet::Ipv4Net;

use super::array::Array;
use super::code::Code;
use super::runs::Runs;
use super::spans::Spans;
use super::splits::Splits;
use crate::address::Address;
use crate::error::RouteError;
use crate::intern::Interner;
use crate::live::{LiveTable, Width, number};
use crate::sweep::Rule;
use crate::value_id::{ValueId, any};

/// A large table that never changes and answers only values.
///
/// As nobody writes to it, it has faster or smaller layouts than a [`LiveTable`]. [`Layout::Fast`]
/// fetches sixteen addresses by one instruction if the processor has AVX-512. [`Layout::Compact`]
/// takes a sixth of the memory. Neither keeps prefixes.
///
/// ```
/// use vnetem_fib::{FrozenTable, Layout, ValueId};
///
/// let routes = [("10.0.0.0/8".parse()?, "vnet"), ("10.1.1.7/32".parse()?, "appliance")];
/// let table = FrozenTable::from_routes(routes, Layout::Compact)?;
///
/// let mut ids = [ValueId::NONE; 2];
/// table.lookup_batch(&[[10, 1, 1, 7], [10, 1, 1, 8]], &mut ids);
/// assert_eq!(ids.map(|id| table.value_of(id).copied()), [Some("appliance"), Some("vnet")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrozenTable<V> {
    codes: Codes,
    values: Box<[V]>,
}

/// How a [`FrozenTable`] is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A code for each /24: one load a lookup, 16 MiB with up to 254 values, 32 MiB up to 65,534.
    Fast,
    /// Runs of equal /24s: two loads a lookup, 4 MiB and a code for each run.
    Compact,
}

/// The codes in the width that the number of values needs.
enum Codes {
    One(Form<u8>),
    Two(Form<u16>),
    Four(Form<u32>),
}

struct Form<C> {
    slots: Slots<C>,
    splits: Splits<C>,
}

enum Slots<C> {
    Array(Array<C>),
    Runs(Runs<C>),
}

macro_rules! on_form {
    ($codes:expr, $form:ident => $do:expr) => {
        match $codes {
            Codes::One($form) => $do,
            Codes::Two($form) => $do,
            Codes::Four($form) => $do,
        }
    };
}

impl<V: Clone + Eq + Hash> FrozenTable<V> {
    /// Builds a table of these routes, in any order; of equal prefixes the last counts.
    ///
    /// # Errors
    ///
    /// [`RouteError::HostBits`] for the first prefix with host bits.
    pub fn from_routes(
        routes: impl IntoIterator<Item = (Ipv4Net, V)>,
        layout: Layout,
    ) -> Result<Self, RouteError> {
        let (mut rules, values) = number(routes)?;
        if !rules.is_sorted_by_key(|rule| (rule.network, rule.length)) {
            rules.sort_by_key(|rule| (rule.network, rule.length));
        }
        rules.dedup_by(|later, kept| {
            let equal = (later.network, later.length) == (kept.network, kept.length);
            if equal {
                kept.cell = later.cell;
            }
            equal
        });
        Ok(Self::new(&rules, values, layout))
    }
}

impl<V: Clone + Eq + Hash> LiveTable<V> {
    /// Copies the routes of this table into a form that never changes.
    pub fn freeze(&self, layout: Layout) -> FrozenTable<V> {
        let mut values = Interner::new();
        let rules: Vec<Rule<u32>> = self
            .iter()
            .map(|(prefix, value)| Rule {
                network: prefix.network().to_bits(),
                length: prefix.prefix_len(),
                cell: values.number(value) + 1,
            })
            .collect();
        FrozenTable::new(&rules, values.into_values(), layout)
    }
}

impl<V> FrozenTable<V> {
    /// Builds a table of sorted rules without duplicates, whose cells number the values from 1 up.
    fn new(rules: &[Rule<u32>], values: Vec<V>, layout: Layout) -> Self {
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let codes = match Width::holding(values.len(), Width::Four) {
            Some(Width::One) => Codes::One(Form::new(rules, count, layout)),
            Some(Width::Two) => Codes::Two(Form::new(rules, count, layout)),
            _ => Codes::Four(Form::new(rules, count, layout)),
        };
        Self { codes, values: values.into() }
    }

    /// Looks up the value number of the longest match.
    #[inline(always)]
    pub fn id(&self, address: impl Address) -> ValueId {
        ValueId(on_form!(&self.codes, form => form.code(address.number())))
    }

    /// Looks up the value of the longest match.
    #[inline]
    pub fn value(&self, address: impl Address) -> Option<&V> {
        self.value_of(self.id(address))
    }

    /// Gives the value that has this number.
    #[inline]
    pub fn value_of(&self, id: ValueId) -> Option<&V> {
        self.values.get(id.0.checked_sub(1)? as usize)
    }

    /// Looks up the value number of each address, as many as the shorter slice holds.
    #[inline]
    pub fn lookup_batch(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        on_form!(&self.codes, form => form.batch(addresses, ids));
    }

    /// Counts the bytes of the table, without what values own on the heap.
    pub fn bytes(&self) -> usize {
        on_form!(&self.codes, form => form.bytes()) + size_of_val(&*self.values)
    }
}

impl<V> fmt::Debug for FrozenTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenTable").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// How many codes a batch loads before it inspects the first.
const STRETCH: usize = 512;
/// How many codes it inspects together if one of them is split.
const FEW: usize = 16;

impl<C: Code> Form<C> {
    fn new(rules: &[Rule<u32>], values: u32, layout: Layout) -> Self {
        let spans = Spans::new(rules, C::SPLIT);
        let slots = match layout {
            Layout::Fast => Slots::Array(Array::new(&spans)),
            Layout::Compact => Slots::Runs(Runs::new(&spans, values)),
        };
        Self { slots, splits: Splits::new(&spans.blocks) }
    }

    #[inline(always)]
    fn code(&self, address: u32) -> u32 {
        let code = match &self.slots {
            Slots::Array(array) => array.code(address),
            Slots::Runs(runs) => runs.code(address),
        };
        if code == C::SPLIT { self.splits.code(address) } else { code }
    }

    #[inline]
    fn batch(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (addresses, ids) in addresses.chunks(STRETCH).zip(ids.chunks_mut(STRETCH)) {
            match &self.slots {
                Slots::Array(array) => array.codes(addresses, ids),
                Slots::Runs(runs) => runs.codes(addresses, ids),
            }
            if any(ids, C::SPLIT) {
                self.batch_split(addresses, ids);
            }
        }
    }

    #[cold]
    fn batch_split(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (addresses, ids) in addresses.chunks(FEW).zip(ids.chunks_mut(FEW)) {
            if !any(ids, C::SPLIT) {
                continue;
            }
            for (id, address) in ids.iter_mut().zip(addresses) {
                if id.0 == C::SPLIT {
                    *id = ValueId(self.splits.code(address.number()));
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        let slots = match &self.slots {
            Slots::Array(array) => array.bytes(),
            Slots::Runs(runs) => runs.bytes(),
        };
        slots + self.splits.bytes()
    }
}

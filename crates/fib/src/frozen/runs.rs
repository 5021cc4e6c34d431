use super::code::Code;
use super::spans::Spans;
use crate::address::Address;
use crate::value_id::ValueId;

/// The compact layout: for each /18, which of its 64 /24s differ from the one before, and where the
/// codes of those runs begin. A lookup takes two loads and no branch.
pub(crate) struct Runs<C> {
    nodes: Box<[Node; NODES]>,
    /// First one code for each value at its number, for /18s with one answer; then the runs of the
    /// others.
    codes: Vec<C>,
}

/// A /18.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Node {
    /// Bit `n`: the `n`th /24 begins a run. Bit 0 is always set.
    begins: u64,
    /// Where the runs begin, less one, since counting begins at one.
    before: u32,
}

const NODES: usize = 1 << 18;
const FAN: u32 = 64;

impl<C: Code> Runs<C> {
    pub(crate) fn new(spans: &Spans, values: u32) -> Self {
        let mut codes: Vec<C> = (0..=values).map(C::new).collect();
        let mut nodes = Vec::with_capacity(NODES);
        let mut left = spans.runs.as_slice();
        let mut code = 0;
        for node in (0..).take(NODES) {
            let first = node * FAN;
            let inside = left.iter().take_while(|(slot, _)| *slot < first + FAN).count();
            let (own, others) = left.split_at(inside);
            left = others;
            let mut begins = 1u64;
            let mut before = u32::try_from(codes.len()).unwrap_or(u32::MAX).wrapping_sub(1);
            let start =
                own.first().filter(|(slot, _)| *slot == first).map_or(code, |(_, code)| *code);
            let rest = own.iter().filter(|(slot, _)| *slot > first);
            if start != C::SPLIT && rest.clone().next().is_none() {
                // Numbers begin at one, and 0 means no match.
                before = start.wrapping_sub(1);
            } else {
                codes.push(C::new(start));
                for (slot, code) in rest {
                    begins |= 1 << (slot - first);
                    codes.push(C::new(*code));
                }
            }
            code = own.last().map_or(code, |(_, code)| *code);
            nodes.push(Node { begins, before });
        }
        codes.shrink_to_fit();
        #[allow(clippy::expect_used, reason = "the loop made that many")]
        let nodes = nodes.into_boxed_slice().try_into().ok().expect("NODES nodes");
        Self { nodes, codes }
    }

    #[inline(always)]
    pub(crate) fn code(&self, address: u32) -> u32 {
        self.code_at(self.position(address))
    }

    /// Gives the position of an address's code.
    #[inline(always)]
    fn position(&self, address: u32) -> u32 {
        // There are 2^18 nodes, so the compiler removes this check.
        let node = self.nodes.get((address >> 14) as usize);
        let Node { begins, before } = node.copied().unwrap_or(Node { begins: 1, before: u32::MAX });
        let up_to = begins << (FAN - 1 - (address >> 8) % FAN);
        before.wrapping_add(up_to.count_ones())
    }

    #[inline(always)]
    fn code_at(&self, position: u32) -> u32 {
        self.codes.get(position as usize).map_or(0, |code| code.number())
    }

    /// Looks up the codes of as many addresses as `ids` has places.
    #[inline]
    pub(crate) fn codes(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (id, address) in ids.iter_mut().zip(addresses) {
            *id = ValueId(self.code(address.number()));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + self.codes.capacity() * size_of::<C>()
    }
}

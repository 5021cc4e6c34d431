use std::collections::BTreeMap;

use super::code::Code;

/// The answers inside /24s that longer prefixes split.
pub(crate) struct Splits<C> {
    /// The start of each /16's page. Page 0 is empty.
    pages: Vec<u32>,
    /// Pages of 256 entries, each the start of a /24's block. Block 0 matches nothing.
    blocks: Vec<u32>,
    /// Blocks of 256 codes, one for each address. Equal blocks are stored once.
    cells: Vec<C>,
}

const NODES: usize = 1 << 16;
const FAN: usize = 256;

impl<C: Code> Splits<C> {
    pub(crate) fn new(split: &[(u32, Vec<u32>)]) -> Self {
        if split.is_empty() {
            return Self { pages: Vec::new(), blocks: Vec::new(), cells: Vec::new() };
        }
        let position = |length: usize| u32::try_from(length).unwrap_or(0);
        let mut pages = vec![0; NODES];
        let mut blocks = vec![0; FAN];
        let mut cells = vec![C::new(0); FAN];
        let mut known: BTreeMap<&[u32], u32> = BTreeMap::new();
        for (slot, codes) in split {
            let block = *known.entry(codes).or_insert_with(|| {
                let block = position(cells.len());
                cells.extend(codes.iter().map(|code| C::new(*code)));
                block
            });
            if let Some(page) = pages.get_mut((slot >> 8) as usize) {
                if *page == 0 {
                    *page = position(blocks.len());
                    blocks.resize(blocks.len() + FAN, 0);
                }
                if let Some(entry) = blocks.get_mut((*page | slot & 0xff) as usize) {
                    *entry = block;
                }
            }
        }
        Self { pages, blocks, cells }
    }

    /// Gives the code of an address whose /24 is split. It is inlined, so that loops over it can be
    /// unrolled.
    #[inline(always)]
    pub(crate) fn code(&self, address: u32) -> u32 {
        let page = self.pages.get((address >> 16) as usize).copied().unwrap_or(0);
        let block = self.blocks.get((page | address >> 8 & 0xff) as usize).copied().unwrap_or(0);
        self.cells.get((block | address & 0xff) as usize).map_or(0, |code| code.number())
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.pages) + size_of_val(&*self.blocks) + size_of_val(&*self.cells)
    }
}

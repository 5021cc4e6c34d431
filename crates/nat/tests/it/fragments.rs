//! Fragments.

use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    FlowId, FragmentError, FragmentKey, Fragments, Keys, Side, Span, Tenant, Time, Zone,
};
use vnetem_packet::Protocol;

use crate::packets::at;
use crate::world::World;

const LIFE: Duration = Duration::from_secs(30);

fn key(identification: u16) -> FragmentKey {
    FragmentKey {
        zone: Zone(7),
        source: *at([10, 0, 0, 4], 0).ip(),
        destination: *at([52, 239, 1, 9], 0).ip(),
        protocol: Protocol::UDP,
        identification,
    }
}

fn id() -> FlowId {
    World::opened(Protocol::UDP).id
}

fn span(offset: u16, length: u16, last: bool) -> Span {
    Span { offset, length, last }
}

fn noted(identification: u16) -> Fragments {
    let mut fragments = Fragments::new(4, LIFE, Keys::replayable(0));
    fragments.note(
        Time(0),
        key(identification),
        span(0, 1480, false),
        id(),
        Side::Internal,
        Tenant::NOBODY,
    );
    fragments
}

/// T-28, INV-fragment-follows-first, P-30.
#[test]
fn later_fragment_follows_its_first() {
    let fragments = noted(1);
    assert_eq!(fragments.find(Time(1), &key(1)), Some((id(), Side::Internal)));
    assert_eq!(
        fragments.admit(Time(1), &key(1), span(1480, 100, true)),
        Ok((id(), Side::Internal))
    );
}

/// The key has all parts, and without its first fragment a later one is refused.
/// T-28, INV-early-fragment-dropped, INV-fragments-never-mix.
#[test]
fn later_fragment_without_first_is_refused() {
    let fragments = noted(1);
    let others = [
        key(2),
        FragmentKey { zone: Zone(8), ..key(1) },
        FragmentKey { protocol: Protocol::TCP, ..key(1) },
        FragmentKey { source: key(1).destination, ..key(1) },
        FragmentKey { destination: key(1).source, ..key(1) },
    ];
    for other in others {
        let refused = fragments.admit(Time(1), &other, span(1480, 8, false));
        assert_eq!(refused, Err(FragmentError::WithoutFirst));
    }
}

/// An entry ends at the instant of its lifetime, and no later fragment prolongs it
/// (INV-fragment-state-bounded).
#[test]
fn fragment_entry_expires_exactly() {
    let mut fragments = noted(1);
    let end = LIFE.as_nanos() as u64;
    fragments.pass(Time(end - 1), &key(1), span(1480, 8, false));
    assert!(fragments.find(Time(end - 1), &key(1)).is_some());
    assert_eq!(fragments.find(Time(end), &key(1)), None);
}

/// INV-clock-steps-harmless.
#[test]
fn backward_clock_revives_no_fragments() {
    let mut fragments = noted(1);
    fragments.note(
        Time(LIFE.as_nanos() as u64),
        key(2),
        span(0, 8, false),
        id(),
        Side::Internal,
        Tenant::NOBODY,
    );
    assert_eq!(fragments.find(Time(0), &key(1)), None);
}

/// The last byte removes the entry (INV-fragment-state-bounded).
#[test]
fn a_complete_datagram_is_forgotten() {
    let mut fragments = noted(1);
    for part in [span(2960, 40, true), span(1480, 1480, false)] {
        assert!(fragments.admit(Time(1), &key(1), part).is_ok());
        fragments.pass(Time(1), &key(1), part);
    }
    assert_eq!(fragments.find(Time(1), &key(1)), None);
}

/// Bytes that have passed do not pass again, whole or in part, and change nothing.
/// INV-bad-fragments-dropped, INV-fragment-state-bounded, T-28.
#[test]
fn what_overlaps_is_refused() {
    let mut fragments = noted(1);
    fragments.pass(Time(1), &key(1), span(2960, 1480, false));
    for (offset, length) in [(0, 8), (1472, 16), (1472, 3000), (2952, 16), (2960, 1480), (4432, 16)]
    {
        let part = span(offset, length, false);
        assert_eq!(fragments.admit(Time(1), &key(1), part), Err(FragmentError::Overlap));
        fragments.pass(Time(1), &key(1), part);
    }
    assert!(fragments.admit(Time(1), &key(1), span(1480, 1480, false)).is_ok());
}

/// Refused are bytes beyond 65,515, bytes beyond the known end, and a second end
/// (INV-bad-fragments-dropped).
#[test]
fn what_reaches_too_far_is_refused() {
    let mut fragments = noted(1);
    let too_long = Err(FragmentError::TooLong);
    assert_eq!(fragments.admit(Time(1), &key(1), span(65_512, 4, true)), too_long);
    assert!(fragments.admit(Time(1), &key(1), span(65_512, 3, true)).is_ok());
    assert_eq!(fragments.admit(Time(1), &key(1), span(65_528, 1480, true)), too_long);
    assert_eq!(fragments.admit(Time(1), &key(1), span(1480, 0, true)), too_long);
    fragments.pass(Time(1), &key(1), span(4000, 96, false));
    assert_eq!(fragments.admit(Time(1), &key(1), span(3992, 8, true)), too_long);
    fragments.pass(Time(1), &key(1), span(4096, 4, true));
    assert_eq!(fragments.admit(Time(1), &key(1), span(4104, 8, false)), too_long);
    assert_eq!(fragments.admit(Time(1), &key(1), span(1480, 8, true)), too_long);
}

#[test]
fn more_than_eight_pieces_are_refused() {
    let mut fragments = noted(1);
    for piece in 1..8 {
        let part = span(2000 * piece, 8, false);
        assert!(fragments.admit(Time(1), &key(1), part).is_ok());
        fragments.pass(Time(1), &key(1), part);
    }
    let ninth = span(20_000, 8, false);
    assert_eq!(fragments.admit(Time(1), &key(1), ninth), Err(FragmentError::Scattered));
    assert!(fragments.admit(Time(1), &key(1), span(2008, 8, false)).is_ok(), "one that touches");
}

/// The number of entries is bounded, and the oldest is removed (INV-fragment-state-bounded).
#[test]
fn the_oldest_entry_gives_way() {
    let mut fragments = noted(1);
    for identification in 2..=5 {
        let first = span(0, 8, false);
        fragments.note(Time(1), key(identification), first, id(), Side::Internal, Tenant::NOBODY);
    }
    let alive = [1, 2, 3, 4, 5].map(|n| fragments.find(Time(1), &key(n)).is_some());
    assert_eq!(alive, [false, true, true, true, true]);
    assert_eq!(Fragments::new(0, LIFE, Keys::replayable(0)).find(Time(0), &key(1)), None);
}

/// The same first fragment neither prolongs nor forgets. Another first one with the key is another
/// datagram (INV-fragment-state-bounded).
#[test]
fn a_repeated_first_fragment_changes_nothing() {
    let mut fragments = noted(1);
    fragments.pass(Time(1), &key(1), span(1480, 8, false));
    fragments.note(Time(9), key(1), span(0, 1480, false), id(), Side::Internal, Tenant::NOBODY);
    let repeated = fragments.admit(Time(9), &key(1), span(1480, 8, false));
    assert_eq!(repeated, Err(FragmentError::Overlap));
    assert_eq!(fragments.find(Time(LIFE.as_nanos() as u64), &key(1)), None);
    fragments.note(Time(10), key(1), span(0, 1480, false), id(), Side::External, Tenant::NOBODY);
    assert_eq!(fragments.find(Time(10), &key(1)), Some((id(), Side::External)));
    assert!(fragments.admit(Time(10), &key(1), span(1480, 8, false)).is_ok());
}

proptest! {
    /// Compares with one flag for each byte.
    #[test]
    fn fragment_pieces_agree_with_byte_flags(
        parts in proptest::collection::vec((0_u16..40, 1_u16..9, any::<bool>()), 0..30),
    ) {
        let mut fragments = Fragments::new(4, LIFE, Keys::replayable(0));
        fragments.note(Time(0), key(1), span(0, 16, false), id(), Side::Internal, Tenant::NOBODY);
        let (mut bytes, mut end) = ([false; 400], None);
        bytes[..16].fill(true);
        for (offset, length, last) in parts {
            let part = span(offset * 8, if last { length } else { length * 8 }, last);
            let range = usize::from(part.offset)..usize::from(part.offset + part.length);
            let pieces = 1 + bytes.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            let endpoint_independent = end.is_some_and(|end| bytes[..end].iter().all(|byte| *byte));
            let beyond = end.is_some_and(|end| range.end > end);
            let overlaps = bytes[range.clone()].iter().any(|byte| *byte);
            let ends_early = last && (end.is_some() || bytes[range.end..].iter().any(|byte| *byte));
            let invalidates = bytes[range.start - usize::from(range.start > 0)] || bytes[range.end];
            let expected = if endpoint_independent {
                Err(FragmentError::WithoutFirst)
            } else if beyond {
                Err(FragmentError::TooLong)
            } else if overlaps {
                Err(FragmentError::Overlap)
            } else if pieces == 8 && !invalidates {
                Err(FragmentError::Scattered)
            } else if ends_early {
                Err(FragmentError::TooLong)
            } else {
                Ok((id(), Side::Internal))
            };
            prop_assert_eq!(fragments.admit(Time(0), &key(1), part), expected);
            fragments.pass(Time(0), &key(1), part);
            if expected.is_ok() {
                bytes[range.clone()].fill(true);
                if last {
                    end = Some(range.end);
                }
            }
        }
    }
}

//! A soak of a few rounds. `cargo soak` runs more.

use vnetem_verify::harness::{Soak, Sums};

/// Runs every check of a soak, with the model in part. INV-same-input-same-bytes: the same seed
/// gives the same hash over every byte.
#[test]
fn soak_finds_nothing_and_repeats() {
    let run = |seed| {
        let mut soak = Soak::new(seed);
        for _ in 0..3 {
            if let Err(found) = soak.round() {
                panic!("{found}");
            }
        }
        soak.sums()
    };
    let sums = run(1);
    assert_eq!(run(1), sums);
    assert_ne!(run(2).hash, sums.hash);
    let Sums { rounds, packets, modelled, forwarded, translated, endpoint, swaps, .. } = sums;
    assert!(rounds == 3 && packets > 90_000 && modelled > 1_000, "{sums:?}");
    assert!(forwarded > 10_000 && translated > 5_000 && endpoint > 500 && swaps > 100, "{sums:?}");
    assert!(sums.closed > 100 && sums.originated > 500 && sums.opened > 1_000, "{sums:?}");
    assert_eq!((sums.toggles, sums.ends), (2, 4));
}

/// A soak that was saved and resumed equals one that was not.
#[test]
fn resumed_soak_equals_unbroken_soak() {
    let mut whole = Soak::new(5);
    whole.round().unwrap();
    let mut resumed: Soak = whole.to_string().parse().unwrap();
    assert_eq!(resumed, whole);
    whole.round().unwrap();
    resumed.round().unwrap();
    assert_eq!(resumed, whole);
    for wrong in ["", "seed 1", "seed 1\nrounds x", "seed 1\nnothing 5"] {
        assert!(wrong.parse::<Soak>().is_err(), "{wrong}");
    }
}

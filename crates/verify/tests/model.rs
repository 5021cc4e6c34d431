//! The data plane against the reference model, on generated sequences of edits, packets and clock
//! steps.
//!
//! `VNETEM_SEQUENCES` sets how many sequences each property takes (the default is for every day).

use proptest::prelude::*;
use vnetem_packet_text::strategies;
use vnetem_verify::fuzz;
use vnetem_verify::harness::{
    Coverage, Edit, Sequence, Step, Twist, a_batch_is_its_packets_in_order,
    betas_presence_changes_nothing, check, sequences, shards_are_one_data_plane,
    the_endpoint_changes_nothing_else, the_same_calls_give_the_same_bytes,
};

fn sequences_of(everyday: u32) -> ProptestConfig {
    let notified = vnetem_checks::number("VNETEM_SEQUENCES");
    ProptestConfig {
        cases: notified.unwrap_or(everyday),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(sequences_of(8_000))]

    /// Compares fates and bytes after each step, and checks the invariants of accounting, packets,
    /// rewriting, source NAT, the endpoint switch, closing and fragments (docs/invariants.md).
    /// Public ports follow N-01, N-10 to N-23 and T-01 to T-10. Unsolicited packets follow N-11,
    /// T-03 and T-16; openings, errors, hairpins, clamps and events T-19, T-22 to T-24, T-33 to
    /// T-37 and T-39.
    #[test]
    fn the_data_plane_does_what_the_model_says(sequence in sequences(64)) {
        if let Err(mismatch) = check(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }
}

proptest! {
    #![proptest_config(sequences_of(1_000))]

    /// INV-networks-isolated, INV-keys-name-network: with beta present or absent, alpha's outputs
    /// are the same, byte for byte.
    #[test]
    fn a_network_with_the_same_ranges_changes_nothing(sequence in sequences(64)) {
        if let Err(mismatch) = betas_presence_changes_nothing(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-toggle-changes-only-service, S-18, S-19: a toggle changes the subnet's TCP traffic to
    /// the service and nothing else.
    #[test]
    fn a_toggle_changes_only_the_traffic_of_its_pair(sequence in sequences(64)) {
        if let Err(mismatch) = the_endpoint_changes_nothing_else(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }
}

/// INV-networks-isolated: what closes beta's flow to a service of its region leaves by beta's edge,
/// and is no output of alpha's.
#[test]
fn betas_regional_resets_are_betas() {
    let open = |host, to, ports| {
        let twist = Twist { kind: 0, at: 0 };
        Step::Open { host, to, ports, flags: 0, twist }
    };
    // The path inside the region is switched off for storage.
    let edit = Edit { kind: 31, on: 0, to: 104, with: 125 };
    let change = Step::Change { edit, settle: true };
    let sequence = Sequence { setup: 72, steps: vec![open(0, 0, 0), open(2, 28, 48), change] };
    assert!(betas_presence_changes_nothing(&sequence).is_ok());
}

proptest! {
    #![proptest_config(sequences_of(200))]

    /// Several data planes of one network, one for each shard, behave as one.
    #[test]
    fn the_shards_of_a_network_do_what_the_model_says_of_one(sequence in sequences(64)) {
        if let Err(mismatch) = shards_are_one_data_plane(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }
}

proptest! {
    #![proptest_config(sequences_of(300))]

    /// T-38, INV-same-input-same-bytes: nothing but the calls decides.
    #[test]
    fn the_same_calls_give_the_same_bytes_again(sequence in sequences(64)) {
        if let Err(mismatch) = the_same_calls_give_the_same_bytes(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// `process_batch` is `process` in a loop, byte for byte, counters and events included.
    #[test]
    fn a_batch_does_what_its_packets_do_one_by_one(
        sequence in sequences(64),
        size in 1_usize..70,
    ) {
        if let Err(mismatch) = a_batch_is_its_packets_in_order(&sequence, size) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-any-bytes-safe: packets of every kind, sound and broken, from every edge, at any time.
    #[test]
    fn raw_packets_hold_every_invariant(
        setup in any::<u8>(),
        records in proptest::collection::vec((0_u8..255, raw_packet()), 1..32),
    ) {
        let mut bytes = vec![setup];
        for (edge, packet) in records {
            let length = u16::try_from(packet.len()).unwrap();
            bytes.push(edge);
            bytes.extend(length.to_be_bytes());
            bytes.extend(packet);
        }
        fuzz::pipeline_bytes(&bytes);
    }
}

fn raw_packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        strategies::packet().prop_map(|packet| packet.build().to_vec()),
        strategies::adversarial(),
    ]
}

/// A generator that misses what matters proves nothing: each kind of outcome must be a fair part of
/// all.
#[test]
fn sequences_reach_every_kind_of_outcome() {
    let mut state = 1_u64;
    let mut byte = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut sum = Coverage::default();
    let mut batches = Vec::new();
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..1 + 64 * 8).map(|_| byte()).collect();
        let sequence = Sequence::decode(&bytes);
        batches.push(a_batch_is_its_packets_in_order(&sequence, 64).unwrap());
        let one = check(&sequence).unwrap();
        sum += one;
    }
    let Coverage { forward, reverse, translated, endpoint, stopped, .. } = sum;
    let Coverage { inbound, turned, balanced, one_to_one, blocks, .. } = sum;
    let Coverage { too_long, policed, closed, originated, refused, .. } = sum;
    let Coverage { by_tag, by_default_rule, translations, picked_up, unfit, .. } = sum;
    let Coverage { private, circuit, stages, delayed, tunnelled, same_region, missed, .. } = sum;
    assert!(forward > 3_000 && reverse > 1_000 && stopped > 3_000, "{sum:?}");
    assert!(translated > 2_500 && endpoint > 50, "{sum:?}");
    assert!(same_region > 20 && missed > 20, "{sum:?}");
    assert!(inbound > 10 && turned > 10 && one_to_one > 20, "{sum:?}");
    let Coverage { elsewhere, spoofed, .. } = sum;
    assert!(elsewhere > 30 && spoofed > 100, "{sum:?}");
    assert!(balanced > 50 && blocks > 300, "{sum:?}");
    assert!(too_long > 50 && policed > 30, "{sum:?}");
    assert!(closed > 100 && originated > 300 && refused > 200, "{sum:?}");
    assert!(by_tag > 30 && by_default_rule > 300, "{sum:?}");
    assert!(translations > 1_000 && picked_up > 20 && unfit > 50, "{sum:?}");
    assert!(private > 30 && circuit > 30, "{sum:?}");
    assert!(stages > 40 && delayed > 100 && tunnelled > 50, "{sum:?}");
    batches.sort_unstable();
    assert!(batches[150] >= 8 && batches[299] >= 16, "the largest batch of each: {batches:?}");
}

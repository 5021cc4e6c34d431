//! Compares the data plane with the reference model, on generated sequences of edits, packets and
//! clock steps.
//!
//! `VNETEM_SEQUENCES` sets how many sequences each property takes. The default is for every day.

use proptest::prelude::*;
use vnetem_packet_text::strategies;
use vnetem_verify::fuzz;
use vnetem_verify::harness::{
    Coverage, Edit, Sequence, Step, Twist, a_batch_is_its_packets_in_order,
    betas_presence_changes_nothing, check, full_queues_keep_traces_true, sequences,
    shards_are_one_data_plane, small_queues_lose_only_answers, the_endpoint_changes_nothing_else,
    the_same_calls_give_the_same_bytes,
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

    /// Compares dispositions and bytes after each step, and checks the invariants of accounting,
    /// packets, rewriting, source NAT, the endpoint switch, closing and fragments
    /// (docs/invariants.md). Public ports follow N-01, N-10 to N-23 and T-01 to T-10. Unsolicited
    /// packets follow N-11, T-03 and T-16. Openings, errors, hairpins, clamps and events follow
    /// T-19, T-22 to T-24, T-33 to T-37 and T-39.
    #[test]
    fn data_plane_agrees_with_the_model(sequence in sequences(64)) {
        if let Err(mismatch) = check(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }
}

proptest! {
    #![proptest_config(sequences_of(1_000))]

    /// INV-networks-isolated, INV-keys-name-network: alpha's outputs are the same with and without
    /// beta, byte for byte.
    #[test]
    fn equal_ranges_elsewhere_change_nothing(sequence in sequences(64)) {
        if let Err(mismatch) = betas_presence_changes_nothing(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-toggle-changes-only-service, S-18, S-19: a toggle changes the subnet's TCP traffic to
    /// the service and nothing else.
    #[test]
    fn toggle_changes_only_its_pairs_traffic(sequence in sequences(64)) {
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
    let change = Step::Change { edit, drain: true };
    let sequence = Sequence { setup: 72, steps: vec![open(0, 0, 0), open(2, 28, 48), change] };
    assert!(betas_presence_changes_nothing(&sequence).is_ok());
}

proptest! {
    #![proptest_config(sequences_of(200))]

    /// Several data planes of one network, one for each shard, behave as one.
    #[test]
    fn shards_agree_with_one_plane(sequence in sequences(64)) {
        if let Err(mismatch) = shards_are_one_data_plane(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }
}

proptest! {
    #![proptest_config(sequences_of(300))]

    /// T-38, INV-same-input-same-bytes: only the calls decide.
    #[test]
    fn same_calls_give_same_bytes(sequence in sequences(64)) {
        if let Err(mismatch) = the_same_calls_give_the_same_bytes(&sequence) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// `process_batch` equals `process` in a loop, byte for byte, including counters and events.
    #[test]
    fn batch_equals_single_packets(
        sequence in sequences(64),
        size in 1_usize..70,
    ) {
        if let Err(mismatch) = a_batch_is_its_packets_in_order(&sequence, size) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-untaken-output-bounded, INV-packets-conserved: small queues lose answers and events and
    /// nothing else, and each loss is counted.
    #[test]
    fn small_queues_change_no_verdict(
        sequence in sequences(64),
        room in 0_usize..4,
        pause in 1_usize..20,
    ) {
        if let Err(mismatch) = small_queues_lose_only_answers(&sequence, room, pause) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-trace-equals-verdict: also where a change cannot close flows, because nobody takes the
    /// resets.
    #[test]
    fn traces_hold_with_full_queues(sequence in sequences(64), room in 0_usize..8) {
        if let Err(mismatch) = full_queues_keep_traces_true(&sequence, room) {
            prop_assert!(false, "{mismatch}");
        }
    }

    /// INV-any-bytes-safe: packets of every kind, valid and broken, from every edge, at any time.
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

/// Each kind of outcome must be a fair part of all, because a generator that misses one proves
/// nothing about it.
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
    let [mut answers, mut events, mut postponed] = [0; 3];
    for _ in 0..400 {
        let bytes: Vec<u8> = (0..1 + 64 * 8).map(|_| byte()).collect();
        let sequence = Sequence::decode(&bytes);
        let lost = small_queues_lose_only_answers(&sequence, 1, 16).unwrap();
        answers += lost.answers;
        events += lost.events;
        postponed += full_queues_keep_traces_true(&sequence, 4).unwrap().postponed;
        batches.push(a_batch_is_its_packets_in_order(&sequence, 64).unwrap());
        let one = check(&sequence).unwrap();
        sum += one;
    }
    assert!(answers > 20 && events > 300 && postponed > 20, "{answers} {events} {postponed}");
    let Coverage { forward, reverse, translated, endpoint, stopped, .. } = sum;
    let Coverage { inbound, hairpinned, balanced, one_to_one, blocks, .. } = sum;
    let Coverage { too_long, policed, closed, originated, refused, .. } = sum;
    let Coverage { by_tag, by_default_rule, translations, picked_up, unfit, .. } = sum;
    let Coverage { private, circuit, stages, delayed, tunnelled, same_region, missed, .. } = sum;
    assert!(forward > 3_000 && reverse > 1_000 && stopped > 3_000, "{sum:?}");
    assert!(translated > 2_500 && endpoint > 50, "{sum:?}");
    assert!(same_region > 20 && missed > 20, "{sum:?}");
    assert!(inbound > 10 && hairpinned > 10 && one_to_one > 20, "{sum:?}");
    let Coverage { elsewhere, spoofed, .. } = sum;
    assert!(elsewhere > 30 && spoofed > 100, "{sum:?}");
    assert!(balanced > 50 && blocks > 300, "{sum:?}");
    assert!(too_long > 50 && policed > 30, "{sum:?}");
    let Coverage { full_mappings, full_cells, full_waiting, full_fragments, overtaking, .. } = sum;
    assert!(full_mappings > 5 && full_cells > 10, "{sum:?}");
    assert!(full_waiting > 0 && full_fragments > 0 && overtaking > 0, "{sum:?}");
    assert!(closed > 100 && originated > 300 && refused > 200, "{sum:?}");
    assert!(by_tag > 30 && by_default_rule > 300, "{sum:?}");
    assert!(translations > 1_000 && picked_up > 20 && unfit > 50, "{sum:?}");
    assert!(private > 30 && circuit > 30, "{sum:?}");
    assert!(stages > 40 && delayed > 100 && tunnelled > 50, "{sum:?}");
    batches.sort_unstable();
    assert!(batches[200] >= 8 && batches[399] >= 16, "the largest batch of each: {batches:?}");
}

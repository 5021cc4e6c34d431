//! Counts what sequences exercise.

use core::ops::AddAssign;

/// What a sequence exercised. It shows a generator that misses something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Packets that were forwarded in the original direction.
    pub forward: u64,
    /// Packets that were forwarded in the reply direction.
    pub reverse: u64,
    /// Packets with a translated source.
    pub translated: u64,
    /// Packets over an endpoint.
    pub endpoint: u64,
    /// Packets from the public side on flows that it opened itself.
    pub inbound: u64,
    /// Packets of flows from outside whose replies take another path.
    pub elsewhere: u64,
    /// Packets from the public side under an address from the receiver's own ranges.
    pub spoofed: u64,
    /// Hairpin packets.
    pub hairpinned: u64,
    /// Packets behind the addresses of a load balancer.
    pub balanced: u64,
    /// Packets behind an interface's own public address.
    pub one_to_one: u64,
    /// Packets behind a port of a block.
    pub blocks: u64,
    /// Packets that were not forwarded.
    pub stopped: u64,
    /// Packets that were longer than the next link takes.
    pub too_long: u64,
    /// Packets that would have opened a flow if there were room for mapping state.
    pub full_mappings: u64,
    /// Packets that would have opened a flow if there were room for a revalidation key.
    pub full_cells: u64,
    /// Unsolicited SYNs that found no room to wait.
    pub full_waiting: u64,
    /// First fragments that were removed for newer ones.
    pub full_fragments: u64,
    /// SYNs that are answered before earlier ones.
    pub overtaking: u64,
    /// Packets that an endpoint policy refused.
    pub policed: u64,
    /// Flows that a change closed.
    pub closed: u64,
    /// Packets that the data plane made.
    pub originated: u64,
    /// Edits that were refused.
    pub refused: u64,
    /// Packets that a rule of a security group with a tag decided about.
    pub by_tag: u64,
    /// Packets that a default rule decided about.
    pub by_default_rule: u64,
    /// Events of translations.
    pub translations: u64,
    /// Connections that were picked up in the middle (loose pick-up).
    pub picked_up: u64,
    /// Segments that do not fit the state of their connection.
    pub unfit: u64,
    /// Packets to private endpoints.
    pub private: u64,
    /// Packets behind the addresses of a circuit.
    pub circuit: u64,
    /// Stages of changes that take time.
    pub stages: u64,
    /// Packets from subnets that such a change has not reached everywhere.
    pub delayed: u64,
    /// Packets that went through a service tunnel.
    pub tunnelled: u64,
    /// Packets by private sources to a service in the same region.
    pub same_region: u64,
    /// Packets that an endpoint of their subnet did not take, or took by the tie policy.
    pub missed: u64,
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        // Destructured, so that a new field cannot be forgotten.
        let Self {
            forward,
            reverse,
            translated,
            endpoint,
            inbound,
            elsewhere,
            spoofed,
            hairpinned,
            balanced,
            one_to_one,
            blocks,
            stopped,
            too_long,
            full_mappings,
            full_cells,
            full_waiting,
            full_fragments,
            overtaking,
            policed,
            closed,
            originated,
            refused,
            by_tag,
            by_default_rule,
            translations,
            picked_up,
            unfit,
            private,
            circuit,
            stages,
            delayed,
            tunnelled,
            same_region,
            missed,
        } = other;
        self.forward += forward;
        self.reverse += reverse;
        self.translated += translated;
        self.endpoint += endpoint;
        self.inbound += inbound;
        self.elsewhere += elsewhere;
        self.spoofed += spoofed;
        self.hairpinned += hairpinned;
        self.balanced += balanced;
        self.one_to_one += one_to_one;
        self.blocks += blocks;
        self.stopped += stopped;
        self.too_long += too_long;
        self.full_mappings += full_mappings;
        self.full_cells += full_cells;
        self.full_waiting += full_waiting;
        self.full_fragments += full_fragments;
        self.overtaking += overtaking;
        self.policed += policed;
        self.closed += closed;
        self.originated += originated;
        self.refused += refused;
        self.by_tag += by_tag;
        self.by_default_rule += by_default_rule;
        self.translations += translations;
        self.picked_up += picked_up;
        self.unfit += unfit;
        self.private += private;
        self.circuit += circuit;
        self.stages += stages;
        self.delayed += delayed;
        self.tunnelled += tunnelled;
        self.same_region += same_region;
        self.missed += missed;
    }
}

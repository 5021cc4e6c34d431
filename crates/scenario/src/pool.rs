//! The words for how a plain pool translates (`PoolRules`).

use vnetem::{
    control::Outbound,
    nat::{Blocks, Filtering, LoosePickup, Mapping, OnExhaustion, PoolRules, Rate, TimerProfile},
};

use super::edit::{ADDRESS, ADDRESSES, found, idle};
use super::error::Problem;
use super::words::Words;

/// Reads what follows `pool`.
pub(crate) fn pool(words: &mut Words<'_>) -> Result<Outbound, Problem> {
    let addresses = words.list(ADDRESSES)?;
    let (mut first_port, mut last_port) = (1024, 65535);
    let mut rules = PoolRules::AZURE;
    let mut begun = false;
    while let Some(word) = words.peek() {
        if words.accept("ports") {
            (first_port, last_port) = ports(words)?;
            continue;
        }
        if word == "like" && begun {
            return Err(words.wrong("\"like\" before all other rules, since it sets them all"));
        }
        begun = true;
        if words.accept("like") {
            rules = profile(words)?;
        } else {
            rule(words, &mut rules)?;
        }
    }
    Ok(Outbound::Pool { addresses, first_port, last_port, rules })
}

fn ports(words: &mut Words<'_>) -> Result<(u16, u16), Problem> {
    let expected = "ports such as 1024-1027";
    let read = |word: &str| {
        let (first, last) = word.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let ports = words.peek().and_then(read).ok_or_else(|| words.wrong(expected))?;
    words.take(expected)?;
    Ok(ports)
}

fn profile(words: &mut Words<'_>) -> Result<PoolRules, Problem> {
    one_of(
        words,
        &[("azure", PoolRules::AZURE), ("linux", PoolRules::LINUX), ("rfc", PoolRules::RFC)],
    )
}

/// Reads one more rule.
fn rule(words: &mut Words<'_>, rules: &mut PoolRules) -> Result<(), Problem> {
    const EXPECTED: &str = "a rule of the pool: like (before all others), mapping, filtering, keep-port, preserve-port, keep-parity, blocks, limit, refuse, mid-stream, other-protocols, segment, unsolicited, hairpin, timers or idle";
    if let Some(minutes) = idle(words)? {
        rules.timers = TimerProfile::Azure(minutes);
        return Ok(());
    }
    match words.take(EXPECTED)? {
        "mapping" => {
            let all = [("dependent", Mapping::Dependent), ("independent", Mapping::Independent)];
            rules.mapping = one_of(words, &all)?;
        }
        "filtering" => {
            let all = [
                ("address-and-port", Filtering::AddressAndPort),
                ("address", Filtering::Address),
                ("independent", Filtering::Independent),
            ];
            rules.filtering = one_of(words, &all)?;
        }
        "keep-port" => rules.keep_port = true,
        "preserve-port" => rules.preserve_port = true,
        "keep-parity" => rules.keep_parity = true,
        "other-protocols" => rules.other_protocols = true,
        "hairpin" => rules.hairpin = true,
        "blocks" => rules.blocks = blocks(words)?,
        "limit" => limit(words, rules)?,
        "refuse" => {
            let all = [
                ("silent", OnExhaustion::Silence),
                ("prohibited", OnExhaustion::Prohibited),
                ("host-unreachable", OnExhaustion::HostUnreachable),
            ];
            rules.on_exhaustion = one_of(words, &all)?;
        }
        "mid-stream" => {
            let all = [
                ("drop", LoosePickup::Drop),
                ("reset", LoosePickup::Reset),
                ("pick-up", LoosePickup::PickUp),
            ];
            rules.loose_pickup = one_of(words, &all)?;
        }
        "segment" => rules.segment_size = Some(words.parse("a number of bytes")?),
        "unsolicited" => rules.unsolicited_syn = Some(words.duration()?),
        "timers" => {
            let all = [
                ("default", TimerProfile::Table),
                ("linux", TimerProfile::Linux),
                ("rfc", TimerProfile::Rfc),
            ];
            rules.timers = one_of(words, &all)?;
        }
        other => return Err(found(other, EXPECTED)),
    }
    Ok(())
}

/// Reads `64 most 2`, or `64 from 10.0.0.4`.
fn blocks(words: &mut Words<'_>) -> Result<Blocks, Problem> {
    let size = words.parse("ports of a block")?;
    if words.accept("from") {
        return Ok(Blocks::Deterministic { first: words.parse(ADDRESS)?, size });
    }
    words.expect("most")?;
    Ok(Blocks::Dynamic { size, most: words.parse("a number of blocks")? })
}

/// Reads `flows 10`, `ports 4`, or `rate 5 every 1s`.
fn limit(words: &mut Words<'_>, rules: &mut PoolRules) -> Result<(), Problem> {
    const NUMBER: &str = "a number";
    match words.take("flows, ports or rate")? {
        "flows" => rules.limits.flows = words.parse(NUMBER)?,
        "ports" => rules.limits.ports = words.parse(NUMBER)?,
        "rate" => {
            let burst = words.parse(NUMBER)?;
            words.expect("every")?;
            rules.limits.rate = Some(Rate { burst, interval: words.duration()? });
        }
        other => return Err(found(other, "flows, ports or rate")),
    }
    Ok(())
}

fn one_of<T: Copy>(words: &mut Words<'_>, all: &[(&str, T)]) -> Result<T, Problem> {
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let expected = match names.split_last() {
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    };
    let word = words.take(&expected)?;
    let known = all.iter().find(|(name, _)| *name == word);
    known.map(|(_, value)| *value).ok_or_else(|| found(word, &expected))
}

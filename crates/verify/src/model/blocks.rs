//! Checks which ports the members of a load balancer have, and what an edit of the pool does to
//! them (N-10, N-19 to N-21, N-27, N-28).

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use vnetem::{NicId, control::LoadBalancer};

/// Eight ports of an address, named by the first.
type Eight = (Ipv4Addr, u16);

/// Checks the ports that the members of a load balancer have against those that they had.
///
/// # Errors
///
/// Describes what is wrong.
pub fn check(before: Option<&LoadBalancer>, after: &LoadBalancer) -> Result<(), String> {
    let usable: BTreeSet<Eight> =
        after.frontends.iter().flat_map(|at| usable(after, *at)).collect();
    let have = eights(after)?;
    let taken: Vec<Eight> = have.values().flatten().copied().collect();
    let distinct: BTreeSet<Eight> = taken.iter().copied().collect();
    if distinct.len() != taken.len() {
        return Err("two members have one port (N-19)".into());
    }
    if let Some((at, port)) = distinct.difference(&usable).next() {
        return Err(format!("{at}:{port} is nobody's to have (N-10, N-21)"));
    }
    let has_free = |at: Ipv4Addr| usable.difference(&distinct).any(|eight| eight.0 == at);
    let (all, count) = (quota(after), after.frontends.len());
    let had = before.map(eights).transpose()?.unwrap_or_default();
    for (member, own) in &have {
        let at = |address: Ipv4Addr| own.iter().filter(|eight| eight.0 == address).count();
        for &address in &after.frontends {
            let short = match after.rule.ports {
                0 => at(address) < all,
                // N-27: a new member has a part of every address that has ports left.
                _ => !had.contains_key(member) && at(address) < all / count,
            };
            if short && has_free(address) {
                return Err(format!("{member} has too few ports of {address} (N-19, N-27)"));
            }
            if after.rule.ports == 0 && at(address) > all {
                return Err(format!("{member} has too many ports of {address} (N-19)"));
            }
        }
        if after.rule.ports > 0 && own.len() != all {
            return Err(format!("{member} has {} eights, not {all} (N-20)", own.len()));
        }
        let left: BTreeSet<Eight> = had
            .get(member)
            .into_iter()
            .flatten()
            .copied()
            .filter(|it| usable.contains(it))
            .collect();
        check_kept(after, &left, own).map_err(|why| format!("{member} {why} (N-28)"))?;
        in_order(after, *member)?;
    }
    Ok(())
}

/// Checks that no member loses a port without need (N-28).
fn check_kept(
    after: &LoadBalancer,
    left: &BTreeSet<Eight>,
    own: &BTreeSet<Eight>,
) -> Result<(), String> {
    let all = quota(after);
    let parts: Vec<Option<Ipv4Addr>> = match after.rule.ports {
        0 => after.frontends.iter().copied().map(Some).collect(),
        _ => vec![None],
    };
    for part in parts {
        let of = |set: &BTreeSet<Eight>| -> BTreeSet<Eight> {
            set.iter().copied().filter(|eight| part.is_none_or(|at| at == eight.0)).collect()
        };
        let (left, own) = (of(left), of(own));
        if left.len() <= all && !left.is_subset(&own) {
            return Err("has lost a port that it might have kept".into());
        }
        if left.len() > all && !own.is_subset(&left) {
            return Err("has other ports than those that it had".into());
        }
    }
    Ok(())
}

/// Checks that the ports of the first address come first (N-27).
fn in_order(balancer: &LoadBalancer, member: NicId) -> Result<(), String> {
    let blocks = balancer.members.get(&member).into_iter().flatten();
    let place = |at: Ipv4Addr| balancer.frontends.iter().position(|frontend| *frontend == at);
    let order: Vec<_> = blocks.map(|block| (place(block.address), block.first)).collect();
    if order.is_sorted() { Ok(()) } else { Err(format!("{member} has {order:?} (N-27)")) }
}

/// Returns the blocks of eight that each member may have: of every address by the table, of all
/// together by the rule.
fn quota(balancer: &LoadBalancer) -> usize {
    let ports = match (balancer.rule.ports, balancer.members.len()) {
        (0, 0..=50) => 1024,
        (0, 51..=100) => 512,
        (0, 101..=200) => 256,
        (0, 201..=400) => 128,
        (0, 401..=800) => 64,
        (0, _) => 32,
        (ports, _) => ports,
    };
    usize::from(ports) / 8
}

/// Returns the blocks of eight that are usable: of 64,000 ports from 1024 on, those in which
/// nothing listens.
fn usable(balancer: &LoadBalancer, at: Ipv4Addr) -> impl Iterator<Item = Eight> {
    let listens = move |first: u16| {
        balancer.inbound.iter().any(|(of, port)| *of == at && (first..first + 8).contains(port))
    };
    (1024..65_024).step_by(8).filter(move |first| !listens(*first)).map(move |first| (at, first))
}

fn eights(balancer: &LoadBalancer) -> Result<BTreeMap<NicId, BTreeSet<Eight>>, String> {
    let mut all = BTreeMap::new();
    for (member, blocks) in &balancer.members {
        let mut own = BTreeSet::new();
        for block in blocks {
            if block.first % 8 != 0 || block.last % 8 != 7 {
                return Err(format!("{block:?} is not made of eights (N-20)"));
            }
            own.extend((block.first..=block.last).step_by(8).map(|first| (block.address, first)));
        }
        all.insert(*member, own);
    }
    Ok(all)
}

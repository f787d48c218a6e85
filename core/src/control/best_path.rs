//! Which path of a route is the best, and why.
//!
//! The order is that of the field's control nodes as far as it applies between clients, with the sticky MACs of
//! RFC 7432, section 15.2: sticky wins. Paths that are equal up to the MED are equally good: all are reflected.

use std::cmp::Ordering;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::client_name::ClientName;
use crate::evpn::{Encapsulations, NextHop, PREFERENCE, Path};

/// The source of a path. Of equally good ones, the first kind is preferred.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The inventory.
    Static,
    /// A client.
    Client(ClientName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static => f.write_str("inventory"),
            Self::Client(name) => name.fmt(f),
        }
    }
}

/// The rules that decide between two paths, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rule {
    Feasible,
    LocalPreference,
    EtreeRoot,
    Sticky,
    Sequence,
    /// The last that matters for being equally good.
    Med,
    NextHop,
    Source,
}

/// The better path is less.
pub(super) fn order(one: (&Source, &Path), other: (&Source, &Path)) -> Ordering {
    decide(one, other).map_or(Ordering::Equal, |(_, order)| order)
}

/// The order of a planted bug: the lower sequence is the better.
pub(super) fn order_by_age(one: (&Source, &Path), other: (&Source, &Path)) -> Ordering {
    match decide(one, other) {
        Some((Rule::Sequence, order)) => order.reverse(),
        Some((_, order)) => order,
        None => Ordering::Equal,
    }
}

/// Whether both are to be reflected, if one is.
pub(super) fn equally_good(one: (&Source, &Path), other: (&Source, &Path)) -> bool {
    decide(one, other).is_none_or(|(rule, _)| rule > Rule::Med)
}

/// Whether there is a way to send a packet there: some encapsulation that we know, or none named at all.
pub(super) fn is_feasible(path: &Path) -> bool {
    let unknown = Encapsulations {
        unknown: true,
        ..Encapsulations::default()
    };
    path.next_hops.iter().all(|hop| hop.encapsulations != unknown)
}

/// The local preference that counts.
pub(super) fn local_preference(path: &Path) -> u32 {
    match path.local_preference {
        0 => PREFERENCE,
        given => given,
    }
}

/// The MED that counts: where none is given, the higher the local preference the lower.
pub(super) fn med(path: &Path) -> u32 {
    match (path.med, local_preference(path)) {
        (0, 100) => 200,
        (0, 200) => 100,
        (0, preference) => u32::MAX - preference,
        (given, _) => given,
    }
}

/// A next hop that names no encapsulation takes GRE.
pub(super) fn name_encapsulation(hop: &mut NextHop) {
    let encapsulations = &mut hop.encapsulations;
    encapsulations.gre |= !encapsulations.udp && !encapsulations.vxlan && !encapsulations.unknown;
}

/// Why a path is not the best, in a few words.
pub(super) fn why_not(loser: (&Source, &Path), best: (&Source, &Path)) -> String {
    let (path, winner) = (loser.1, best.1);
    let Some((rule, _)) = decide(loser, best) else {
        return "the same".into();
    };
    match rule {
        Rule::Feasible => "no known encapsulation".into(),
        Rule::LocalPreference => format!(
            "local preference {} < {}",
            local_preference(path),
            local_preference(winner)
        ),
        Rule::EtreeRoot => "a leaf of an E-Tree, against a root".into(),
        Rule::Sticky => "not sticky".into(),
        Rule::Sequence => format!("sequence {} < {}", path.sequence, winner.sequence),
        Rule::Med => format!("MED {} > {}", med(path), med(winner)),
        Rule::NextHop => format!(
            "as good, sent as well: next hop {} > {}",
            next_hop(path),
            next_hop(winner)
        ),
        Rule::Source => format!("as good, sent as well: {} > {}", loser.0, best.0),
    }
}

fn decide(one: (&Source, &Path), other: (&Source, &Path)) -> Option<(Rule, Ordering)> {
    let ((source, path), (other_source, other)) = (one, other);
    let rules = [
        (Rule::Feasible, is_feasible(other).cmp(&is_feasible(path))),
        (
            Rule::LocalPreference,
            local_preference(other).cmp(&local_preference(path)),
        ),
        (Rule::EtreeRoot, path.etree_leaf.cmp(&other.etree_leaf)),
        (Rule::Sticky, other.sticky.cmp(&path.sticky)),
        (Rule::Sequence, other.sequence.cmp(&path.sequence)),
        (Rule::Med, med(path).cmp(&med(other))),
        (Rule::NextHop, next_hop(path).cmp(&next_hop(other))),
        (Rule::Source, source.cmp(other_source)),
    ];
    rules.into_iter().find(|(_, order)| order.is_ne())
}

fn next_hop(path: &Path) -> Ipv4Addr {
    path.next_hops.first().map_or(Ipv4Addr::UNSPECIFIED, |hop| hop.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Vni;

    fn path(change: impl FnOnce(&mut Path)) -> Path {
        let mut path = Path {
            next_hops: vec![NextHop::vxlan(
                Ipv4Addr::new(192, 0, 2, 5),
                Vni::new(101).expect("a VNI"),
            )],
            ..Path::default()
        };
        change(&mut path);
        path
    }

    fn unknown(path: &mut Path) {
        path.next_hops[0].encapsulations = Encapsulations {
            unknown: true,
            ..Encapsulations::default()
        };
    }

    #[test]
    fn each_rule_decides_where_those_before_it_are_silent_and_outweighs_all_behind() {
        let a = Source::Client("a".into());
        let z = Source::Client("z".into());
        let base = path(|_| {});
        let mut reasons = Vec::new();
        // Each wins by its rule, and would lose by every rule behind it.
        let ladder = [
            (path(|it| it.local_preference = 1), path(unknown)),
            (
                path(|it| (it.local_preference, it.etree_leaf) = (200, true)),
                path(|it| it.sticky = true),
            ),
            (path(|_| {}), path(|it| (it.etree_leaf, it.sticky) = (true, true))),
            (path(|it| it.sticky = true), path(|it| it.sequence = 9)),
            (path(|it| (it.sequence, it.med) = (2, 500)), path(|it| it.sequence = 1)),
            (
                path(|it| it.med = 100),
                path(|it| it.next_hops[0].address = Ipv4Addr::LOCALHOST),
            ),
            (path(|it| it.next_hops[0].address = Ipv4Addr::LOCALHOST), base.clone()),
        ];
        for (winner, loser) in &ladder {
            assert_eq!(order((&z, winner), (&a, loser)), Ordering::Less);
            assert_eq!(order((&a, loser), (&z, winner)), Ordering::Greater);
            let equal = equally_good((&z, winner), (&a, loser));
            reasons.push(format!(
                "{}{}",
                why_not((&a, loser), (&z, winner)),
                if equal { " *" } else { "" }
            ));
        }
        reasons.push(why_not((&z, &base), (&a, &base)));
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn a_preference_that_is_not_given_is_the_usual_one() {
        let given = path(|it| it.local_preference = PREFERENCE);
        assert_eq!(
            order((&Source::Static, &given), (&Source::Static, &path(|_| {}))),
            Ordering::Equal
        );
        assert_eq!(
            [0, 100, 200, 1].map(|it| med(&path(|path| path.local_preference = it))),
            [200, 200, 100, u32::MAX - 1]
        );
    }
}

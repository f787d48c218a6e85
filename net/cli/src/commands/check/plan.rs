//! What an inventory would change, compared with the one in force at a running control node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;
use tandem_core::brake::Brake;
use tandem_core::configuration::{VlanId, fingerprint};
use tandem_core::control::{ControlStatus, Inventory, NetworkStatus, ServedSwitch, SwitchStatus};
use tandem_core::ids::{PortName, SwitchName, Uuid};

use crate::commands::count;
use crate::commands::status::natural;

/// The changes, and what is to be known about the revisions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Plan {
    /// The revision in force.
    in_force: u64,
    /// The revision of the file.
    revision: u64,
    /// The switches that differ, by name.
    switches: BTreeMap<SwitchName, Change>,
}

/// What happens to one switch.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
struct Change {
    /// It is in the file, and not in force.
    added: bool,
    /// It is in force, and not in the file: no agent configures it any more.
    removed: bool,
    ports_bound: usize,
    ports_rebound: usize,
    ports_unbound: usize,
    macs_added: usize,
    macs_deleted: usize,
    /// The MACs of its networks before.
    macs: usize,
    /// Something differs that is no port: the tunnel end, the certificate, a VNI, the agents.
    settings: bool,
    /// What an agent with the default `[brake]` withholds until `tandem confirm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<Withheld>,
}

/// Deletions that are too many at once, and the rows among which they are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
struct Withheld {
    deletions: usize,
    of: usize,
}

/// The rows of a switch, or of one of its networks.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    unbound: usize,
    bound: usize,
    /// Logical switches and MACs that go.
    others: usize,
    of: usize,
}

type Bindings<'a> = BTreeMap<(&'a PortName, VlanId), Uuid>;
type Ports = BTreeMap<PortName, BTreeMap<VlanId, Uuid>>;

impl Plan {
    /// The changes from what a control node has in force to an inventory.
    pub(super) fn new(inventory: &Inventory, running: &ControlStatus) -> Self {
        let names: BTreeSet<&SwitchName> = inventory.switches.keys().chain(running.switches.keys()).collect();
        let change = |name: &SwitchName| {
            let (new, old) = (inventory.switches.get(name), running.switches.get(name));
            Some((name.clone(), change(inventory, running, new, old)?))
        };
        Self {
            in_force: running.revision,
            revision: inventory.revision,
            switches: names.into_iter().filter_map(change).collect(),
        }
    }
}

fn change(
    inventory: &Inventory,
    running: &ControlStatus,
    new: Option<&ServedSwitch>,
    old: Option<&SwitchStatus>,
) -> Option<Change> {
    let (Some(new), Some(old)) = (new, old) else {
        return Some(Change {
            added: old.is_none(),
            removed: new.is_none(),
            ..Change::default()
        });
    };
    let [after, before] = [&new.switch.ports, &old.ports].map(bindings);
    let networks = |bindings: &BTreeMap<_, Uuid>| bindings.values().copied().collect::<BTreeSet<Uuid>>();
    let [now, then] = [&after, &before].map(networks);
    let macs = |networks: &mut dyn Iterator<Item = &Uuid>| networks.map(|uuid| macs(running, *uuid, old.vtep)).sum();
    let rebound = |(at, uuid): &(&(&PortName, VlanId), &Uuid)| before.get(at).is_some_and(|it| it != *uuid);
    let is_same_ports = after == before;
    let same = fingerprint(&new.switch, &inventory.networks) == old.fingerprint;
    let change = Change {
        ports_bound: after.keys().filter(|at| !before.contains_key(at)).count(),
        ports_rebound: after.iter().filter(rebound).count(),
        ports_unbound: before.keys().filter(|at| !after.contains_key(at)).count(),
        macs_added: macs(&mut now.difference(&then)),
        macs_deleted: macs(&mut then.difference(&now)),
        macs: macs(&mut then.iter()),
        withheld: withheld([&after, &before], |network| macs(&mut [network].iter())),
        settings: (is_same_ports && !same)
            || new.switch.vtep != old.vtep
            || (&new.agents, &new.tsns) != (&old.agents, &old.tsns),
        ..Change::default()
    };
    let macs = change.macs;
    (change
        != Change {
            macs,
            ..Change::default()
        })
    .then_some(change)
}

/// Counts as an agent does: bindings, logical switches, and remote MACs in logical switches that go; a port that moves counts
/// once.
fn withheld([after, before]: [&Bindings<'_>; 2], macs: impl Fn(Uuid) -> usize) -> Option<Withheld> {
    let mut networks: BTreeMap<Uuid, Rows> = BTreeMap::new();
    for (at, network) in before {
        let rows = networks.entry(*network).or_default();
        rows.of += 1;
        rows.unbound += usize::from(!after.contains_key(at));
    }
    let still: BTreeSet<Uuid> = after.values().copied().collect();
    for (network, rows) in &mut networks {
        let macs = macs(*network);
        rows.of += 1 + macs;
        if !still.contains(network) {
            rows.others = 1 + macs;
        }
    }
    for (_, network) in after.iter().filter(|(at, _)| !before.contains_key(*at)) {
        networks.entry(*network).or_default().bound += 1;
    }
    let whole = networks.values().fold(Rows::default(), |sum, it| Rows {
        unbound: sum.unbound + it.unbound,
        bound: sum.bound + it.bound,
        others: sum.others + it.others,
        of: sum.of + it.of,
    });
    let parts = networks.values().filter_map(|rows| rows.withheld());
    let parts = parts.reduce(|sum, it| Withheld {
        deletions: sum.deletions + it.deletions,
        of: sum.of + it.of,
    });
    whole.withheld().or(parts)
}

impl Rows {
    fn withheld(self) -> Option<Withheld> {
        let (deletions, of) = (self.others + self.unbound.saturating_sub(self.bound), self.of);
        Brake::DEFAULT
            .withholds(deletions, of)
            .then_some(Withheld { deletions, of })
    }
}

fn bindings(ports: &Ports) -> Bindings<'_> {
    let bindings = ports
        .iter()
        .flat_map(|(port, vlans)| vlans.iter().map(move |(vlan, uuid)| ((port, *vlan), *uuid)));
    bindings.collect()
}

/// The MACs of a network that a switch holds as remote ones. Of a network with many routes the status lists the first ones
/// only, and those that are learned by the switch itself count as well.
fn macs(running: &ControlStatus, network: Uuid, vtep: Option<Ipv4Addr>) -> usize {
    let networks = running.networks.values().filter(|it| it.network == Some(network));
    networks.map(|network| network.routes_total - own(network, vtep)).sum()
}

fn own(network: &NetworkStatus, vtep: Option<Ipv4Addr>) -> usize {
    let best = network.routes.iter().filter_map(|route| route.paths.first());
    best.filter(|path| vtep.is_some_and(|vtep| path.next_hops.contains(&vtep)))
        .count()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            in_force,
            revision,
            switches,
        } = self;
        if switches.is_empty() {
            writeln!(f, "nothing changes on any switch; revision {in_force} is in force")?;
        }
        let mut in_order: Vec<_> = switches.iter().collect();
        in_order.sort_by_key(|(name, _)| natural(name.as_str()));
        for (name, change) in in_order {
            writeln!(f, "{}: {change}", name.as_str().escape_debug())?;
        }
        let held = switches.values().filter(|change| change.withheld.is_some()).count();
        if held > 0 {
            let Brake { percent, rows } = Brake::DEFAULT;
            writeln!(
                f,
                "the brake withholds deletions at {} until `tandem confirm`, where `[brake]` of the agent has its defaults \
                 ({percent} %, {rows} rows)",
                count(held, "switch", "switches")
            )?;
        }
        if revision < in_force || (revision == in_force && !switches.is_empty()) {
            writeln!(
                f,
                "revision {revision} is not higher than {in_force}, which is in force: agents would ignore it, or report a \
                 contradiction; `tandem inventory raise --above {in_force}` raises it"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.added {
            return f.write_str("added");
        }
        if self.removed {
            return f.write_str("removed: no agent configures it any more");
        }
        let parts = [
            (self.ports_bound, "port bound", "ports bound"),
            (self.ports_rebound, "port rebound", "ports rebound"),
            (self.ports_unbound, "port unbound", "ports unbound"),
            (self.macs_added, "MAC added", "MACs added"),
            (self.macs_deleted, "MAC deleted", "MACs deleted"),
        ];
        let parts = parts.into_iter().filter(|(number, ..)| *number > 0);
        let mut parts: Vec<String> = parts
            .map(|(number, one, several)| count(number, one, several))
            .collect();
        if self.macs_deleted > 0 {
            let last = parts.pop().unwrap_or_default();
            parts.push(format!("{last} of {}", self.macs));
        }
        parts.extend(self.settings.then(|| "other settings changed".to_owned()));
        f.write_str(&parts.join(", "))?;
        match self.withheld {
            Some(Withheld { deletions, of }) => write!(f, "; WITHHELD: {deletions} of {of} rows"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_core::configuration::{Network, Switch};
    use tandem_core::ids::Vni;

    use super::*;
    use crate::commands::status::samples::control::busy;

    /// The inventory that the sample of a control node has in force.
    fn inventory() -> (Inventory, ControlStatus) {
        let mut running = busy();
        let network = |number: u32, name: &str| Network {
            name: name.into(),
            vni: Vni::new(number).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let networks = BTreeMap::from([(Uuid(1), network(1, "blue")), (Uuid(2), network(2, "d:p:red"))]);
        let mut switches = BTreeMap::new();
        for (name, status) in &mut running.switches {
            let switch = Switch {
                vtep: status.vtep,
                ports: status.ports.clone(),
                ..Switch::default()
            };
            status.fingerprint = fingerprint(&switch, &networks);
            let served = ServedSwitch {
                switch,
                agents: status.agents.clone(),
                tsns: status.tsns.clone(),
            };
            switches.insert(name.clone(), served);
        }
        let inventory = Inventory {
            revision: 8,
            networks,
            switches,
            ..Inventory::default()
        };
        (inventory, running)
    }

    #[test]
    fn an_inventory_that_is_in_force_changes_nothing() {
        let (inventory, running) = inventory();
        let plan = Plan::new(&inventory, &running).to_string();
        assert_eq!(plan, "nothing changes on any switch; revision 7 is in force\n");
    }

    #[test]
    fn each_switch_that_differs_has_a_line_with_its_ports_and_macs() {
        let (mut inventory, running) = inventory();
        let ports = |inventory: &mut Inventory, switch: &str, vlan, uuid| {
            let served = inventory.switches.get_mut(&switch.into()).expect("a switch");
            served.switch.ports.values_mut().for_each(|vlans| {
                vlans.insert(vlan, uuid);
            });
        };
        ports(&mut inventory, "tor1", 10, Uuid(2));
        ports(&mut inventory, "tor2", 30, Uuid(2));
        inventory.switches.remove(&"tor3".into());
        inventory.switches.insert("tor5".into(), ServedSwitch::default());
        inventory
            .switches
            .get_mut(&"tor4".into())
            .expect("a switch")
            .switch
            .vtep = Some([10, 9, 9, 9].into());
        inventory.revision = 7;
        insta::assert_snapshot!(Plan::new(&inventory, &running).to_string());
    }

    /// Bindings of these ports to these networks.
    fn bound<'a>(name: &'a PortName, bindings: &[(u16, u128)]) -> Bindings<'a> {
        bindings
            .iter()
            .map(|(at, network)| ((name, *at), Uuid(*network)))
            .collect()
    }

    #[test]
    fn deletions_that_the_brake_withholds_are_counted_as_an_agent_counts_them() {
        let port = PortName::from("eth1");
        let before = bound(&port, &[(1, 1), (2, 1), (3, 2)]);
        let held = |after: &[(u16, u128)], macs| withheld([&bound(&port, after), &before], |_| macs);
        assert_eq!(held(&[(1, 1), (2, 1), (3, 2)], 100), None, "nothing goes");
        assert_eq!(
            held(&[(1, 1), (2, 1)], 100),
            Some(Withheld {
                deletions: 102,
                of: 205
            }),
            "a port, a logical switch and its MACs"
        );
        assert_eq!(held(&[(1, 1), (2, 1)], 18), None, "20 rows may go");
        assert_eq!(held(&[(1, 1), (2, 1), (4, 2)], 100), None, "a port that moves");
        let small = |network: Uuid| if network == Uuid(2) { 30 } else { 1000 };
        let after = bound(&port, &[(1, 1), (2, 1)]);
        assert_eq!(
            withheld([&after, &before], small),
            Some(Withheld { deletions: 32, of: 32 }),
            "one network of a large switch"
        );
    }
}

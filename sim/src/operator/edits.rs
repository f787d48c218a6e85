//! What people do to a database by edits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use rand::RngExt;
use rand::seq::{IteratorRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tandem_core::configuration::{Configuration, Network, Switch as Wanted};
use tandem_core::{Mac, Uuid};

use super::draft::{Draft, reference};
use super::{foreign, view};
use crate::plan::Edit;
use crate::switch::{Row, Switch};

/// A tunnel end that no configuration contains.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// One edit, of the objects of this switch that fit, at random; `None` if there are none.
///
/// *Ours* are the logical switches of the networks that the configuration wants on this switch.
pub fn edit(
    what: Edit,
    switch: &Switch,
    configuration: &Configuration,
    switch_name: &str,
    random: &mut ChaCha8Rng,
) -> Option<Value> {
    let wanted = configuration.switches.get(&switch_name.into())?;
    let mut edits = Edits {
        switch,
        wanted,
        ours: ours(switch, configuration, wanted),
        random,
        draft: Draft::on(switch),
    };
    match what {
        Edit::DeleteBroadcast => edits.delete_broadcast()?,
        Edit::MisdirectBroadcast => edits.misdirect_broadcast()?,
        Edit::DuplicateBroadcast => edits.duplicate_broadcast()?,
        Edit::WidenBroadcast => edits.widen_broadcast()?,
        Edit::DeleteRemote => edits.delete_remote()?,
        Edit::DuplicateRemote => edits.duplicate_remote()?,
        Edit::MisdirectRemote => edits.misdirect_remote()?,
        Edit::StrayRemote => edits.stray_remote()?,
        Edit::ClearBindings => edits.clear_bindings()?,
        Edit::MisbindPort => edits.misbind_port()?,
        Edit::WrongVni => edits.wrong_vni()?,
        Edit::DeleteLogicalSwitch => edits.delete_logical_switch()?,
        Edit::AddForeign => return foreign::add(switch),
        Edit::MoveTunnelEnd => edits.move_tunnel_end()?,
    }
    edits.draft.finish()
}

/// Deletes the rows of a remote MAC in logical switches of ours.
pub fn undo(switch: &Switch, mac: Mac) -> Option<Value> {
    let networks = switch.rows("Logical_Switch");
    let ours = networks.filter(|(_, row)| !view::is_foreign(row)).map(|(row, _)| row);
    let mut draft = Draft::on(switch);
    for network in ours.collect::<Vec<_>>() {
        let rows = view::rows_of(switch, "Ucast_Macs_Remote", network);
        for (row, _) in rows.filter(|(_, row)| view::mac(row) == Some(mac)) {
            draft.delete("Ucast_Macs_Remote", row);
        }
    }
    draft.finish()
}

/// An operator at the switch.
struct Edits<'a> {
    switch: &'a Switch,
    wanted: &'a Wanted,
    /// Our logical switches, by their row.
    ours: BTreeMap<Uuid, &'a Network>,
    random: &'a mut ChaCha8Rng,
    draft: Draft,
}

impl<'a> Edits<'a> {
    /// To the configured tunnel end: `tunnel_ips`, and all that the switch has learned.
    fn move_tunnel_end(&mut self) -> Option<()> {
        let (old, new) = (view::own_tunnel_end(self.switch)?, self.wanted.vtep?);
        let mut locators = view::locators(self.switch);
        let old_row = locators.find(|(_, end)| *end == old).map(|(row, _)| row);
        let is_old = |locator| Some(locator) == old_row;
        let (physical, _) = self.switch.rows("Physical_Switch").next().filter(|_| old != new)?;
        let locator = self.draft.locator(new);
        self.draft
            .update("Physical_Switch", physical, "tunnel_ips", &json!(new));
        for (row, it) in self.switch.rows("Ucast_Macs_Local") {
            if it.reference("locator").is_some_and(is_old) {
                self.draft.update("Ucast_Macs_Local", row, "locator", &locator);
            }
        }
        for (row, it) in self.switch.rows("Mcast_Macs_Local") {
            let set = it
                .reference("locator_set")
                .and_then(|set| self.switch.row("Physical_Locator_Set", set));
            if set.is_some_and(|set| set.references("locators").any(is_old)) {
                let set = self.draft.locator_set(new);
                self.draft.update("Mcast_Macs_Local", row, "locator_set", &set);
            }
        }
        Some(())
    }

    fn delete_broadcast(&mut self) -> Option<()> {
        let (row, _) = self.broadcast()?;
        let network = row.reference("logical_switch")?;
        for (row, _) in view::rows_of(self.switch, "Mcast_Macs_Remote", network) {
            self.draft.delete("Mcast_Macs_Remote", row);
        }
        Some(())
    }

    fn misdirect_broadcast(&mut self) -> Option<()> {
        let (_, uuid) = self.broadcast()?;
        let set = self.draft.locator_set(STRANGER);
        self.draft.update("Mcast_Macs_Remote", uuid, "locator_set", &set);
        Some(())
    }

    /// The second row goes where the first does, or to a stranger.
    fn duplicate_broadcast(&mut self) -> Option<()> {
        let (row, _) = self.broadcast()?;
        let network = reference(row.reference("logical_switch")?);
        let same = self.first_tunnel_end(row);
        let tunnel_end = self.same_or_stranger(same);
        let mac = Mac::BROADCAST.to_string();
        self.draft.multicast("Mcast_Macs_Remote", &network, &mac, tunnel_end);
        Some(())
    }

    /// A server sorts a set, so that either end may be the first.
    fn widen_broadcast(&mut self) -> Option<()> {
        let (row, uuid) = self.broadcast()?;
        let first = self.first_tunnel_end(row).filter(|end| *end != STRANGER)?;
        let ends = [first, STRANGER];
        let locators = ends.map(|end| self.draft.locator(end));
        let set = json!({"locators": ["set", locators]});
        let set = self.draft.insert("Physical_Locator_Set", set);
        self.draft.update("Mcast_Macs_Remote", uuid, "locator_set", &set);
        Some(())
    }

    /// Up to three rows.
    fn delete_remote(&mut self) -> Option<()> {
        let rows = wanted_remote(self.switch, &self.ours).map(|(uuid, _)| uuid);
        let mut rows: Vec<_> = rows.collect();
        rows.shuffle(self.random);
        for row in rows.into_iter().take(self.random.random_range(1..=3)) {
            self.draft.delete("Ucast_Macs_Remote", row);
        }
        Some(())
    }

    /// The second row goes where the first does, or to a stranger.
    fn duplicate_remote(&mut self) -> Option<()> {
        let (_, row) = wanted_remote(self.switch, &self.ours).choose(self.random)?;
        let same = row.reference("locator").and_then(|locator| self.tunnel_end(locator));
        let tunnel_end = self.same_or_stranger(same);
        let network = reference(row.reference("logical_switch")?);
        self.draft
            .unicast("Ucast_Macs_Remote", &network, row.text("MAC")?, tunnel_end, "");
        Some(())
    }

    fn misdirect_remote(&mut self) -> Option<()> {
        let (uuid, _) = wanted_remote(self.switch, &self.ours).choose(self.random)?;
        let locator = self.draft.locator(STRANGER);
        self.draft.update("Ucast_Macs_Remote", uuid, "locator", &locator);
        Some(())
    }

    fn stray_remote(&mut self) -> Option<()> {
        let network = self.network()?;
        let mac = Mac([0x02, 0, 0x0e, 0, 0, self.random.random()]).to_string();
        self.draft
            .unicast("Ucast_Macs_Remote", &reference(network), &mac, STRANGER, "");
        Some(())
    }

    /// Bindings to a foreign logical switch stay, so that only an agent can have removed them.
    fn clear_bindings(&mut self) -> Option<()> {
        let logical_switches = self.switch.rows("Logical_Switch");
        let foreign: BTreeSet<_> = logical_switches
            .filter(|(_, row)| view::is_foreign(row))
            .map(|(uuid, _)| uuid)
            .collect();
        let mut ports = BTreeMap::<&str, Vec<i64>>::new();
        for (port, vlan, network) in view::bindings(self.switch) {
            if self.wanted.ports.contains_key(&port.into()) && !foreign.contains(&network) {
                ports.entry(port).or_default().push(vlan);
            }
        }
        let (port, vlans) = ports.into_iter().choose(self.random)?;
        self.draft.unbind(port, &vlans);
        Some(())
    }

    /// To a logical switch that has a port of its own: it would lose what it has learned with its last binding.
    fn misbind_port(&mut self) -> Option<()> {
        let claimed = self.claimed();
        let (wrong, right): (Vec<_>, Vec<_>) =
            view::bindings(self.switch).partition(|(port, vlan, _)| !claimed.contains(&(*port, *vlan)));
        let logical_switches = self.switch.rows("Logical_Switch");
        let (foreign, _) = logical_switches
            .filter(|(uuid, row)| view::is_foreign(row) && wrong.iter().any(|(_, _, bound)| bound == uuid))
            .choose(self.random)?;
        let right = right.into_iter().filter(|(_, _, bound)| self.ours.contains_key(bound));
        let (port, vlan, _) = right.choose(self.random)?;
        self.draft.bind(port, vlan, &reference(foreign));
        Some(())
    }

    /// The VNI of another network of ours, or an unused one.
    fn wrong_vni(&mut self) -> Option<()> {
        let network = self.network()?;
        let others = self.ours.iter().filter(|(uuid, _)| **uuid != network);
        let other = others.map(|(_, other)| other.vni.value()).choose(self.random);
        let vni = match other.filter(|_| self.random.random_bool(0.5)) {
            Some(other) => other,
            None => 9_000_000 + self.random.random_range(0..1000),
        };
        self.draft.update("Logical_Switch", network, "tunnel_key", &vni.into());
        Some(())
    }

    fn delete_logical_switch(&mut self) -> Option<()> {
        let network = self.network()?;
        for table in foreign::TABLES {
            for (row, _) in view::rows_of(self.switch, table, network) {
                self.draft.delete(table, row);
            }
        }
        for (port, vlan, _) in view::bindings(self.switch).filter(|(_, _, bound)| *bound == network) {
            self.draft.unbind(port, &[vlan]);
        }
        self.draft.delete("Logical_Switch", network);
        Some(())
    }

    /// One of our logical switches.
    fn network(&mut self) -> Option<Uuid> {
        self.ours.keys().copied().choose(self.random)
    }

    /// One of our broadcast rows.
    fn broadcast(&mut self) -> Option<(&'a Row, Uuid)> {
        let rows = self.switch.rows("Mcast_Macs_Remote").map(|(uuid, row)| (row, uuid));
        rows.filter(|(row, _)| network_of(row, &self.ours).is_some())
            .choose(self.random)
    }

    /// The ports and VLANs that the configuration wants.
    fn claimed(&self) -> BTreeSet<(&'a str, i64)> {
        let ports = self.wanted.ports.iter();
        ports
            .flat_map(|(port, vlans)| vlans.keys().map(|vlan| (port.as_str(), i64::from(*vlan))))
            .collect()
    }

    fn first_tunnel_end(&self, row: &Row) -> Option<Ipv4Addr> {
        let set = self.switch.row("Physical_Locator_Set", row.reference("locator_set")?)?;
        set.references("locators").find_map(|locator| self.tunnel_end(locator))
    }

    fn tunnel_end(&self, locator: Uuid) -> Option<Ipv4Addr> {
        let found = view::locators(self.switch).find(|(uuid, _)| *uuid == locator);
        found.map(|(_, tunnel_end)| tunnel_end)
    }

    fn same_or_stranger(&mut self, same: Option<Ipv4Addr>) -> Ipv4Addr {
        same.filter(|_| self.random.random_bool(0.5)).unwrap_or(STRANGER)
    }
}

fn ours<'a>(switch: &Switch, configuration: &'a Configuration, wanted: &Wanted) -> BTreeMap<Uuid, &'a Network> {
    let named = wanted.networks().into_iter().filter_map(|uuid| {
        let network = configuration.networks.get(&uuid)?;
        Some((configuration.session.logical_switch(uuid), network))
    });
    let named: BTreeMap<_, _> = named.collect();
    let rows = switch.rows("Logical_Switch");
    rows.filter_map(|(uuid, row)| Some((uuid, *named.get(&row.text("name")?.into())?)))
        .collect()
}

/// The network of ours that a row of MACs belongs to.
fn network_of<'a>(row: &Row, ours: &BTreeMap<Uuid, &'a Network>) -> Option<&'a Network> {
    ours.get(&row.reference("logical_switch")?).copied()
}

/// The rows of the remote MACs that are wanted.
fn wanted_remote<'a>(switch: &'a Switch, ours: &BTreeMap<Uuid, &Network>) -> impl Iterator<Item = (Uuid, &'a Row)> {
    switch.rows("Ucast_Macs_Remote").filter(|(_, row)| {
        let network = network_of(row, ours);
        let is_wanted = |mac| network.is_some_and(|network| network.remote_macs.contains_key(&mac));
        view::mac(row).is_some_and(is_wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, EDITS, act, random};
    use super::*;
    use crate::switch::RowChange;

    /// What an edit changes, as the sign of the change and the table; locators come and go by themselves.
    fn changes(what: Edit, seed: u64) -> BTreeSet<String> {
        let mut switch = testing::programmed(2);
        act(&mut switch, foreign::add);
        switch.take_commits();
        let configuration = testing::configuration(2);
        act(&mut switch, |switch| {
            edit(what, switch, &configuration, "tor1", &mut random(seed))
        });
        let changes = switch.take_commits().into_iter().flat_map(|commit| commit.changes);
        changes
            .filter(|change| !change.table.starts_with("Physical_Locator"))
            .map(|change| format!("{}{}", sign(&change), change.table))
            .collect()
    }

    fn sign(change: &RowChange) -> char {
        match (&change.old, &change.new) {
            (None, _) => '+',
            (Some(_), None) => '-',
            (Some(_), Some(_)) => '~',
        }
    }

    #[test]
    fn each_edit_touches_only_its_own_rows() {
        let expected: [&[&str]; 13] = [
            &["-Mcast_Macs_Remote"],
            &["~Mcast_Macs_Remote"],
            &["+Mcast_Macs_Remote"],
            &["~Mcast_Macs_Remote"],
            &["-Ucast_Macs_Remote"],
            &["+Ucast_Macs_Remote"],
            &["~Ucast_Macs_Remote"],
            &["+Ucast_Macs_Remote"],
            &["~Physical_Port"],
            &["~Physical_Port"],
            &["~Logical_Switch"],
            &[
                "-Logical_Switch",
                "-Mcast_Macs_Remote",
                "-Ucast_Macs_Remote",
                "~Physical_Port",
            ],
            &[
                "+Logical_Switch",
                "+Mcast_Macs_Remote",
                "+Ucast_Macs_Local",
                "+Ucast_Macs_Remote",
                "~Physical_Port",
            ],
        ];
        for (what, expected) in EDITS.into_iter().zip(expected) {
            for seed in 0..20 {
                let expected = expected.iter().map(ToString::to_string).collect();
                assert_eq!(changes(what, seed), expected, "{what:?}, seed {seed}");
            }
        }
    }

    #[test]
    fn an_edit_is_none_where_nothing_fits() {
        let configuration = testing::configuration(2);
        let empty = testing::switch(crate::switch::SchemaVersion::V1_7_0);
        let programmed = testing::programmed(2);
        for what in EDITS {
            let mut random = random(1);
            let at_unknown = edit(what, &programmed, &configuration, "tor2", &mut random);
            assert_eq!(at_unknown, None, "{what:?} of an unconfigured switch");
            let on_empty = edit(what, &empty, &configuration, "tor1", &mut random);
            assert_eq!(on_empty.is_some(), what == Edit::AddForeign, "{what:?}");
        }
        let misbind = edit(Edit::MisbindPort, &programmed, &configuration, "tor1", &mut random(1));
        assert_eq!(misbind, None, "there is nothing foreign");
    }

    #[test]
    fn a_tunnel_end_moves_with_all_learned_macs_and_nothing_else() {
        let mut switch = testing::programmed(2);
        for seed in 0..9 {
            act(&mut switch, |switch| {
                super::super::firmware::learn(switch, &mut random(seed))
            });
        }
        act(&mut switch, super::super::firmware::announce);
        let mut configuration = testing::configuration(2);
        let mut move_it = |configuration: &Configuration| {
            let what = Edit::MoveTunnelEnd;
            let operations = edit(what, &switch, configuration, "tor1", &mut random(1));
            operations.map(|operations| {
                switch.take_commits();
                testing::apply(&mut switch, Some(operations));
                let changes = switch.take_commits().into_iter().flat_map(|commit| commit.changes);
                let changes = changes.filter(|change| !change.table.starts_with("Physical_Locator"));
                changes
                    .map(|change| format!("{}{}", sign(&change), change.table))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(move_it(&configuration), None, "it is there already");
        let wanted = configuration.switches.get_mut(&"tor1".into()).expect("a switch");
        let new = Ipv4Addr::new(10, 1, 1, 1);
        wanted.vtep = Some(new);
        let mut changes = move_it(&configuration).expect("an edit");
        changes.dedup();
        assert_eq!(changes, ["~Mcast_Macs_Local", "~Physical_Switch", "~Ucast_Macs_Local"]);
        assert_eq!(view::own_tunnel_end(&switch), Some(new));
        let (row, _) = view::locators(&switch).find(|(_, end)| *end == new).expect("a locator");
        let mut learned = switch.rows("Ucast_Macs_Local");
        assert!(learned.all(|(_, it)| it.reference("locator") == Some(row)));
    }

    #[test]
    fn what_is_misdirected_points_to_the_stranger() {
        for (what, table) in [
            (Edit::MisdirectBroadcast, "Mcast_Macs_Remote"),
            (Edit::MisdirectRemote, "Ucast_Macs_Remote"),
        ] {
            let mut switch = testing::programmed(1);
            let configuration = testing::configuration(1);
            act(&mut switch, |switch| {
                edit(what, switch, &configuration, "tor1", &mut random(1))
            });
            let (stranger, _) = view::locators(&switch)
                .find(|(_, end)| *end == STRANGER)
                .expect("a stranger");
            let sets: BTreeMap<_, _> = switch.rows("Physical_Locator_Set").collect();
            let points = |row: &Row| {
                let set = row.reference("locator_set").map(|set| sets[&set].reference("locators"));
                set.unwrap_or_else(|| row.reference("locator")) == Some(stranger)
            };
            let misdirected = switch.rows(table).filter(|(_, row)| points(row)).count();
            assert_eq!(misdirected, 1, "{what:?}");
        }
    }

    #[test]
    fn a_wanted_binding_is_misbound_to_something_foreign() {
        let mut switch = testing::programmed(2);
        act(&mut switch, foreign::add);
        let configuration = testing::configuration(2);
        act(&mut switch, |switch| {
            edit(Edit::MisbindPort, switch, &configuration, "tor1", &mut random(1))
        });
        let wanted = &configuration.switches[&"tor1".into()];
        let rows = foreign::foreign_rows(&switch);
        assert_eq!(rows.iter().filter(|row| row.is_claimed_by(wanted)).count(), 1);
        assert_eq!(view::bindings(&switch).count(), 3, "no binding came or went");
    }

    #[test]
    fn a_wrong_vni_is_sometimes_that_of_another_network() {
        let configuration = testing::configuration(2);
        let doubled = |seed| {
            let mut switch = testing::programmed(2);
            act(&mut switch, |switch| {
                edit(Edit::WrongVni, switch, &configuration, "tor1", &mut random(seed))
            });
            let rows = switch.rows("Logical_Switch");
            let vnis: BTreeSet<_> = rows.filter_map(|(_, row)| row.integer("tunnel_key")).collect();
            assert_ne!(vnis, BTreeSet::from([5001, 5002]));
            vnis.len() == 1
        };
        let seen: BTreeSet<_> = (0..20).map(doubled).collect();
        assert_eq!(seen.len(), 2, "both happen");
    }
}

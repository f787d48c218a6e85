//! Which port and VLAN belongs to which logical switch: single keys, all of a port in one operation.

use std::collections::BTreeMap;

use super::{Step, View};
use crate::configuration::VlanId;
use crate::event::What;
use crate::ids::{PortName, SwitchName, Uuid};
use crate::ovsdb::transaction::Transaction;
use crate::session::reconciler::Wait;

/// Binds what is desired, and unbinds what is ours and not desired. What other clients bound stays, unless it stands
/// where ours belongs.
pub(super) fn port(view: &View, switch: &SwitchName, port: &PortName, transaction: &mut Transaction) -> Step {
    if !view.desired.served().contains(switch) {
        return Step::Right;
    }
    let Some((row, found)) = view.replica.ports.find(switch, port) else {
        return Step::Right;
    };
    let found = &found.bindings;
    let desired = desired_bindings(view, switch, port);
    let bind: Vec<(VlanId, Uuid)> = desired
        .iter()
        .filter_map(|(vlan, row)| Some((*vlan, (*row)?)))
        .filter(|(vlan, row)| found.get(vlan) != Some(row))
        .collect();
    let ours = |row: &Uuid| {
        planted!(view.desired, ForeignBindingDeleted) || view.replica.logical_switches.network(*row).is_some()
    };
    let is_withheld = |row: &Uuid| {
        let network = view.replica.logical_switches.network(*row);
        network.is_some_and(|network| view.withholds(network))
    };
    let is_surplus = |vlan: &VlanId, row: &Uuid| desired.get(vlan).is_none_or(Option::is_none) && ours(row);
    // A logical switch that is still to come may wait for the VNI of one that can only go when this VLAN lets go.
    // While that deletion is withheld, it would wait in vain, and the VLAN would belong to none of the two.
    let stale = found
        .iter()
        .filter(|(vlan, row)| is_surplus(vlan, row) && !is_withheld(row));
    let stale: Vec<VlanId> = stale.map(|(vlan, _)| *vlan).collect();
    if bind.is_empty() && stale.is_empty() {
        let withheld = found
            .iter()
            .any(|(vlan, row)| is_surplus(vlan, row) && is_withheld(row));
        return if withheld {
            Step::Wait(Wait::Withheld)
        } else {
            Step::Right
        };
    }
    let complete = view.desired.is_configuration_complete();
    if bind.is_empty() && !complete {
        return Step::Wait(Wait::Incomplete);
    }
    let mut unbind: Vec<VlanId> = bind
        .iter()
        .map(|(vlan, _)| *vlan)
        .filter(|vlan| found.contains_key(vlan))
        .collect();
    let notes = unbind
        .iter()
        .filter_map(|vlan| replaced(view, switch, port, *vlan, *found.get(vlan)?))
        .collect();
    if complete {
        unbind.extend(stale);
    }
    transaction.mutate_bindings(row, &unbind, &bind);
    Step::Write { whole: true, notes }
}

/// The rows that a port's VLANs are to be bound to; `None` for a logical switch that is not there yet.
fn desired_bindings(view: &View, switch: &SwitchName, port: &PortName) -> BTreeMap<VlanId, Option<Uuid>> {
    let desired = view.desired.bindings(switch, port).into_iter().flatten();
    let row = |network: &Uuid| view.replica.logical_switches.of_network(*network);
    desired.map(|(vlan, network)| (*vlan, row(network))).collect()
}

/// The event for a binding that is replaced, if another client made it.
fn replaced(view: &View, switch: &SwitchName, port: &PortName, vlan: VlanId, row: Uuid) -> Option<What> {
    let entry = view.replica.logical_switches.row(row)?;
    entry.network.is_none().then(|| What::BindingReplaced {
        switch: switch.clone(),
        port: port.clone(),
        vlan,
        foreign: entry.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::plan::testing::Scene;

    fn plan(scene: &Scene) -> (Step, String) {
        scene.plan(|view, transaction| port(view, &"tor1".into(), &"eth1".into(), transaction))
    }

    #[test]
    fn a_binding_of_another_client_is_replaced_where_ours_belongs_and_reported() {
        let mut scene = Scene::with_logical_switch();
        scene.foreign_logical_switch(70, "theirs");
        scene.bindings(&[(10, 70), (11, 70)]);
        let (step, text) = plan(&scene);
        let note = What::BindingReplaced {
            switch: "tor1".into(),
            port: "eth1".into(),
            vlan: 10,
            foreign: "theirs".to_owned().into(),
        };
        let notes = vec![note];
        assert_eq!(step, Step::Write { whole: true, notes });
        assert!(text.contains(r#"["vlan_bindings","delete",["set",[10]]]"#), "{text}");
    }

    #[test]
    fn a_binding_of_ours_that_is_not_desired_stays_until_the_configuration_is_complete() {
        let mut scene = Scene::with_logical_switch();
        scene.bindings(&[(10, Scene::ROW.0), (11, Scene::ROW.0)]);
        let (step, text) = plan(&scene);
        assert_eq!(step, Step::WRITE);
        assert!(text.contains(r#"["vlan_bindings","delete",["set",[11]]]"#), "{text}");
        scene.set_complete(false);
        assert_eq!(plan(&scene).0, Step::Wait(Wait::Incomplete));
    }

    #[test]
    fn what_is_bound_as_desired_needs_nothing() {
        let mut scene = Scene::with_logical_switch();
        scene.bindings(&[(10, Scene::ROW.0)]);
        assert_eq!(plan(&scene).0, Step::Right);
    }
}

//! The faults that the switch reports of itself and of its ports.

use std::collections::BTreeMap;

use super::replica::Replica;
use super::replica::ports::Ports;
use crate::event::What;
use crate::ids::{PortName, SwitchName};
use crate::status::SwitchFault;

/// The place of a fault: a switch, or one of its ports.
type Place = (SwitchName, Option<PortName>);

/// The faults that were reported last.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    reported: BTreeMap<Place, Vec<String>>,
    due: bool,
}

impl Faults {
    /// A fault, or the name of a port, may have changed.
    pub(super) fn mark(&mut self) {
        self.due = true;
    }

    /// Takes the mark. Returns what changed since the last report, at switches that are served.
    pub(super) fn compare(&mut self, replica: &Replica, is_served: impl Fn(&SwitchName) -> bool) -> Vec<What> {
        if !std::mem::take(&mut self.due) {
            return Vec::new();
        }
        let found = found(replica, is_served);
        let before = std::mem::replace(&mut self.reported, found);
        let new = self
            .reported
            .iter()
            .filter(|(place, faults)| before.get(*place) != Some(*faults));
        let gone = before.keys().filter(|place| !self.reported.contains_key(*place));
        let new = new.map(|(place, faults)| (place, faults.clone()));
        let changed = new.chain(gone.map(|place| (place, Vec::new())));
        let event = |((switch, port), faults): (&Place, Vec<String>)| What::SwitchFaults {
            switch: switch.clone(),
            port: port.clone(),
            faults,
        };
        changed.map(event).collect()
    }

    /// Those of now.
    pub(super) fn status(&self) -> impl Iterator<Item = SwitchFault> + '_ {
        self.reported.iter().flat_map(|((switch, port), faults)| {
            faults.iter().map(|fault| SwitchFault {
                switch: switch.clone(),
                port: port.clone(),
                fault: fault.clone(),
            })
        })
    }
}

fn found(replica: &Replica, is_served: impl Fn(&SwitchName) -> bool) -> BTreeMap<Place, Vec<String>> {
    let of = |row| replica.faults.get(&row).cloned();
    let ports = &replica.ports;
    let switches = ports
        .rows()
        .filter_map(|(row, switch)| Some(((switch.name.clone(), None), of(row)?)));
    let named = Ports::named(ports).filter(|_| !replica.faults.is_empty());
    let ports = named.filter_map(|((switch, port), row)| Some(((switch.clone(), Some(port.clone())), of(row)?)));
    let all = switches.chain(ports);
    all.filter(|((switch, _), _)| is_served(switch)).collect()
}

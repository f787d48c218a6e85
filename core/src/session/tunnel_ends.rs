//! The tunnel ends of the switch against those of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::configuration::Switch;
use crate::event::What;
use crate::ids::SwitchName;
use crate::switch_identity::SwitchRow;

/// The switches whose `tunnel_ips` lack the configured `vtep`.
#[derive(Clone, Debug, Default)]
pub(super) struct TunnelEnds {
    wrong: BTreeMap<SwitchName, WrongEnd>,
}

/// What a switch has instead of its configured tunnel end; no `tunnel_ips` if none of them is an IPv4 address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WrongEnd {
    pub(super) vtep: Ipv4Addr,
    pub(super) tunnel_ips: Vec<Ipv4Addr>,
}

impl TunnelEnds {
    /// The rows or the configuration of the switches changed. Returns what became wrong or right. A switch without
    /// `tunnel_ips` has not set them yet, which contradicts nothing; `others` have tunnel ends that are no IPv4 addresses.
    pub(super) fn compare(
        &mut self,
        rows: &BTreeMap<SwitchName, SwitchRow>,
        others: &BTreeSet<SwitchName>,
        configured: &BTreeMap<SwitchName, Switch>,
    ) -> Vec<What> {
        let wrong = rows.iter().filter_map(|(name, row)| {
            let vtep = configured.get(name)?.vtep?;
            let has_ends = !row.tunnel_ips.is_empty() || others.contains(name);
            let lacks = has_ends && !row.has(Some(vtep));
            let tunnel_ips = row.tunnel_ips.clone();
            lacks.then(|| (name.clone(), WrongEnd { vtep, tunnel_ips }))
        });
        let before = std::mem::replace(&mut self.wrong, wrong.collect());
        let new = self
            .wrong
            .iter()
            .filter(|(name, wrong)| before.get(*name) != Some(*wrong));
        let new = new.map(|(name, wrong)| WrongEnd::report(name, wrong));
        let right = before.keys().filter(|name| !self.wrong.contains_key(*name));
        let right = right.map(|name| What::TunnelEndRight { switch: name.clone() });
        new.chain(right).collect()
    }

    /// Those that are wrong now.
    pub(super) fn wrong(&self) -> impl Iterator<Item = (&SwitchName, &WrongEnd)> {
        self.wrong.iter()
    }
}

impl WrongEnd {
    fn report(name: &SwitchName, wrong: &Self) -> What {
        What::TunnelEndWrong {
            switch: name.clone(),
            vtep: wrong.vtep,
            tunnel_ips: wrong.tunnel_ips.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LogEvent;

    const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
    const WRONG: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 9);

    #[test]
    fn a_wrong_end_is_reported_once_and_when_it_is_right_again() {
        let configured = |vtep| {
            let switch = Switch {
                vtep,
                ..Switch::default()
            };
            BTreeMap::from([("tor1".into(), switch)])
        };
        let mut ends = TunnelEnds::default();
        let mut words = |tunnel_ips: &[Ipv4Addr], vtep| {
            let row = SwitchRow {
                tunnel_ips: tunnel_ips.to_vec(),
                ..SwitchRow::default()
            };
            let events = ends.compare(&[("tor1".into(), row)].into(), &BTreeSet::new(), &configured(vtep));
            events.iter().map(LogEvent::word).collect::<Vec<_>>()
        };
        assert!(words(&[WRONG], None).is_empty(), "nothing is configured");
        assert!(words(&[], Some(RIGHT)).is_empty(), "the switch has not set them");
        assert_eq!(words(&[WRONG], Some(RIGHT)), ["TunnelEndWrong"]);
        assert!(words(&[WRONG], Some(RIGHT)).is_empty());
        assert_eq!(words(&[WRONG, RIGHT], Some(RIGHT)), ["TunnelEndRight"]);
    }
}

//! MACs that switches learn, as their databases show it, and the sessions in which their agents know what is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use tandem_core::event::{Event, What};
use tandem_core::{ConnId, Mac, Uuid};

use crate::model::network_named;
use crate::switch::{Commit, Writer};
use crate::world::SwitchView;

/// The MACs that a switch has just learned in networks of ours. A row whose tunnel end changes has not moved to another
/// switch.
pub(super) fn by<'a>(commit: &'a Commit, switch: SwitchView<'a>) -> impl Iterator<Item = (Uuid, Mac)> {
    let own = commit.changes.iter().filter(|_| commit.by == Writer::Local);
    let rows = own.filter(|change| change.table == "Ucast_Macs_Local" && change.old.is_none());
    rows.filter_map(move |change| {
        let row = change.new.as_deref()?;
        let logical_switch = switch.switch.row("Logical_Switch", row.reference("logical_switch")?)?;
        Some((
            network_named(logical_switch.text("name")?)?,
            row.text("MAC")?.parse().ok()?,
        ))
    })
}

/// The sessions of agents that have read and audited their switch.
#[derive(Clone, Debug, Default)]
pub(super) struct Audited(BTreeSet<(Arc<str>, ConnId)>);

impl Audited {
    /// To be called with every event of a session.
    pub(super) fn on_event(&mut self, agent: &Arc<str>, event: &Event) {
        if let What::Audited { .. } = event.what {
            self.0.insert((Arc::clone(agent), event.conn));
        } else if let What::Closed { .. } = event.what {
            self.0.remove(&(Arc::clone(agent), event.conn));
        }
    }

    /// The agent has just been started: none of its sessions is left.
    pub(super) fn forget(&mut self, agent: &str) {
        self.0.retain(|(name, _)| &**name != agent);
    }

    /// What an agent exports in this session from now on, its switch has just learned.
    pub(super) fn contains(&self, agent: &Arc<str>, conn: ConnId) -> bool {
        self.0.contains(&(Arc::clone(agent), conn))
    }
}

//! What a control node that was just started cannot know yet: whatever agents have not published again.
//!
//! Who is told that everything was told deletes what was not. So a control node says that of no instance before every
//! configured agent is there and has published for a while nothing more, or had the time to come and to publish.

use std::collections::BTreeSet;

use super::ControlNode;
use super::client::{ClientName, Walk};
use super::inventory::Inventory;
use crate::bounds::{LEARNING, LEARNING_QUIET};
use crate::time::Time;

/// How much of the world a control node knows.
#[derive(Clone, Debug, Default)]
pub(super) enum Learning {
    /// It was never configured: nobody knows who is to come.
    #[default]
    Unconfigured,
    /// Agents may still have to publish.
    Since {
        configured: Time,
        /// When one of them said something last.
        heard: Time,
        /// Those that have not come yet.
        missing: BTreeSet<ClientName>,
    },
    /// What it does not know is not there.
    Over,
}

impl Learning {
    /// Whether what is not known may only not be known yet.
    pub(super) fn is_going_on(&self) -> bool {
        !matches!(self, Self::Over)
    }

    fn due(&self) -> Option<Time> {
        match self {
            Self::Since {
                configured,
                heard,
                missing,
            } => {
                let last = *configured + LEARNING;
                let quiet = missing.is_empty().then_some(*heard + LEARNING_QUIET);
                // Agents of busy switches are never quiet.
                Some(quiet.map_or(last, |quiet| quiet.min(last)))
            }
            Self::Unconfigured | Self::Over => None,
        }
    }
}

impl ControlNode {
    /// When the control node may know everything.
    pub(super) fn learned_at(&self) -> Option<Time> {
        self.learning.due()
    }

    /// These are the agents to wait for.
    pub(super) fn learn_of(&mut self, now: Time, inventory: &Inventory) {
        let (configured, heard) = match self.learning {
            Learning::Unconfigured => (now, now),
            Learning::Since { configured, heard, .. } => (configured, heard),
            Learning::Over => return,
        };
        let agents = inventory.switches.values().flat_map(|served| &served.agents);
        let missing = agents.filter(|agent| !self.names.contains_key(*agent));
        self.learning = Learning::Since {
            configured,
            heard,
            missing: missing.cloned().collect(),
        };
    }

    /// Somebody came, or said something.
    pub(super) fn learn_from(&mut self, now: Time, came: Option<&ClientName>) {
        if let Learning::Since { heard, missing, .. } = &mut self.learning {
            *heard = now;
            if let Some(name) = came {
                missing.remove(name);
            }
        }
    }

    /// Once everything is known, everybody is told that.
    pub(super) fn look_at_learning(&mut self, now: Time) {
        if self.learned_at().is_none_or(|at| now < at) {
            return;
        }
        self.learning = Learning::Over;
        let conns: Vec<_> = self.clients.keys().copied().collect();
        for conn in conns {
            if let Some(client) = self.clients.get_mut(&conn) {
                let walking = client.subscriptions.iter().filter(|(_, it)| it.walk == Walk::Walking);
                client.pending.extend(walking.map(|(name, _)| name.clone()));
                self.refresh(now, conn);
            }
        }
    }
}

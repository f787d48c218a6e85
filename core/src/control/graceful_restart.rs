//! After a start, a control node does not know what agents have not published again yet.
//!
//! An agent that receives an end-of-RIB deletes what it did not receive. So a control node that was just started sends none
//! before every configured agent is connected and all have been quiet for a while, or had the time to connect and publish.

use std::collections::BTreeSet;

use super::client_name::ClientName;
use super::inventory::Inventory;
use crate::bounds::{GRACEFUL_RESTART, GRACEFUL_RESTART_QUIET};
use crate::time::Time;

/// Whether agents may still have to publish.
#[derive(Clone, Debug, Default)]
pub(super) enum GracefulRestart {
    /// There was no configuration yet, so it is not known which agents are to come.
    #[default]
    Unconfigured,
    /// Agents may still have to publish.
    Waiting {
        since: Time,
        /// When a client connected or sent something last.
        active_at: Time,
        /// Agents that are not connected.
        missing: BTreeSet<ClientName>,
    },
    /// A route that is not known does not exist.
    Over,
}

impl GracefulRestart {
    /// Whether a route that is not known may still be published.
    pub(super) fn is_on(&self) -> bool {
        !matches!(self, Self::Over)
    }

    /// When it is over if nothing happens.
    pub(super) fn due(&self) -> Option<Time> {
        match self {
            Self::Waiting {
                since,
                active_at,
                missing,
            } => {
                let last = *since + GRACEFUL_RESTART;
                let quiet = missing.is_empty().then_some(*active_at + GRACEFUL_RESTART_QUIET);
                // Agents of busy switches are never quiet.
                Some(quiet.map_or(last, |quiet| quiet.min(last)))
            }
            Self::Unconfigured | Self::Over => None,
        }
    }

    /// The agents of this inventory are to publish.
    pub(super) fn expect(&mut self, now: Time, inventory: &Inventory, is_connected: impl Fn(&ClientName) -> bool) {
        let (since, active_at) = match self {
            Self::Unconfigured => (now, now),
            Self::Waiting { since, active_at, .. } => (*since, *active_at),
            Self::Over => return,
        };
        let agents = inventory.switches.values().flat_map(|served| &served.agents);
        let missing = agents.filter(|agent| !is_connected(agent));
        *self = Self::Waiting {
            since,
            active_at,
            missing: missing.cloned().collect(),
        };
    }

    /// A client connected.
    pub(super) fn on_connected(&mut self, now: Time, client: &ClientName) {
        if let Self::Waiting { active_at, missing, .. } = self {
            *active_at = now;
            missing.remove(client);
        }
    }

    /// An agent of the inventory is not connected any more: perhaps it has not published everything.
    pub(super) fn on_disconnected(&mut self, agent: ClientName) {
        if let Self::Waiting { missing, .. } = self {
            missing.insert(agent);
        }
    }

    /// A client sent something.
    pub(super) fn on_activity(&mut self, now: Time) {
        if let Self::Waiting { active_at, .. } = self {
            *active_at = now;
        }
    }

    /// Ends it if it is due. Answers whether that ended it.
    pub(super) fn end_if_due(&mut self, now: Time) -> bool {
        let is_due = self.due().is_some_and(|at| at <= now);
        if is_due {
            *self = Self::Over;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::inventory::ServedSwitch;

    fn inventory(agents: &[&str]) -> Inventory {
        let switch = ServedSwitch {
            agents: agents.iter().map(|agent| ClientName::from(*agent)).collect(),
            ..ServedSwitch::default()
        };
        Inventory {
            switches: [("tor1".into(), switch)].into(),
            ..Inventory::default()
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn it_lasts_until_every_agent_is_connected_and_all_are_quiet() {
        let mut restart = GracefulRestart::default();
        assert!(restart.is_on() && restart.due().is_none());
        restart.expect(at(0), &inventory(&["a", "b"]), |name| name.as_str() == "a");
        assert_eq!(restart.due(), Some(at(0) + GRACEFUL_RESTART));
        restart.on_connected(at(3), &"b".into());
        restart.on_activity(at(4));
        assert_eq!(restart.due(), Some(at(4) + GRACEFUL_RESTART_QUIET));
        assert!(!restart.end_if_due(at(4)));
        assert!(restart.end_if_due(at(4) + GRACEFUL_RESTART_QUIET));
        assert!(!restart.is_on() && restart.due().is_none());
    }

    #[test]
    fn another_inventory_is_no_activity_of_an_agent() {
        let mut restart = GracefulRestart::default();
        restart.expect(at(0), &inventory(&["a"]), |_| true);
        restart.on_activity(at(1));
        restart.expect(at(2), &inventory(&["a"]), |_| true);
        assert_eq!(restart.due(), Some(at(1) + GRACEFUL_RESTART_QUIET));
    }

    #[test]
    fn an_agent_that_is_gone_again_is_missing_again() {
        let mut restart = GracefulRestart::default();
        restart.expect(at(0), &inventory(&["a"]), |_| true);
        restart.on_disconnected("a".into());
        assert_eq!(restart.due(), Some(at(0) + GRACEFUL_RESTART));
        restart.on_connected(at(3), &"a".into());
        assert_eq!(restart.due(), Some(at(3) + GRACEFUL_RESTART_QUIET));
    }

    #[test]
    fn another_inventory_does_not_prolong_it_and_later_ones_do_not_begin_it_again() {
        let mut restart = GracefulRestart::default();
        restart.expect(at(0), &inventory(&["a"]), |_| false);
        restart.expect(at(9), &inventory(&["a", "b"]), |_| false);
        let end = at(0) + GRACEFUL_RESTART;
        assert_eq!(restart.due(), Some(end));
        assert!(restart.end_if_due(end));
        restart.expect(end, &inventory(&["c"]), |_| false);
        assert!(!restart.is_on());
    }
}

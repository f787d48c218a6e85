//! What is wrong, in the status of an agent or a control node.

use std::collections::BTreeSet;

use tandem_core::SwitchName;
use tandem_core::control::{self, ClientName, ControlStatus};
use tandem_core::health::Grade;
use tandem_core::status::{AgentStatus, Phase, SessionStatus, SwitchStatus};

use super::answer::Status;
use crate::commands::count;

/// The number of faults of switches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Trouble {
    alarms: usize,
    blocked: usize,
    quarantined: usize,
}

impl Trouble {
    /// Of one switch.
    pub(super) fn of(switch: &SwitchStatus) -> Self {
        let of_sessions = |count: fn(&SessionStatus) -> usize| switch.sessions.iter().map(count).sum::<usize>();
        Self {
            alarms: switch.alarms.len() + of_sessions(|it| it.alarms.len()),
            blocked: of_sessions(|it| it.blocked.len()),
            quarantined: of_sessions(|it| it.quarantine.len()),
        }
    }

    /// Of every switch.
    pub(super) fn of_all(status: &AgentStatus) -> Self {
        let switches = status.switches.values().map(Self::of);
        switches.fold(Self::default(), |sum, it| Self {
            alarms: sum.alarms + it.alarms,
            blocked: sum.blocked + it.blocked,
            quarantined: sum.quarantined + it.quarantined,
        })
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// As parts of the first line.
    pub(super) fn texts(self) -> Vec<String> {
        let parts = [
            (self.alarms, "alarm", "alarms"),
            (self.blocked, "blocked object", "blocked objects"),
            (self.quarantined, "object in quarantine", "objects in quarantine"),
        ];
        let parts = parts.into_iter().filter(|(number, ..)| *number > 0);
        parts.map(|(number, one, many)| count(number, one, many)).collect()
    }
}

/// The switches of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// Those that were asked for.
    pub(super) named: &'a [&'a str],
    /// All that the process has, shown or not.
    pub(super) total: usize,
}

/// The number of switches on a page, and of how many.
pub(super) fn part_of(shown: usize, total: usize) -> String {
    match shown == total {
        true => count(total, "switch", "switches"),
        false => format!("{shown} of {}", count(total, "switch", "switches")),
    }
}

/// The order of names for people: `tor2` before `tor10`.
pub(in crate::commands) fn natural(name: &str) -> Vec<(String, u128)> {
    let mut parts = vec![(String::new(), 0_u128)];
    let mut in_number = false;
    for c in name.chars() {
        if let Some(digit) = c.to_digit(10) {
            in_number = true;
            if let Some((_, number)) = parts.last_mut() {
                *number = number.saturating_mul(10).saturating_add(digit.into());
            }
            continue;
        }
        if std::mem::take(&mut in_number) {
            parts.push((String::new(), 0));
        }
        if let Some((text, _)) = parts.last_mut() {
            text.push(c);
        }
    }
    parts
}

/// An agent is wrong, apart from its switches.
fn is_agent_wrong(status: &AgentStatus) -> bool {
    let grade = match status.grade {
        Grade::Fit => false,
        Grade::Alone | Grade::Isolated | Grade::Unfit | Grade::Draining => true,
    };
    let is_silent = status.peer.as_ref().is_some_and(|peer| peer.agent.is_none());
    let nodes = &status.control_nodes;
    let is_ignored = nodes
        .iter()
        .any(|node| node.ignored.is_some() || node.disagrees || node.name.is_none());
    grade || status.tsn_alive == Some(false) || is_silent || is_ignored
}

/// Agents and services nodes that are configured and have no session.
pub(super) fn away(status: &ControlStatus) -> BTreeSet<&ClientName> {
    let switches = status.switches.values();
    let served = switches.flat_map(|switch| switch.agents.iter().chain(&switch.tsns));
    served.filter(|name| !status.clients.contains_key(*name)).collect()
}

/// A network without an owner, or with several, or with one at another tunnel end.
fn is_owned_wrongly(switch: &control::SwitchStatus) -> bool {
    !switch.elsewhere.is_empty() || switch.owners.values().any(|owners| owners.len() != 1)
}

impl Status {
    /// The number of switches.
    pub(super) fn switches(&self) -> usize {
        match self {
            Self::Agent(status) => status.switches.len(),
            Self::Control(status) => status.switches.len(),
        }
    }

    /// Keeps these switches; none means all. The error names one that is not there.
    pub(super) fn select(&mut self, names: &[&str]) -> Result<(), String> {
        let known = |name: &SwitchName| names.is_empty() || names.contains(&name.as_str());
        let missing = match self {
            Self::Agent(status) => {
                status.switches.retain(|name, _| known(name));
                names
                    .iter()
                    .find(|name| !status.switches.contains_key(&SwitchName::from(**name)))
            }
            Self::Control(status) => {
                status.switches.retain(|name, _| known(name));
                names
                    .iter()
                    .find(|name| !status.switches.contains_key(&SwitchName::from(**name)))
            }
        };
        missing.map_or(Ok(()), |name| Err(format!("no switch {name} is configured there")))
    }

    /// Keeps the switches with problems.
    pub(super) fn keep_problems(&mut self) {
        match self {
            Self::Agent(status) => status.switches.retain(|_, switch| !Trouble::of(switch).is_none()),
            Self::Control(status) => status.switches.retain(|_, switch| is_owned_wrongly(switch)),
        }
    }

    /// Whether anything is wrong.
    pub(super) fn is_wrong(&self) -> bool {
        match self {
            Self::Agent(status) => is_agent_wrong(status) || !Trouble::of_all(status).is_none(),
            Self::Control(status) => {
                let is_ignored = status.clients.values().any(|client| client.ignores_for.is_some());
                is_ignored || !away(status).is_empty() || status.switches.values().any(is_owned_wrongly)
            }
        }
    }

    /// What has something to do yet: switches, which need a session if they are named, or clients of a control node.
    pub(super) fn unsynced(&self, is_named: bool) -> Vec<String> {
        match self {
            Self::Agent(status) if status.grade == Grade::Unfit => vec![format!("{} is unfit", status.agent)],
            Self::Agent(status) => {
                let is_busy = |it: &SessionStatus| it.phase != Phase::Synced || it.pending + it.in_flight > 0;
                let busy = status.switches.iter().filter(|(_, switch)| {
                    (is_named && switch.sessions.is_empty()) || switch.sessions.iter().any(is_busy)
                });
                let peer = status.peer.as_ref().and_then(|peer| peer.agent.as_deref());
                let text = |(name, switch): (&SwitchName, &SwitchStatus)| match (peer, switch.at_peer) {
                    (Some(agent), true) if switch.sessions.is_empty() => {
                        format!("{name} ({agent} owns it)")
                    }
                    _ => name.to_string(),
                };
                busy.map(text).collect()
            }
            Self::Control(status) => {
                let busy = status
                    .clients
                    .iter()
                    .filter(|(_, client)| client.configured == Some(false));
                busy.map(|(name, _)| name.to_string()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names: Vec<SwitchName> = ["tor10", "tor2", "b1-r2", "b1-r10", "tor02x", "tor"]
            .map(SwitchName::from)
            .into();
        names.sort_by_key(|name| natural(name.as_str()));
        let names: Vec<&str> = names.iter().map(SwitchName::as_str).collect();
        assert_eq!(names, ["b1-r2", "b1-r10", "tor", "tor2", "tor02x", "tor10"]);
    }
}

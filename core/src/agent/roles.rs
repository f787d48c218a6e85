//! The agent's role for each configured switch, as the peer agent and the uplinks are notified of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sessions::Sessions;
use crate::configuration::{Configuration, fingerprint};
use crate::ids::SwitchName;
use crate::switch_identity::SwitchIdentity;

/// The role of an agent for a switch. The names on the peer link are those of its protocol 1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum Role {
    /// There is no session.
    #[default]
    #[serde(rename = "absent")]
    Absent,
    /// There is a session, and no lock.
    #[serde(rename = "waiting")]
    Standby,
    /// The session may write.
    #[serde(rename = "owner")]
    Active,
}

/// An agent's role at a switch, and what goes with it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct SwitchRole {
    /// Whether it owns the switch, waits, or has no session with it.
    #[serde(rename = "state")]
    pub role: Role,
    /// The place of its session in the order in which the agent's sessions were allowed to write.
    pub owned: u64,
    /// Nothing differs any more from the desired state.
    pub audited: bool,
    /// Of what is configured for the switch: [`fingerprint`].
    pub configuration: String,
    /// The switch as the session sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SwitchIdentity>,
    /// The session has shown that its line is alive, beside another one with a switch of the same name.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proven: bool,
    /// The session holds the lock of its server, and waits for its clearance.
    #[serde(default, skip_serializing_if = "is_false")]
    pub holds_lock: bool,
}

/// The role at each configured switch.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    by_switch: BTreeMap<SwitchName, SwitchRole>,
    /// A role, or something else that goes with them to the peer agent and the uplinks, may have changed.
    dirty: bool,
}

impl Roles {
    /// No switch is configured; the first report is due.
    pub(super) fn new() -> Self {
        Self {
            by_switch: BTreeMap::new(),
            dirty: true,
        }
    }

    /// By switch.
    pub(super) fn by_switch(&self) -> &BTreeMap<SwitchName, SwitchRole> {
        &self.by_switch
    }

    /// A configuration is in force.
    pub(super) fn configure(&mut self, configuration: &Configuration, sessions: &Sessions) {
        let configured = configuration.switches.iter().map(|(name, switch)| {
            let role = SwitchRole {
                configuration: fingerprint(switch, &configuration.networks),
                ..SwitchRole::default()
            };
            (name.clone(), role)
        });
        self.by_switch = configured.collect();
        let names: BTreeSet<SwitchName> = self.by_switch.keys().cloned().collect();
        self.update(&names, sessions);
    }

    /// The sessions with these switches are not what they were.
    pub(super) fn update(&mut self, names: &BTreeSet<SwitchName>, sessions: &Sessions) {
        for name in names {
            let Some(role) = self.by_switch.get_mut(name) else {
                continue;
            };
            let latest = sessions.latest(name);
            role.role = match latest {
                None => Role::Absent,
                Some(known) if known.is_owner() => Role::Active,
                Some(_) => Role::Standby,
            };
            role.owned = latest.map_or(0, |known| known.owned());
            role.audited = latest.is_some_and(|known| known.is_audited());
            role.identity = latest.and_then(|known| known.identities().get(name).cloned());
            role.proven = latest.is_some_and(|known| known.is_proven());
            role.holds_lock = latest.is_some_and(|known| known.holds_lock() && !known.is_owner());
        }
        self.mark();
    }

    /// Something that goes with the roles may have changed.
    pub(super) fn mark(&mut self) {
        self.dirty = true;
    }

    /// Whether something may have changed since the mark was taken last.
    pub(super) fn is_marked(&self) -> bool {
        self.dirty
    }

    /// Takes the mark. Returns whether it was there.
    pub(super) fn take_mark(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::configuration::{SessionOptions, Switch};
    use crate::ids::{ConnId, Generation};
    use crate::machine::Peer;
    use crate::switch_identity::SwitchRow;
    use crate::time::Time;

    fn configured(sessions: &Sessions) -> Roles {
        let configuration = Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: [("tor1".into(), Switch::default())].into(),
        };
        let mut roles = Roles::new();
        roles.configure(&configuration, sessions);
        roles
    }

    #[test]
    fn a_session_makes_a_standby_and_the_right_to_write_an_active_agent() {
        let mut sessions = Sessions::new(Generation(0));
        let mut roles = configured(&sessions);
        let mut role = |sessions: &Sessions| {
            roles.update(&["tor1".into()].into(), sessions);
            roles.by_switch()[&"tor1".into()].role
        };
        assert_eq!(role(&sessions), Role::Absent);
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        };
        sessions.open(Time::ORIGIN, ConnId(1), peer);
        assert_eq!(role(&sessions), Role::Absent, "the switch has not named itself");
        sessions.on_identified(Time::ORIGIN, ConnId(1), [("tor1".into(), SwitchRow::default())].into());
        assert_eq!(role(&sessions), Role::Standby);
        sessions.on_may_write(ConnId(1), true);
        assert_eq!(role(&sessions), Role::Active);
        sessions.on_closed(ConnId(1));
        assert_eq!(role(&sessions), Role::Absent);
    }

    #[test]
    fn another_configuration_leaves_an_active_agent_active() {
        let mut sessions = Sessions::new(Generation(0));
        let peer = Peer {
            address: (Ipv4Addr::LOCALHOST, 1).into(),
            proxied: None,
            certificate: None,
        };
        sessions.open(Time::ORIGIN, ConnId(1), peer);
        sessions.on_identified(Time::ORIGIN, ConnId(1), [("tor1".into(), SwitchRow::default())].into());
        sessions.on_may_write(ConnId(1), true);
        assert_eq!(configured(&sessions).by_switch()[&"tor1".into()].role, Role::Active);
    }

    #[test]
    fn a_mark_is_taken_once() {
        let sessions = Sessions::new(Generation(0));
        let mut roles = configured(&sessions);
        assert!(roles.is_marked() && roles.take_mark() && !roles.take_mark());
        roles.update(&BTreeSet::new(), &sessions);
        assert!(roles.take_mark());
    }

    #[test]
    fn a_peer_of_protocol_1_reads_a_role() {
        let role = SwitchRole {
            role: Role::Active,
            owned: 3,
            audited: true,
            configuration: "x".into(),
            ..SwitchRole::default()
        };
        let json = serde_json::to_string(&role).expect("JSON");
        assert_eq!(
            json,
            r#"{"state":"owner","owned":3,"audited":true,"configuration":"x"}"#
        );
    }
}

//! The first line of both ends: the name of the agent, and its versions of the protocol.

use serde::{Deserialize, Serialize};
use tandem_core::identity::{self, IdentityRule};
use tandem_core::machine::Certificate;

/// The versions of the protocol that this program has, the oldest and the newest. Two agents use the newest that both have,
/// so that a pair can be upgraded one agent after the other.
///
/// A member may be added to a report without a new version: the other end ignores it. A new value of a grade or a role, or
/// a member that goes or changes its meaning, needs one.
pub(super) const VERSIONS: (u32, u32) = (1, 1);

/// The first line of both ends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The oldest version of the protocol that the agent has.
    pub(super) protocol: u32,
    /// The newest; without it, the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<u32>,
    /// The name of the agent.
    pub(super) agent: String,
    /// Why the end that was dialled refuses the other; a member that older agents ignore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

impl Hello {
    /// That of this agent.
    pub(super) fn of(agent: &str) -> Self {
        let (oldest, newest) = VERSIONS;
        Self {
            protocol: oldest,
            newest: Some(newest),
            agent: agent.into(),
            refused: None,
        }
    }

    /// The same, with the reason for which the other end is refused.
    pub(super) fn refusing(self, why: Option<&str>) -> Self {
        let refused = why.map(str::to_owned);
        Self { refused, ..self }
    }

    /// The name of the peer, or why the link is refused.
    pub(super) fn admit(self, own: &str, certificate: &Certificate, rules: &[IdentityRule]) -> Result<String, String> {
        self.version(VERSIONS)?;
        if let Some(why) = &self.refused {
            return Err(format!("it refuses this agent: {}", why.escape_debug()));
        }
        if self.agent == own {
            return Err(format!(
                "it is called {own}, too: it is this agent itself, or another one with the same name"
            ));
        }
        match identity::check(&self.agent, rules, certificate) {
            Ok(()) => Ok(self.agent),
            Err(why) => Err(format!(
                "{why}; issue a certificate with this name, or list others in `certificates` of `[peer]`"
            )),
        }
    }

    /// The version for both ends, or which of them is too old.
    fn version(&self, (oldest, newest): (u32, u32)) -> Result<u32, String> {
        let theirs = (self.protocol, self.newest.unwrap_or(self.protocol).max(self.protocol));
        let version = newest.min(theirs.1);
        if version < oldest {
            Err(format!(
                "{} has version {} of the link at most, and this agent {oldest} at least: upgrade {}",
                self.agent, theirs.1, self.agent
            ))
        } else if version < theirs.0 {
            Err(format!(
                "{} has version {} of the link at least, and this agent {newest} at most: upgrade this agent",
                self.agent, theirs.0
            ))
        } else {
            Ok(version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version of a link to `agent-b` with these versions, from an agent with those.
    fn version(line: &str, own: (u32, u32)) -> Result<u32, String> {
        serde_json::from_str::<Hello>(line).expect("a hello").version(own)
    }

    #[test]
    fn two_ends_use_the_newest_version_that_both_have() {
        let only_one = r#"{"protocol":1,"agent":"agent-b"}"#;
        let up_to_three = r#"{"protocol":1,"newest":3,"agent":"agent-b"}"#;
        for (line, own, agreed) in [
            (only_one, (1, 1), 1),
            (only_one, (1, 2), 1),
            (up_to_three, (1, 1), 1),
            (up_to_three, (1, 2), 2),
            (up_to_three, (2, 4), 3),
        ] {
            assert_eq!(version(line, own), Ok(agreed), "{line} and {own:?}");
        }
    }

    #[test]
    fn without_a_common_version_the_refusal_names_the_agent_that_is_too_old() {
        assert_eq!(
            version(r#"{"protocol":1,"newest":2,"agent":"agent-b"}"#, (3, 4)),
            Err("agent-b has version 2 of the link at most, and this agent 3 at least: upgrade agent-b".into())
        );
        assert_eq!(
            version(r#"{"protocol":3,"newest":4,"agent":"agent-b"}"#, (1, 2)),
            Err("agent-b has version 3 of the link at least, and this agent 2 at most: upgrade this agent".into())
        );
    }
}

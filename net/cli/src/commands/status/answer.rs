//! The answer of an agent or a control node.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tandem_core::control::ControlStatus;
use tandem_core::status::AgentStatus;

/// What answers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Status {
    Agent(AgentStatus),
    Control(ControlStatus),
}

impl Status {
    /// Only a control node has clients.
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            clients: Option<IgnoredAny>,
        }
        match serde_json::from_slice::<Head>(json)?.clients {
            None => serde_json::from_slice(json).map(Self::Agent),
            Some(_) => serde_json::from_slice(json).map(Self::Control),
        }
    }
}

//! The answer of an agent or a control node.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tandem_core::control::ControlStatus;
use tandem_core::status::AgentStatus;
use tandem_net::process::{ProcessStatus, STATUS_FORMAT};

/// What a process answers.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) process: ProcessStatus,
    #[serde(flatten)]
    pub(super) status: Status,
}

impl Answer {
    /// The error is a sentence for a person.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let not_a_status = |why| format!("it is no status of an agent or control node: {why}");
        let process: ProcessStatus = serde_json::from_slice(json).map_err(not_a_status)?;
        if process.format > STATUS_FORMAT {
            return Err(format!(
                "it has format {}, and this program reads formats up to {STATUS_FORMAT}; use `tandem` of version {}",
                process.format, process.version
            ));
        }
        let status = Status::parse(json).map_err(not_a_status)?;
        Ok(Self { process, status })
    }
}

/// What answers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Status {
    Agent(AgentStatus),
    Control(ControlStatus),
}

impl Status {
    /// Only a control node has clients.
    fn parse(json: &[u8]) -> serde_json::Result<Self> {
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

//! Faults between the two agents of a pair, and their ends, for logs and checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Level, LogEvent};
use crate::ids::SwitchName;
use crate::log_words;
use crate::switch_identity::SwitchIdentity;
use crate::text::short;

/// An event about the peer agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum What {
    /// The peer agent sends reports.
    PeerUp {
        /// The name of the peer agent.
        agent: String,
    },
    /// It has sent none for three seconds.
    PeerDown {
        /// The name of the peer agent.
        agent: String,
    },
    /// The owners of a switch: not exactly one agent, for longer than a takeover lasts; or one again.
    Mastership {
        /// `Physical_Switch.name`.
        switch: SwitchName,
        /// The names of the agents that own it.
        owners: Vec<String>,
    },
    /// The two agents have different configurations of a switch.
    Disagreed {
        /// `Physical_Switch.name`.
        switch: SwitchName,
        /// The fingerprint of our configuration of it.
        ours: String,
        /// The fingerprint of the peer's.
        theirs: String,
    },
    /// Two switches have one name; only one of them is programmed.
    Duplicate {
        /// `Physical_Switch.name` of both.
        switch: SwitchName,
        /// The one that is programmed.
        kept: Box<SwitchIdentity>,
        /// The one that is not.
        barred: Box<SwitchIdentity>,
    },
    /// They have the same configuration again.
    Agreed {
        /// `Physical_Switch.name`.
        switch: SwitchName,
    },
}

impl LogEvent for What {
    log_words!(PeerUp, PeerDown, Mastership, Duplicate, Disagreed, Agreed);

    fn level(&self) -> Level {
        match self {
            Self::Duplicate { .. } => Level::Error,
            Self::PeerDown { .. } | Self::Disagreed { .. } => Level::Warn,
            Self::Mastership { owners, .. } if owners.len() != 1 => Level::Warn,
            Self::PeerUp { .. } | Self::Mastership { .. } | Self::Agreed { .. } => Level::Info,
        }
    }
}

impl fmt::Display for What {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerUp { agent } => write!(f, "{} sends reports", short(agent)),
            Self::PeerDown { agent } => write!(f, "no report from {} for 3 s", short(agent)),
            Self::Duplicate { switch, kept, barred } => {
                write!(
                    f,
                    "two switches are named {switch}: {kept} is programmed, {barred} is not"
                )
            }
            Self::Mastership { switch, owners } => {
                let owners: Vec<String> = owners.iter().map(|owner| short(owner)).collect();
                match owners.as_slice() {
                    [] => write!(f, "no agent owns {switch}"),
                    [owner] => write!(f, "{owner} owns {switch}"),
                    several => write!(f, "several agents own {switch}: {}", several.join(", ")),
                }
            }
            Self::Disagreed { switch, ours, theirs } => {
                let theirs = short(theirs);
                write!(
                    f,
                    "the configuration of {switch} differs from the peer's: {ours} here, {theirs} there"
                )
            }
            Self::Agreed { switch } => write!(f, "the configuration of {switch} is the same at both agents again"),
        }
    }
}

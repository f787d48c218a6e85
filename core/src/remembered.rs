//! The configuration that an agent keeps on disk: its last complete one from control nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::configuration::{Configuration, Network, SessionOptions, Switch, fnv1a};
use crate::ids::{SwitchName, Uuid};

/// A configuration and its revision.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The agent that it is for.
    agent: String,
    /// The revision, if the control node sent one.
    pub revision: Option<u64>,
    networks: BTreeMap<Uuid, Network>,
    switches: BTreeMap<SwitchName, Switch>,
}

/// The first word of the file, and the version of its form.
const HEAD: &str = "tandem-configuration 1 ";

/// Why a file is of no use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// It is of another version, or no such file.
    #[error("it is no remembered configuration of this version")]
    Form,
    /// Its hash is wrong.
    #[error("it is damaged: its hash differs")]
    Damaged,
    /// It is of another agent.
    #[error("it is of agent {0:?}")]
    OtherAgent(String),
}

impl Remembered {
    /// What is to be kept of a configuration.
    pub fn new(configuration: &Configuration, revision: Option<u64>) -> Self {
        Self {
            agent: configuration.session.agent.clone(),
            revision,
            networks: configuration.networks.clone(),
            switches: configuration.switches.clone(),
        }
    }

    /// The configuration, with the present options of sessions.
    pub fn configuration(self, session: SessionOptions) -> Configuration {
        Configuration {
            session,
            networks: self.networks,
            switches: self.switches,
        }
    }

    /// The content of the file: a line with a version and the hash of the rest, and the rest as JSON.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut file = format!("{HEAD}{:032x}\n", fnv1a(&json)).into_bytes();
        file.extend(json);
        file
    }

    /// Reads the file of an agent. A file that was changed by a single bit is refused.
    ///
    /// # Errors
    /// The file is damaged, of another version, or of another agent.
    pub fn decode(file: &[u8], agent: &str) -> Result<Self, Unusable> {
        let rest = file.strip_prefix(HEAD.as_bytes()).ok_or(Unusable::Form)?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Unusable::Damaged)?;
        let (hash, json) = (rest.get(..end), rest.get(end + 1..));
        let (Some(hash), Some(json)) = (hash, json) else {
            return Err(Unusable::Damaged);
        };
        if hash != format!("{:032x}", fnv1a(json)).as_bytes() {
            return Err(Unusable::Damaged);
        }
        let remembered: Self = serde_json::from_slice(json).map_err(|_| Unusable::Form)?;
        if remembered.agent == agent {
            Ok(remembered)
        } else {
            Err(Unusable::OtherAgent(remembered.agent))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::configuration::CertificateRule;
    use crate::ids::Vni;
    use crate::machine::Fingerprint;

    fn configuration() -> Configuration {
        let network = Network {
            name: "blue".into(),
            vni: Vni::new(5001).expect("a VNI"),
            remote_macs: BTreeMap::new(),
        };
        let switch = |certificate| Switch {
            vtep: Some(Ipv4Addr::new(10, 0, 1, 1)),
            certificate,
            ports: BTreeMap::from([("eth1".into(), BTreeMap::from([(10, Uuid(1)), (20, Uuid(1))]))]),
            sole_manager: true,
            rows_per_transaction_max: Some(50),
        };
        let rules = [
            None,
            Some(CertificateRule::Named("tor".into())),
            Some(CertificateRule::Pinned(Fingerprint([7; 32]))),
        ];
        let switches = rules.into_iter().enumerate();
        Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::from([(Uuid(1), network)]),
            switches: switches
                .map(|(number, rule)| (format!("tor{number}").as_str().into(), switch(rule)))
                .collect(),
        }
    }

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        let before = configuration();
        let file = Remembered::new(&before, Some(5)).encode();
        let remembered = Remembered::decode(&file, "agent-a").expect("a configuration");
        assert_eq!(remembered.revision, Some(5));
        assert_eq!(remembered.configuration(before.session.clone()), before);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_anywhere_is_refused() {
        let file = Remembered::new(&configuration(), None).encode();
        for at in 0..file.len() {
            assert!(Remembered::decode(&file[..at], "agent-a").is_err(), "cut at {at}");
            let mut changed = file.clone();
            changed[at] ^= 4;
            assert!(Remembered::decode(&changed, "agent-a").is_err(), "changed at {at}");
        }
    }

    #[test]
    fn the_file_of_another_agent_is_refused() {
        let file = Remembered::new(&configuration(), Some(5)).encode();
        let refused = Remembered::decode(&file, "agent-b");
        assert_eq!(refused, Err(Unusable::OtherAgent("agent-a".into())));
    }
}

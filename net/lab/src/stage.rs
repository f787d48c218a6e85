//! What tests start from that need no proxy: one agent, and switches that dial it directly.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::Result;
use super::agent::{Agent, AgentOptions};
use super::pki::Pki;
use super::port::Loopback;
use super::scratch::Scratch;
use super::switch::{Manager, PhysicalSwitch, SwitchOptions};

/// A place for an agent and switches, each of which is started when the test is ready for it.
pub struct Stage {
    /// The authority of all certificates.
    pub pki: Pki,
    /// Whose addresses they have.
    pub loopback: Loopback,
    /// The folder of their files.
    pub scratch: Scratch,
}

/// The services node of the agent.
pub const TSN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

/// Where the agent listens on [`Stage::loopback`].
const AGENT: u8 = 11;

impl Stage {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        Ok(Self {
            pki: Pki::new(scratch.folder("pki")?)?,
            loopback: Loopback::claim()?,
            scratch,
        })
    }

    /// An agent without networks and switches, with [`TSN`] as its services node.
    pub fn agent(&self) -> Result<AgentOptions> {
        let (name, address) = ("agent-a", self.loopback.address(AGENT));
        Ok(AgentOptions::new(name, address, TSN, self.pki.issue(name)?))
    }

    /// A switch with ports `eth1` and `eth2` and the tunnel end 10.0.1.1, which dials that agent once a second.
    ///
    /// The timers of its `Manager` row are all set, so that an agent leaves it alone.
    pub fn switch(&self, name: &str) -> Result<SwitchOptions> {
        Ok(SwitchOptions {
            physical_switches: vec![PhysicalSwitch {
                name: name.into(),
                tunnel_ip: "10.0.1.1".into(),
                ports: vec!["eth1".into(), "eth2".into()],
            }],
            managers: vec![Manager {
                target: format!("ssl:{}:6640", self.loopback.address(AGENT)),
                max_backoff_ms: Some(1000),
                inactivity_probe_ms: Some(5000),
            }],
            credentials: Some(self.pki.issue(name)?),
            ..SwitchOptions::default()
        })
    }

    /// Polls until the condition yields something; see [`Scratch::wait_until`]. Guards against hanging only: what was
    /// quarantined is left alone for a minute.
    pub fn wait<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> Result<T> {
        self.scratch.wait_until(what, Duration::from_secs(180), condition)
    }

    /// Waits until the agent owns the switch and has nothing left to do, and answers its session's status.
    pub fn converged(&self, agent: &Agent, switch: &str) -> Result<Value> {
        self.wait(&format!("an agent that has nothing left to do on {switch}"), || {
            agent.session(switch).filter(|session| {
                !session["takeover_ms"]["audited"].is_null() && session["pending"] == 0 && session["in_flight"] == 0
            })
        })
    }
}

impl Agent {
    /// The status of its newest session with a switch; `None` if there is none.
    pub fn session(&self, switch: &str) -> Option<Value> {
        let status = self.status().ok()?;
        status["switches"][switch]["sessions"].as_array()?.last().cloned()
    }

    /// The lines of its log that contain all of these words.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let log = self.log().into_iter();
        log.filter(|line| words.iter().all(|word| line.contains(word)))
            .collect()
    }
}

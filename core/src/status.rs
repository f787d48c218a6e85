//! The status of an agent, as plain data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::alarm::SessionAlarm;
use crate::close::CloseCounts;
use crate::evpn::Unusable;
use crate::health::Grade;
use crate::ids::{ConnId, Generation, PortName, SwitchName};
use crate::machine::Fingerprint;

/// An agent, as `/status` serves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent's name.
    pub agent: String,
    /// Its services node.
    pub tsn: Ipv4Addr,
    /// Whether it passes its probes; `None` before the first result, and without a probe.
    #[serde(default)]
    pub tsn_alive: Option<bool>,
    /// The grade that the health port announces.
    pub grade: Grade,
    /// Its control nodes, those that it dials first; none if the configuration comes from a file alone.
    #[serde(default)]
    pub control_nodes: Vec<UplinkStatus>,
    /// The revision of the configuration in force; `None` before one arrived, or if it comes from a file.
    #[serde(default)]
    pub revision: Option<u64>,
    /// That configuration is the one that the agent remembered from its last life.
    #[serde(default)]
    pub remembered: bool,
    /// The other agent of the pair; `None` if this one knows of no other.
    #[serde(default)]
    pub peer: Option<PeerStatus>,
    /// One entry for every configured switch, with or without a session.
    pub switches: BTreeMap<SwitchName, SwitchStatus>,
    /// Connections that have not named a configured switch.
    pub unidentified: Vec<UnidentifiedStatus>,
    /// Sessions with switches, and connections that got none, that ended since the start.
    #[serde(default)]
    pub closed: CloseCounts,
    /// Dials of control nodes, and sessions with them, that ended since the start.
    #[serde(default)]
    pub closed_uplinks: CloseCounts,
}

/// A place for a control node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Its name; `None` while no session is open.
    pub name: Option<String>,
    /// Its configuration is in force.
    pub configures: bool,
    /// The revision of the configuration that it sent; `None` if it sent none.
    #[serde(default)]
    pub revision: Option<u64>,
    /// That configuration has differed from the one in force for five seconds.
    #[serde(default)]
    pub disagrees: bool,
    /// Why its configuration is ignored, if it is.
    #[serde(default)]
    pub ignored: Option<Ignored>,
    /// Dials and sessions that failed since the last session opened.
    pub failures: u32,
    /// Subscribed instances.
    pub instances: usize,
    /// Of those, the instances of which it has sent every route.
    pub instances_complete: usize,
    /// Routes that were sent to it.
    pub routes_sent: usize,
    /// Routes that are marked for it and not yet compared or sent.
    pub routes_pending: usize,
    /// Unusable routes that it sent in this session, by reason.
    #[serde(default)]
    pub routes_unusable: BTreeMap<Unusable, u64>,
}

/// Why the configuration of a control node is ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// Its revision is lower than the one in force.
    Outdated,
    /// It is larger than an agent accepts.
    TooLarge,
}

/// The other agent of the pair, as it reports itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name; `None` while it sends no reports.
    pub agent: Option<String>,
    /// The grade on its health port.
    pub grade: Option<Grade>,
}

/// A fault of a switch between the two agents of a pair.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Neither agent owns the switch.
    Ownerless,
    /// Both agents claim that they own it.
    Contested,
    /// The two agents have different configurations of it.
    Disagreed,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 3] = [Self::Ownerless, Self::Contested, Self::Disagreed];

    /// The label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ownerless => "ownerless",
            Self::Contested => "contested",
            Self::Disagreed => "disagreed",
        }
    }
}

/// A configured switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SwitchStatus {
    /// Its sessions with this agent, the newest last; usually one or none.
    pub sessions: Vec<SessionStatus>,
    /// Routes of this switch that are exported at the moment.
    pub exported: usize,
    /// The fingerprint of its configuration: another fingerprint means another configuration.
    #[serde(default)]
    pub fingerprint: String,
    /// The other agent of the pair reports that it owns the switch.
    #[serde(default)]
    pub at_peer: bool,
    /// The faults between the two agents of the pair that have lasted for a while.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// A connection that is open and has not named a configured switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnidentifiedStatus {
    /// The connection.
    pub conn: ConnId,
    /// The address that it comes from.
    pub from: SocketAddr,
    /// The switches that it named, none of them configured here.
    pub named: Vec<SwitchName>,
}

/// One session with a switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The connection.
    pub conn: ConnId,
    /// Which session of this agent it is.
    pub generation: Generation,
    /// The address of the switch.
    pub from: SocketAddr,
    /// The fingerprint of the switch's certificate, where the configuration ties none to its name; `None` without TLS.
    #[serde(default)]
    pub unbound_certificate: Option<Fingerprint>,
    /// Its phase.
    pub phase: Phase,
    /// Whether it may write.
    pub ownership: Ownership,
    /// The version of the switch's schema.
    pub schema: String,
    /// Rows that the switch learned (`Ucast_Macs_Local`).
    pub rows_local: usize,
    /// Rows found in `Ucast_Macs_Remote`.
    pub rows_remote: usize,
    /// Rows of the desired state for `Ucast_Macs_Remote`.
    pub rows_desired: usize,
    /// Objects that differ and are not in flight. None, while it is not ours to write them.
    pub pending: usize,
    /// Transactions that await their reply.
    pub in_flight: usize,
    /// Why some of what is pending cannot be written yet: (object, reason), bounded.
    pub blocked: Vec<(String, String)>,
    /// Objects that keep failing: (object, reason).
    pub quarantine: Vec<(String, String)>,
    /// The faults that the switch reports of itself and of its ports, bounded.
    #[serde(default)]
    pub faults: Vec<SwitchFault>,
    /// The faults that need an operator.
    #[serde(default)]
    pub alarms: Vec<SessionAlarm>,
    /// Repairs of objects that other clients had changed.
    #[serde(default)]
    pub repairs: u64,
    /// Echoes of ours that stayed without any byte for a whole interval.
    pub keepalive_misses: u64,
    /// Warnings and errors of this session, by their words in the log, which summarises them.
    #[serde(default)]
    pub warnings: BTreeMap<String, u64>,
    /// The time since the connection was accepted, in milliseconds.
    pub age_ms: f64,
    /// When each step of the takeover was reached, in milliseconds since the connection was accepted.
    pub takeover_ms: Takeover,
}

/// A fault that a switch reports in its database.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SwitchFault {
    /// The switch.
    pub switch: SwitchName,
    /// The port; `None` for a fault of the whole switch.
    pub port: Option<PortName>,
    /// The fault as the switch names it, such as `mac_table_exhaustion`.
    pub fault: String,
}

impl fmt::Display for SwitchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { switch, port, fault } = self;
        match port {
            Some(port) => write!(f, "port {port} of {switch}: {fault}"),
            None => write!(f, "{switch}: {fault}"),
        }
    }
}

/// The phase of a session: its knowledge of the switch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing yet.
    Opened,
    /// The schema.
    Identifying,
    /// The name of the switch, and its small tables.
    Reading,
    /// Every table, compared with the desired state.
    Synced,
    /// The session is over.
    Closing,
}

impl Phase {
    /// The text in JSON and in the labels of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Identifying => "identifying",
            Self::Reading => "reading",
            Self::Synced => "synced",
            Self::Closing => "closing",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Whether a session may write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// Not yet: another connection holds the lock, or the session has not asked for it.
    Waiting,
    /// It holds the lock.
    Held,
    /// Another client took the lock from it.
    Lost,
    /// It writes without a lock: the switch knows none.
    Lockless,
    /// It must not write, whatever the lock: an alarm has the reason.
    Barred,
}

impl Ownership {
    /// The session is the one that writes.
    pub const fn owns(self) -> bool {
        match self {
            Self::Held | Self::Lockless => true,
            Self::Waiting | Self::Lost | Self::Barred => false,
        }
    }

    /// The text in JSON and in the labels of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Lost => "lost",
            Self::Lockless => "lockless",
            Self::Barred => "barred",
        }
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// The kind of a database server, as `_Server.Database.model` names it. Locks belong to one server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerModel {
    /// The only server of its database: its lock fences.
    Standalone,
    /// One of several servers of a database, each of which grants its own locks.
    Clustered,
    /// It passes transactions on to another server, which knows nothing of its locks.
    Relay,
}

impl ServerModel {
    /// Whether a lock of this server keeps the clients of every other server from writing.
    pub const fn fences(self) -> bool {
        match self {
            Self::Standalone => true,
            Self::Clustered | Self::Relay => false,
        }
    }
}

impl fmt::Display for ServerModel {
    /// Why its lock fences, or fences nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "the server is standalone: its lock fences",
            Self::Clustered => "the database is clustered, and each server of the cluster grants its own lock",
            Self::Relay => "the server is a relay, and the server behind it does not know its lock",
        })
    }
}

/// The steps of a takeover; `None` where it has not come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// The TLS handshake was done.
    pub tls: Option<f64>,
    /// The switch had named itself.
    pub identified: Option<f64>,
    /// The lock was ours.
    pub locked: Option<f64>,
    /// The broadcast rows named our services node.
    pub claimed: Option<f64>,
    /// Every table was read.
    pub read: Option<f64>,
    /// Nothing differed any more from what is wanted.
    pub audited: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_each_value_is_its_text_in_json() {
        for phase in [
            Phase::Opened,
            Phase::Identifying,
            Phase::Reading,
            Phase::Synced,
            Phase::Closing,
        ] {
            assert_eq!(text(phase), phase.label());
        }
        for ownership in [
            Ownership::Waiting,
            Ownership::Held,
            Ownership::Lost,
            Ownership::Lockless,
            Ownership::Barred,
        ] {
            assert_eq!(text(ownership), ownership.label());
        }
        for alarm in Alarm::ALL {
            assert_eq!(text(alarm), alarm.label());
        }
    }

    fn text(value: impl Serialize) -> String {
        let json = serde_json::to_string(&value).expect("JSON");
        json.trim_matches('"').to_owned()
    }
}

//! The plan of a run: nodes, settings, workload, and faults with their times.
//!
//! A plan is the replay artefact. A seed expands to one ([`swarm`]), an engineer writes one (`scenarios/`), the
//! shrinker makes a smaller one; the world runs it. Everything random that is left (latencies, the order of concurrent
//! events) depends on `seed` alone, so that a plan runs the same way every time.
//!
//! Nodes have fixed names: switches `tor1`, `tor2` ..., agents `agent-a`, `agent-b` ..., proxies `proxy-1`, `proxy-2`,
//! control nodes `control-1`, `control-2` ..., vRouters `vrouter-1`, `vrouter-2`.

pub mod check;
pub mod describe;
pub mod kind;
pub mod names;
pub mod read;
pub mod shrink;
pub mod span;
pub mod swarm;
pub mod write;

use serde::{Deserialize, Serialize};
use tandem_core::status::ServerModel;

use crate::socket::CheckKind;
pub use kind::Kind;
pub use names::Role;
pub use read::PlanError;
pub use span::Span;

/// A run, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The name that people use.
    pub name: String,
    /// Decides every latency and every order that the plan leaves open.
    pub seed: u64,
    /// How long faults and workload go on. Then a core is healed, and everything must converge.
    pub duration: Span,
    #[serde(default)]
    pub topology: Topology,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub agent: Agent,
    #[serde(default)]
    pub proxy: Proxy,
    #[serde(default)]
    pub switch: Switch,
    #[serde(default)]
    pub workload: Workload,
    #[serde(default)]
    pub judgement: Judgement,
    /// The planted bug that every agent has; never part of a file.
    #[cfg(feature = "mutants")]
    #[serde(skip)]
    pub mutant: Option<tandem_core::mutant::Mutant>,
    /// The faults, by time.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Scheduled>,
}

/// The nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// 1 to 6.
    pub switches: usize,
    /// 2 or more, each with its services node.
    pub agents: usize,
    /// 1 or 2; two share the virtual IP.
    pub proxies: usize,
    /// 0 to 3. With none, the operator configures the agents, and no route gets from one switch to another.
    pub control_nodes: usize,
    /// 0 to 2. They receive the routes of every network from the control nodes, and publish none.
    pub vrouters: usize,
    /// `Manager` targets of a switch: 1, or 2, each a port of the proxy with its own agent first.
    pub targets: usize,
    /// Networks; every switch has the first port in all of them, a VLAN for each.
    pub networks: usize,
    /// Remote MACs of each network at the beginning.
    pub remote_macs: usize,
    /// MACs that each switch has learned in each network at the beginning.
    pub local_macs: usize,
}

/// How the links behave while nothing is broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One way, at least and at most.
    pub latency: [Span; 2],
    /// How many in a thousand pieces of a stream arrive cut in two.
    pub split_permille: u32,
}

/// How the agents are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// T of the keepalive; `0s` switches it off.
    pub keepalive: Span,
    /// From start to a complete configuration; until then only half of it is known.
    pub configured_after: Span,
    /// How many agents, counted from the last, are configured for no switch of this world.
    pub strangers: usize,
    /// Whether the `Manager` row gets timers.
    pub manager: bool,
    /// What TLS takes of the processor, at either end.
    pub tls: Span,
    /// The agents send each other a report every second.
    pub pair: bool,
    /// Each agent probes its services node, and notices at once when it is dead.
    pub tsn_probe: bool,
    /// The agents keep their last complete configuration on disk.
    pub remember: bool,
    /// How long both agents hold a copy of a route that no agent exports any more; `0s` switches it off.
    pub stale_hold: Span,
    /// The bound of the brake in rows, beside 30 percent; 0 switches it off. An operator confirms what it withholds.
    #[serde(skip_serializing_if = "is_off")]
    pub brake_rows: usize,
}

/// How the proxies are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// What a health check asks.
    pub check: CheckKind,
    pub inter: Span,
    pub fastinter: Span,
    pub downinter: Span,
    pub fall: u32,
    pub rise: u32,
    pub timeout_check: Span,
    pub timeout_connect: Span,
    /// `timeout client`; `0s` is none.
    pub timeout_client: Span,
    /// `timeout server`; `0s` is none.
    pub timeout_server: Span,
    pub retries: u32,
    pub redispatch: bool,
    /// `on-marked-down shutdown-sessions`.
    pub shutdown_sessions: bool,
    /// `agent-check`, every `inter`.
    pub agent_check: bool,
    /// VRRP: from one advertisement to the next.
    pub advert: Span,
    /// VRRP: how often a node looks whether its proxy lives; two failures in a row give the address away. `0s`: never.
    pub track: Span,
}

/// How the switches are set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switch {
    /// The version of the schema, such as `1.7.0`.
    pub schema: String,
    /// `Manager.max_backoff`, if the row has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_backoff: Option<Span>,
    /// `Manager.inactivity_probe`, if the row has one; `0s` switches it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactivity_probe: Option<Span>,
    /// Whether the server knows `monitor_cond`.
    pub monitor_cond: bool,
    /// Microseconds that the server is busy, and reads nothing, for each row of a dump.
    pub dump_us_per_row: u32,
    /// Foreign logical switches, with MACs and bindings of their own, that no agent may touch.
    pub foreign: usize,
    /// Switches have certificates with their names, and the agents accept no others.
    pub certificates: bool,
    /// What the servers are, by their own word.
    pub model: ServerModel,
    /// The servers know no locks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lockless: bool,
    /// The configuration promises that no other program writes to the switches, whatever their `Manager` rows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sole_manager: bool,
    /// `Manager` rows of other programs, which read at most. None of them runs.
    #[serde(skip_serializing_if = "is_off")]
    pub other_managers: usize,
    /// The most rows that a transaction of an agent may write, by the configuration; without it, what the agent chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_transaction_max: Option<usize>,
    /// A switch that is given the remote row of a MAC drops its own local row of it; otherwise that stays until it ages
    /// out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drops_moved: bool,
}

/// What goes on besides faults. Rates are events an hour of simulated time, of the whole world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// A switch learns, forgets, or moves a MAC.
    pub local_changes_per_h: u32,
    /// A remote MAC comes, goes, or moves.
    pub remote_changes_per_h: u32,
    /// A network, a binding or a VNI changes in the configuration.
    pub configuration_changes_per_h: u32,
}

/// What is asked of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Judgement {
    /// The longest time that the healed core may take; without it, what the configured timers allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converge: Option<Span>,
    /// After convergence everything is withdrawn, and memories are compared with those of programs that were just started.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// Checks whose violation is expected of this plan, such as `S2`; each must be explained in a comment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excuse: Vec<String>,
    /// This check must fail: for plans that show what a wrong setting costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_fail: Option<String>,
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// From the beginning.
    pub at: Span,
    /// How long it lasts; without it, until the core is healed. A fault of a moment ([`Kind::is_momentary`]) has none.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    #[serde(flatten)]
    pub fault: Fault,
}

/// A fault. A key `node` takes the name of any node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The program ends (its kernel closes its sockets), and is started again afterwards.
    Crash { node: String },
    /// The whole host loses power, without a FIN or RST, and boots again afterwards.
    PowerLoss { node: String },
    /// The program hangs; its kernel still takes connections.
    Pause { node: String },
    /// An agent is asked to leave in good order (SIGTERM), and started again afterwards.
    Drain { agent: String },
    /// Nothing gets from one to the other; the other way is open. Lost bytes are sent again when it heals.
    Cut { from: String, to: String },
    /// Nothing gets through between this node and all others.
    Isolate { node: String },
    /// Everything between the two takes `times` as long.
    Slow { from: String, to: String, times: u32 },
    /// Nothing arrives between the two until it heals, and then everything, in order.
    Jam { from: String, to: String },
    /// Every connection between the two is reset, at both ends.
    Reset { between: String, and: String },
    /// The proxy is reloaded: a new process takes new connections, the old one keeps the old ones, for ten minutes.
    Reload { proxy: String },
    /// The second proxy gets the higher priority, and takes the virtual IP; afterwards the first takes it back.
    MoveVip,
    /// Adverts get lost between the proxies, and both hold the virtual IP.
    SplitVip,
    /// A switch reboots: it is away for a while, then dials again, with or without what it had been programmed.
    Reboot { switch: String, keeps_database: bool },
    /// An operator edits the database of a switch.
    Edit { switch: String, what: Edit },
    /// A client steals the lock, and keeps it until the fault ends.
    Steal { switch: String },
    /// TLS handshakes with this agent are refused, stall, or are slow.
    Tls { agent: String, how: TlsFault },
    /// The clock of a node runs fast or slow by `ppm` millionths.
    Drift { node: String, ppm: i32 },
    /// The services node of an agent dies alone.
    TsnDeath { agent: String },
    /// The operator changes the configuration of all agents, or of all control nodes, one after the other.
    Configure { what: Configure },
    /// A node with a certificate of its own opens sessions with a control node, and publishes routes that lead frames away.
    Intrude { control: String, how: Intrusion },
    /// A second box that has the name of a switch, but another tunnel end and another certificate, dials the agents.
    Twin { switch: String },
    /// The certificate of a switch has ended, until another one is issued.
    Expire { switch: String },
    /// Another program deletes a remote MAC that the agents want, again and again.
    Undo { switch: String },
    /// The server has no room: it refuses whatever its clients write.
    Full { switch: String },
    /// An operator takes an agent out of every proxy: `set server ... state maint`, and `ready` afterwards.
    Maint { agent: String },
    /// Something happens to the file in which an agent remembers its configuration.
    Disk { agent: String, how: DiskFault },
}

/// The fault of TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsFault {
    Refused,
    Stalled,
    Slow,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// It goes.
    Lost,
    /// Its second half goes.
    Torn,
    /// A bit of it changes.
    Damaged,
    /// It is the first that the agent wrote.
    Old,
}

/// What an intruder at a control node pretends to be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intrusion {
    /// It uses the names of the agents and vRouters, one after the other.
    TakenName,
    /// It uses a name that no inventory contains.
    UnknownName,
    /// The inventory lists it, and it publishes tunnel ends of others.
    ForeignTunnelEnd,
}

/// What people do to a database by hand.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The broadcast rows of one network go.
    DeleteBroadcast,
    /// A broadcast row points to a stranger.
    MisdirectBroadcast,
    /// A second broadcast row, with `ff:ff:ff:ff:ff:ff`.
    DuplicateBroadcast,
    /// A broadcast row has a stranger as a second tunnel end.
    WidenBroadcast,
    /// Some wanted remote MACs go.
    DeleteRemote,
    /// A wanted remote MAC is there twice.
    DuplicateRemote,
    /// A wanted remote MAC points to a stranger.
    MisdirectRemote,
    /// A remote MAC that no configuration contains, in a network of ours.
    StrayRemote,
    /// All bindings of a port go.
    ClearBindings,
    /// A wanted binding points to a foreign logical switch.
    MisbindPort,
    /// A logical switch of ours gets another VNI.
    WrongVni,
    /// A wanted logical switch goes, with everything in it.
    DeleteLogicalSwitch,
    /// A foreign logical switch, with MACs in it, comes.
    AddForeign,
    /// The switch gets another tunnel end: `tunnel_ips`, all that it has learned, and what the operator wants of it.
    MoveTunnelEnd,
}

/// What an operator changes in the configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Configure {
    /// A network more, bound on every switch.
    AddNetwork,
    /// The last network goes.
    RemoveNetwork,
    /// The first two networks swap their VNIs.
    SwapVnis,
    /// The last network moves to another port.
    Rebind,
    /// All networks but the first get lost, and are back the next time.
    LoseNetworks,
}

impl Plan {
    /// Whether nothing fences the writes to a switch: it knows no locks, has several managers, and the operator does not
    /// promise that only one of them writes.
    pub fn is_unfenced(&self) -> bool {
        let managers = self.topology.targets + self.switch.other_managers;
        self.switch.lockless && managers > 1 && !self.switch.sole_manager
    }

    /// The fault of this number, from 1 on: as logs and errors count them.
    pub fn fault(&self, number: usize) -> Option<&Scheduled> {
        self.faults.get(number.checked_sub(1)?)
    }
}

/// Plans that were written before there was such a key stay as they are.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_off(count: &usize) -> bool {
    *count == 0
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            switches: 1,
            agents: 2,
            proxies: 1,
            control_nodes: 0,
            vrouters: 0,
            targets: 1,
            networks: 2,
            remote_macs: 10,
            local_macs: 5,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: [Span::micros(50), Span::micros(200)],
            split_permille: 20,
        }
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            keepalive: Span::seconds(10),
            configured_after: Span::ZERO,
            strangers: 0,
            manager: true,
            tls: Span::millis(4),
            pair: false,
            tsn_probe: false,
            remember: false,
            stale_hold: Span::ZERO,
            brake_rows: 0,
        }
    }
}

/// As the book's chapter on HAProxy recommends.
impl Default for Proxy {
    fn default() -> Self {
        Self {
            check: CheckKind::Echo,
            inter: Span::millis(200),
            fastinter: Span::millis(100),
            downinter: Span::millis(500),
            fall: 2,
            rise: 2,
            timeout_check: Span::millis(300),
            timeout_connect: Span::millis(300),
            timeout_client: Span::ZERO,
            timeout_server: Span::ZERO,
            retries: 3,
            redispatch: true,
            shutdown_sessions: true,
            agent_check: true,
            advert: Span::seconds(1),
            track: Span::seconds(1),
        }
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            schema: "1.7.0".into(),
            max_backoff: None,
            inactivity_probe: None,
            monitor_cond: true,
            dump_us_per_row: 10,
            foreign: 1,
            certificates: false,
            model: ServerModel::Standalone,
            lockless: false,
            sole_manager: false,
            other_managers: 0,
            rows_per_transaction_max: None,
            drops_moved: false,
        }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            local_changes_per_h: 360,
            remote_changes_per_h: 360,
            configuration_changes_per_h: 0,
        }
    }
}

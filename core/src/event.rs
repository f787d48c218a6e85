//! Events of sessions: logs, metrics and checks read the same ones.

mod text;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::author::Provenance;
use crate::close::{CloseReason, CloseWhy, Fault};
use crate::configuration::VlanId;
use crate::ids::{ConnId, Generation, LogicalSwitchName, Mac, PortName, SwitchName, Uuid};
use crate::status::ServerModel;

/// An event as a log shows it: a level, a word that an operator can search for, and the details (`Display`).
///
/// A word has one meaning over the whole program; a test compares the words of every event type.
pub trait LogEvent: fmt::Display {
    /// Every word of this type, without those of the events that it wraps.
    const WORDS: &'static [&'static str];

    /// The word of this event: the name of its variant.
    fn word(&self) -> &'static str;

    /// The level of the line.
    fn level(&self) -> Level {
        Level::Info
    }

    /// Why a connection ended, of the events that report an end: a field of the line.
    fn close_reason(&self) -> Option<CloseReason> {
        None
    }
}

/// The level of a line in the log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// One of many, such as a route.
    Debug,
    /// A change of state.
    Info,
    /// An operator should look at it some day.
    Warn,
    /// An operator should look at it now.
    Error,
}

impl Level {
    /// The level of the end of a connection: a bug of ours is an error, any other fault a warning.
    pub fn of_close(why: &CloseWhy) -> Self {
        match why.fault {
            Some(Fault::OurBug) => Self::Error,
            Some(_) => Self::Warn,
            None => Self::Info,
        }
    }
}

/// Within an `impl LogEvent`: the words of an enum are the names of its variants, all of which are listed here.
///
/// Behind a semicolon stand the variants that wrap another event, whose word is theirs:
/// `log_words!(Graded, Drained; Session, Uplink);`
#[macro_export]
macro_rules! log_words {
    ($($word:ident),* $(,)? $(; $($wrapped:ident),+)?) => {
        const WORDS: &'static [&'static str] = &[$(stringify!($word)),*];

        fn word(&self) -> &'static str {
            match self {
                $(Self::$word { .. } => stringify!($word),)*
                $($(Self::$wrapped(event) => $crate::event::LogEvent::word(event),)+)?
            }
        }
    };
}

/// Something that happened in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The connection.
    pub conn: ConnId,
    /// Which session of this agent: news of an older session never touches a newer one's.
    pub generation: Generation,
    /// The event.
    #[serde(flatten)]
    pub what: What,
}

/// The events: the eight words of a route, and the transitions around them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum What {
    /// A connection is there, and the first requests are on their way.
    Opened {
        /// The address of the switch; behind a proxy, the one that the proxy reports.
        from: SocketAddr,
    },
    /// The database named switches that we are configured to manage.
    Identified {
        /// `Physical_Switch.name` of each that is configured.
        switches: Vec<SwitchName>,
        /// The version of the schema, such as `1.7.0`.
        schema: String,
    },
    /// The database names no switch that we are configured to manage; nothing is claimed.
    Unidentified {
        /// `Physical_Switch.name` of each; none of them is configured.
        named: Vec<SwitchName>,
    },
    /// Another client holds the lock: the session reads, and waits.
    Waiting,
    /// The lock is ours: the session writes from now on.
    Locked,
    /// The server knows no locks.
    Lockless {
        /// The session writes all the same.
        may_write: bool,
        /// The number of rows in `Manager`.
        managers: usize,
    },
    /// The lock of this server fences nothing: the session keeps reading, and writes nothing.
    Unfenced {
        /// The kind of the server.
        model: ServerModel,
    },
    /// The switch's own tunnel ends are not the configured one.
    TunnelEndWrong {
        /// `Physical_Switch.name`.
        switch: SwitchName,
        /// The configured tunnel end.
        vtep: Ipv4Addr,
        /// `Physical_Switch.tunnel_ips`.
        tunnel_ips: Vec<Ipv4Addr>,
    },
    /// The switch has the configured tunnel end again.
    TunnelEndRight {
        /// `Physical_Switch.name`.
        switch: SwitchName,
    },
    /// The switch reports other faults than before, of itself or of a port; none when they are over.
    SwitchFaults {
        /// `Physical_Switch.name`.
        switch: SwitchName,
        /// `Physical_Port.name`; `None` for the whole switch.
        port: Option<PortName>,
        /// `switch_fault_status` or `port_fault_status`.
        faults: Vec<String>,
    },
    /// Another client stole the lock from us.
    Stolen,
    /// Every broadcast row that was there names our services node now. `rows` were changed for that.
    Claimed {
        /// The number of changed rows.
        rows: usize,
    },
    /// Every table was read.
    Read {
        /// Rows in `Ucast_Macs_Local`.
        local: usize,
        /// Rows in `Ucast_Macs_Remote`.
        remote: usize,
    },
    /// After a takeover, nothing differs any more from what is desired, but for what is `left`.
    Audited {
        /// Rows that were written since the takeover began.
        rows_written: usize,
        /// Objects that still differ.
        left: usize,
    },
    /// The switch learned a route, and the session exports it.
    Exported(Route),
    /// The switch removed a route.
    Withdrawn(Route),
    /// The session ended, and with it every route that it had exported.
    Retracted {
        /// The number of routes.
        routes: usize,
    },
    /// A transaction was applied.
    Programmed {
        /// The kind of its objects.
        lane: Lane,
        /// The number of objects that it brought into line.
        objects: usize,
        /// The number of rows that it touched.
        rows: usize,
    },
    /// The switch rejected a transaction; it is split, or tried again later.
    TransactionRejected {
        /// The kind of its objects.
        lane: Lane,
        /// The number of its objects.
        objects: usize,
        /// The error as the switch sent it.
        text: String,
    },
    /// The server has no room: nothing of this lane is written, but for one transaction now and then that probes.
    WritesStopped {
        /// The lane.
        lane: Lane,
        /// The error as the switch sent it.
        reason: String,
    },
    /// A table is at its limit: what does not fit waits.
    TableFull {
        /// The name of the table.
        table: String,
        /// Whose limit, and how many rows.
        limit: String,
    },
    /// Nothing waits for room in a table any more.
    TableHasRoom {
        /// The name of the table.
        table: String,
    },
    /// The server has room again.
    WritesResumed {
        /// The lane.
        lane: Lane,
    },
    /// An object keeps failing and is left alone for a while.
    Quarantined {
        /// Which object.
        object: Object,
        /// The error as the switch sent it last.
        reason: String,
    },
    /// Another client had changed a row of ours, and it is as desired again.
    Repaired {
        /// Which object.
        object: Object,
    },
    /// A configuration no longer desires this, in a switch that was read before.
    Reconfigured {
        /// Who changed it, if that is known.
        change: Option<Provenance>,
        /// Bindings that go, beyond those that are bound anew.
        bindings: usize,
        /// Logical switches that go.
        logical_switches: usize,
        /// Remote MACs that go.
        macs: usize,
    },
    /// Too much would be deleted at once: the deletions wait for an operator.
    DeletionsWithheld {
        /// What was lost.
        loss: Loss,
        /// The network that has all these rows; `None`: the rows are those of the switch.
        network: Option<Uuid>,
        /// Rows that would be deleted, and those that went within the last minute because of routes.
        deletions: usize,
        /// All rows of ours that there were.
        of: usize,
    },
    /// Deletions are no longer withheld, although no operator has confirmed them: the rows are desired again, or are few.
    DeletionsReleased {
        /// What was lost.
        loss: Loss,
    },
    /// An operator confirmed the deletions.
    DeletionsConfirmed {
        /// Rows that are deleted.
        deletions: usize,
    },
    /// Another client changes objects as often as they are repaired: another program writes to the switch.
    Contested {
        /// The number of objects.
        objects: usize,
        /// Repairs since the last such event.
        repairs: usize,
        /// One of the objects.
        object: Object,
        /// What the other client wrote.
        found: String,
    },
    /// Another client had bound a port and VLAN of ours to a logical switch of its own; that binding was replaced.
    BindingReplaced {
        /// The switch that has the port.
        switch: SwitchName,
        /// `Physical_Port.name`.
        port: PortName,
        /// The VLAN of the port.
        vlan: VlanId,
        /// The logical switch that it was bound to.
        foreign: LogicalSwitchName,
    },
    /// A logical switch that is not ours has the VNI of a network, whose own logical switch waits for it.
    VniTaken {
        /// The network.
        network: Uuid,
        /// Its VNI.
        vni: i64,
        /// `Logical_Switch.name` of the one that has it.
        foreign: LogicalSwitchName,
    },
    /// No `Manager` row is the one whose timers are to be set, and the switch dials some that lack timers.
    TimersUnset {
        /// The rows that the switch dials.
        rows: usize,
        /// The target that is configured, and that no row has.
        target: Option<String>,
    },
    /// The switch refuses the lock, as a standby does: the session reads, and asks again.
    LockRefused {
        /// The error as the switch sent it.
        text: String,
    },
    /// Nothing was received for an interval; an echo is on its way.
    Echoed,
    /// The peer sent something that means nothing to us; the first of its kind in this session.
    Ignored {
        /// The content, for people; the text comes from the peer.
        what: String,
    },
    /// The agent drains: the session is to end in an orderly manner.
    Draining,
    /// The other agent of the pair is to have the switch: the session is to end in an orderly manner.
    HandingOver,
    /// The end.
    Closed {
        /// Why it ended.
        why: CloseWhy,
    },
}

/// A MAC behind a tunnel end, in a network. The broadcast MAC is the switch's own flood route.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Route {
    /// The network.
    pub network: Uuid,
    /// The address.
    pub mac: Mac,
    /// Its address.
    pub vtep: Ipv4Addr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} in {}", self.mac, self.vtep, self.network)
    }
}

/// What no longer desires rows that it desired before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The configuration.
    Configuration,
    /// The routes of control nodes.
    Routes,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "the configuration",
            Self::Routes => "the routes",
        })
    }
}

/// The order in which things are written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The broadcast rows: always first.
    Broadcast,
    /// Which port and VLAN belongs where.
    Bindings,
    /// Logical switches and their VNIs, and the switch's `Manager` row.
    LogicalSwitches,
    /// Remote MACs.
    Unicast,
    /// Objects that the desired state has no longer: last.
    Deletions,
}

impl Lane {
    /// Every lane, the first first.
    pub const ALL: [Self; 5] = [
        Self::Broadcast,
        Self::Bindings,
        Self::LogicalSwitches,
        Self::Unicast,
        Self::Deletions,
    ];
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broadcast => "broadcast",
            Self::Bindings => "bindings",
            Self::LogicalSwitches => "logical switches",
            Self::Unicast => "unicast",
            Self::Deletions => "deletions",
        })
    }
}

/// The smallest thing that can be right or wrong on a switch, and that is written, retried and quarantined alone.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// The broadcast row of a network's logical switch.
    Broadcast(Uuid),
    /// The bindings of a port.
    Port(SwitchName, PortName),
    /// A network's logical switch.
    LogicalSwitch(Uuid),
    /// The rows of a remote MAC in a network.
    Unicast(Uuid, Mac),
    /// Remote rows in a network's logical switch that nothing of ours explains.
    Strays(Uuid),
    /// The timers of the switch's `Manager` row.
    Manager,
}

impl Object {
    /// The lane of what is to be there; what is to go away takes the last.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Broadcast(_) => Lane::Broadcast,
            Self::Port(..) => Lane::Bindings,
            Self::LogicalSwitch(_) | Self::Manager => Lane::LogicalSwitches,
            Self::Unicast(..) => Lane::Unicast,
            Self::Strays(_) => Lane::Deletions,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broadcast(network) => write!(f, "broadcast row of {network}"),
            Self::Port(switch, port) => write!(f, "port {port} of {switch}"),
            Self::LogicalSwitch(network) => write!(f, "logical switch of {network}"),
            Self::Unicast(network, mac) => write!(f, "{mac} in {network}"),
            Self::Strays(network) => write!(f, "stray rows in {network}"),
            Self::Manager => f.write_str("Manager row"),
        }
    }
}

impl LogEvent for Event {
    const WORDS: &'static [&'static str] = What::WORDS;

    fn word(&self) -> &'static str {
        self.what.word()
    }

    fn level(&self) -> Level {
        self.what.level()
    }

    fn close_reason(&self) -> Option<CloseReason> {
        if let What::Closed { why } = &self.what {
            Some(why.reason)
        } else {
            None
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl LogEvent for What {
    log_words!(
        Opened,
        Identified,
        Unidentified,
        Waiting,
        Locked,
        Lockless,
        Unfenced,
        TunnelEndWrong,
        TunnelEndRight,
        SwitchFaults,
        Stolen,
        Claimed,
        Read,
        Audited,
        Exported,
        Withdrawn,
        Retracted,
        Programmed,
        TransactionRejected,
        WritesStopped,
        WritesResumed,
        TableFull,
        TableHasRoom,
        Quarantined,
        Repaired,
        Contested,
        Reconfigured,
        DeletionsWithheld,
        DeletionsReleased,
        DeletionsConfirmed,
        BindingReplaced,
        VniTaken,
        TimersUnset,
        LockRefused,
        Echoed,
        Ignored,
        Draining,
        HandingOver,
        Closed
    );

    fn level(&self) -> Level {
        match self {
            Self::Exported(_) | Self::Withdrawn(_) | Self::Programmed { .. } | Self::Echoed => Level::Debug,
            Self::Ignored { .. }
            | Self::TransactionRejected { .. }
            | Self::Quarantined { .. }
            | Self::Repaired { .. } => Level::Warn,
            Self::VniTaken { .. } | Self::TimersUnset { .. } | Self::LockRefused { .. } => Level::Warn,
            Self::BindingReplaced { .. } | Self::Stolen | Self::Unidentified { .. } => Level::Warn,
            Self::SwitchFaults { faults, .. } if faults.is_empty() => Level::Info,
            Self::TunnelEndWrong { .. } | Self::Contested { .. } | Self::SwitchFaults { .. } => Level::Warn,
            Self::TunnelEndRight { .. } => Level::Info,
            Self::Lockless { may_write: false, .. } | Self::Unfenced { .. } => Level::Error,
            Self::WritesStopped { .. } | Self::TableFull { .. } => Level::Error,
            Self::DeletionsWithheld { loss, .. } => match loss {
                Loss::Configuration => Level::Error,
                // A takeover withdraws routes, too, and brings them back.
                Loss::Routes => Level::Warn,
            },
            Self::Reconfigured { .. } | Self::DeletionsConfirmed { .. } => Level::Info,
            Self::DeletionsReleased { .. } => Level::Info,
            Self::Closed { why } => Level::of_close(why),
            Self::Opened { .. } | Self::Identified { .. } | Self::Waiting | Self::Locked => Level::Info,
            Self::Lockless { .. } | Self::Claimed { .. } | Self::Read { .. } | Self::Audited { .. } => Level::Info,
            Self::Retracted { .. } | Self::Draining | Self::HandingOver | Self::WritesResumed { .. } => Level::Info,
            Self::TableHasRoom { .. } => Level::Info,
        }
    }
}

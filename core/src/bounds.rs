//! Everything that is bounded, in one place; the unit is the last word of the name.

use std::time::Duration;

/// A bound as the book prints it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The name of the constant.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
    /// The thing that it bounds.
    pub meaning: &'static str,
}

/// The value of a bound.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A number of what the name ends with.
    Count(usize),
    /// A time.
    Time(Duration),
}

macro_rules! bounds {
    ($($(#[doc = $meaning:literal])+ pub const $name:ident: $type:ident = $value:expr;)*) => {
        $($(#[doc = $meaning])+ pub const $name: $type = $value;)*

        /// Every bound, in the order of this file.
        pub const ALL: &[Bound] = &[$(Bound {
            name: stringify!($name),
            value: value!($type, $name),
            meaning: concat!($($meaning),+),
        }),*];
    };
}

macro_rules! value {
    (Duration, $name:ident) => {
        Value::Time($name)
    };
    ($type:ident, $name:ident) => {
        Value::Count($name as usize)
    };
}

bounds! {
    /// Bytes of one JSON value before the schema of a switch is known; a schema has some 30 KiB.
    pub const SCHEMA_BYTES: usize = 1 << 20;

    /// Bytes that all connections together may have sent which have not named a configured switch.
    pub const UNIDENTIFIED_BYTES: usize = 64 << 20;

    /// Bytes of one JSON value from a switch that has not been identified yet.
    pub const OPENING_MESSAGE_BYTES: usize = 16 << 20;

    /// Bytes of one JSON value once the unicast tables were requested: some 600,000 rows.
    pub const MESSAGE_BYTES: usize = 128 << 20;

    /// Nesting of a JSON value. The deepest that a switch sends is a schema, at about ten.
    pub const NESTING_LEVELS: usize = 64;

    /// Members of one message. JSON-RPC has five.
    pub const MEMBERS: usize = 32;

    /// Rows of one switch's database.
    pub const ROWS: usize = 1 << 20;

    /// Remote MACs up to which a switch is programmed: with more, a dump could exceed `MESSAGE_BYTES` at the next takeover.
    pub const PROGRAMMED_ROWS: usize = 500_000;

    /// Bytes of complete messages that one step of a session processes, so that other sessions do not wait.
    pub const WORK_BYTES_PER_STEP: usize = 128 << 10;

    /// Rows that an audit compares in one step.
    pub const AUDIT_ROWS_PER_STEP: usize = 512;

    /// Complete messages that may wait in a session, in bytes beyond the largest.
    pub const BACKLOG_BYTES: usize = MESSAGE_BYTES + (64 << 20);

    /// Bytes that the driver has not sent yet, above which a session writes no new transaction.
    pub const SEND_QUEUE_BYTES: usize = 4 << 20;

    /// Bytes of unread answers to the switch's own requests; above that the connection is closed.
    pub const ANSWERS_BYTES: usize = 1 << 20;

    /// Rows in one transaction: what `ovsdb-server` commits fastest.
    pub const ROWS_PER_TRANSACTION: usize = 100;

    /// Broadcast rows in one transaction: a claim is one transaction wherever possible.
    pub const CLAIM_ROWS_PER_TRANSACTION: usize = 1000;

    /// Transactions that await their answer at one time.
    pub const TRANSACTIONS_IN_FLIGHT: usize = 8;

    /// Failures of a single object before it is quarantined.
    pub const ATTEMPTS: u32 = 5;

    /// Pause after the first failure of a single object; it doubles with each failure.
    pub const RETRY_FIRST: Duration = Duration::from_millis(100);

    /// Pause before a quarantined object is tried again.
    pub const QUARANTINE: Duration = Duration::from_secs(60);

    /// Pause of a lane after the first refusal for lack of room; it doubles with each probe that is refused.
    pub const ROOM_PROBE_FIRST: Duration = Duration::from_secs(1);

    /// Longest pause of a lane between two probes for room.
    pub const ROOM_PROBE_LONGEST: Duration = Duration::from_secs(60);

    /// Pause before an object is repaired for the second time; it doubles with each repair. The first is made at once.
    pub const REPAIR_FIRST: Duration = Duration::from_millis(100);

    /// Longest pause between two repairs of an object.
    pub const REPAIR_LONGEST: Duration = Duration::from_secs(10);

    /// Repairs of an object after which another program counts as fighting for it.
    pub const FIGHT_REPAIRS: u32 = 3;

    /// Time without a repair after which the repairs of an object are forgotten.
    pub const FIGHT_QUIET: Duration = Duration::from_secs(60);

    /// Time between two log lines about the fights over the objects of a switch.
    pub const FIGHT_LINE: Duration = Duration::from_secs(60);

    /// Time over which the brake counts rows that go because routes were withdrawn.
    pub const BRAKE_WINDOW: Duration = Duration::from_secs(60);

    /// Silence of the server while it renders a dump.
    pub const DUMP_SILENCE: Duration = Duration::from_secs(60);

    /// Time to answer a request.
    pub const REQUEST_ANSWER: Duration = Duration::from_secs(60);

    /// Time to answer a request that waits behind a dump.
    pub const DUMP_ANSWER: Duration = Duration::from_secs(180);

    /// Time to answer the probe of a doubted connection.
    pub const PROBE_ANSWER: Duration = Duration::from_secs(1);

    /// Pause before a lock that the switch has refused is requested again.
    pub const LOCK_RETRY: Duration = Duration::from_secs(1);

    /// Time that a session waits for its clearance while another session with a switch of its name does not show whether
    /// it is alive.
    pub const CLEARANCE: Duration = Duration::from_secs(3);

    /// Pause between two log lines about the same two switches of one name.
    pub const DUPLICATE_PAUSE: Duration = Duration::from_secs(60);

    /// Time for which a connection may hold or await the lock before it names a configured switch.
    pub const NAMELESS_LOCK: Duration = Duration::from_secs(2);

    /// Time for which a connection may stay open without naming a configured switch.
    pub const NAMELESS: Duration = Duration::from_secs(60);

    /// Time that a drain waits until every proxy has fetched the agent check.
    pub const ANNOUNCE: Duration = Duration::from_secs(5);

    /// Time for which a fit agent undoes a drain at a proxy that may hold one, from the first answer that the proxy fetched.
    pub const UNDO_DRAIN: Duration = Duration::from_secs(60);

    /// Time that a switch which an operator moves has to reach the other agent, once it was released.
    pub const MOVE: Duration = Duration::from_secs(10);

    /// Time that a drain takes to close its sessions, once every proxy has fetched the agent check.
    pub const DRAIN: Duration = Duration::from_secs(5);

    /// Time that a draining agent waits, after its last session, until another agent exports the routes of its switches.
    pub const LINGER: Duration = Duration::from_secs(5);

    /// Connections of one agent that have not named a configured switch.
    pub const NAMELESS_CONNECTIONS: usize = 256;

    /// Sessions that serve the same switch, beside the newest: beyond that the oldest is closed that does not own it.
    pub const SESSIONS_PER_SWITCH: usize = 8;

    /// Time without an identified switch after which a new connection replaces the oldest of so many nameless ones.
    pub const NAMELESS_PATIENCE: Duration = Duration::from_secs(2);

    /// Tunnel ends of a switch that are kept, of those that it reports itself.
    pub const TUNNEL_IPS: usize = 16;

    /// Faults of a switch or a port that are kept.
    pub const FAULTS_PER_ROW: usize = 16;

    /// Entries of a list in `status`.
    pub const STATUS_ENTRIES: usize = 100;

    /// Objects that are compared in one step, of which some are written.
    pub const LOOKS_PER_STEP: usize = 2048;

    /// Time for which the sequence of a MAC at a tunnel end is remembered after its last path.
    pub const SEQUENCE_MEMORY: Duration = Duration::from_secs(300);

    /// Bytes of one stanza: some 700 routes.
    pub const STANZA_BYTES: usize = 1 << 20;

    /// Bytes of the tag that opens an XMPP stream, and of whatever precedes it.
    pub const STREAM_OPEN_BYTES: usize = 1024;

    /// Bytes of one tag of a stanza, or of the text between two.
    pub const TOKEN_BYTES: usize = 64 << 10;

    /// Nesting of the elements of a stanza.
    pub const ELEMENT_LEVELS: usize = 32;

    /// Attributes of one element.
    pub const ATTRIBUTES: usize = 64;

    /// Bytes of a stanza after which no further route or object is packed into it.
    pub const PACKED_BYTES: usize = 32 << 10;

    /// Objects of the configuration in one stanza, of which a link counts twice.
    pub const PACKED_OBJECTS: usize = 16;

    /// Bytes that one step of a stream processes beyond those that arrived with it.
    pub const STREAM_BYTES_PER_STEP: usize = 64 << 10;

    /// Time to connect to a control node.
    pub const DIAL: Duration = Duration::from_secs(5);

    /// Time to open a stream, and time of each step of TLS.
    pub const NEGOTIATION: Duration = Duration::from_secs(15);

    /// Connections of a control node whose stream is not open yet; beyond that the oldest is closed for a new one.
    pub const HALF_OPEN_STREAMS: usize = 256;

    /// Clients of a control node.
    pub const CLIENTS: usize = 4096;

    /// Foreign tunnel ends of one client that `status` names.
    pub const FOREIGN_NEXT_HOPS: usize = 16;

    /// Instances to which one client of a control node has subscribed.
    pub const SUBSCRIPTIONS_PER_CLIENT: usize = 1 << 14;

    /// Routes that one client of a control node has published.
    pub const ROUTES_PER_CLIENT: usize = 1 << 17;

    /// Routes that one client has published into one instance that is not configured yet.
    pub const DEFERRED_ROUTES: usize = 1 << 14;

    /// Security groups of one route that a client publishes.
    pub const SECURITY_GROUPS: usize = 64;

    /// Tags of one next hop that a client publishes.
    pub const TAGS: usize = 64;

    /// Broadcast routes of one client at one tunnel end of an instance: one, and others while its VNI changes.
    pub const BROADCASTS_PER_TUNNEL_END: usize = 4;

    /// Bytes of the name of an instance to which a client subscribes.
    pub const INSTANCE_NAME_BYTES: usize = 1024;

    /// Paths of one route that are sent together because they are equally good.
    pub const EQUAL_PATHS: usize = 64;

    /// Retracts of one instance that are kept for slow subscribers; the slowest are disconnected above that.
    pub const UNSENT_RETRACTS: usize = 1 << 17;

    /// Items or retracts in one message of a control node.
    pub const ITEMS_PER_MESSAGE: usize = 32;

    /// Objects of the configuration graph in one message; a link counts as two.
    pub const OBJECTS_PER_MESSAGE: usize = 16;

    /// Bytes that the driver has not sent to a client yet, above which a control node sends it no new change.
    pub const CLIENT_QUEUE_BYTES: usize = 1 << 20;

    /// Time for which a client with a full queue may read nothing of it.
    pub const SLOW_CLIENT: Duration = Duration::from_secs(30);

    /// Time for which a control node gathers changes before it sends them, so that they share messages.
    pub const GATHER: Duration = Duration::from_millis(2);

    /// Longest graceful restart of a control node: longer than the longest pause between the dials of its agents.
    pub const GRACEFUL_RESTART: Duration = Duration::from_secs(40);

    /// Quiet time after which a graceful restart ends, once every configured agent is connected.
    pub const GRACEFUL_RESTART_QUIET: Duration = Duration::from_secs(1);

    /// Time without a new subscription of a client, after which it receives the end-of-RIB of all its instances.
    pub const END_OF_RIB_QUIET: Duration = Duration::from_millis(200);

    /// Routes that an agent keeps of one control node.
    pub const ROUTES_PER_CONTROL_NODE: usize = 1 << 19;

    /// Bytes of the configuration graph that an agent keeps of one control node.
    pub const GRAPH_BYTES: usize = 128 << 20;

    /// Unusable routes of each kind that an agent logs in one session with a control node; it counts them all.
    pub const UNUSABLE_NAMED: u32 = 100;

    /// Control nodes with which an agent has sessions.
    pub const CONTROL_NODES: usize = 2;

    /// Failed dials of one control node before another of the list gets its place.
    pub const DIALS_BEFORE_ANOTHER: u32 = 4;

    /// Quiet time after which an instance or a configuration counts as complete where no marker ends it.
    pub const QUIET: Duration = Duration::from_secs(15);

    /// Time since its subscription after which an instance counts as complete although it was never quiet, where no
    /// marker ends it.
    pub const NEVER_QUIET: Duration = Duration::from_secs(300);

    /// Quiet time after which changes of a configuration that was complete once are in force.
    pub const CHANGES_QUIET: Duration = Duration::from_secs(1);

    /// Routes that are sent to each control node in one step.
    pub const ROUTES_PER_STEP: usize = 256;

    /// Interval of reports to the other agent of the pair while nothing changes.
    pub const PEER_REPORTS: Duration = Duration::from_secs(1);

    /// Time for which a report of the other agent of the pair is valid.
    pub const PEER_FRESH: Duration = Duration::from_secs(3);

    /// Allowed skew between the end of a session and the withdrawals of its routes.
    pub const WITHDRAWAL_SKEW: Duration = Duration::from_millis(500);

    /// Time for which an agent keeps a switch that came back after it was handed over.
    pub const HANDOVER_PAUSE: Duration = Duration::from_secs(60);

    /// Time for which a fault between the two agents of a pair must last before it is an alarm: longer than a takeover.
    pub const ALARM_AFTER: Duration = Duration::from_secs(5);

    /// Time without a control node that may configure it, after its start, after which an agent uses its remembered configuration.
    pub const RECALL_AFTER: Duration = Duration::from_secs(10);

    /// Time without a control node after which an agent is isolated: the first dials come sooner.
    pub const ISOLATED_AFTER: Duration = Duration::from_secs(3);

    /// TLS handshakes with switches that fail, without one that succeeds, before an agent without sessions is isolated.
    pub const HANDSHAKE_FAILURES: u32 = 3;

    /// Time over which they fail before that.
    pub const HANDSHAKE_FAILURES_FOR: Duration = Duration::from_secs(3);

    /// Pause before such an agent is tried again; it doubles with each trial that fails.
    pub const HANDSHAKE_PAUSE_FIRST: Duration = Duration::from_secs(30);

    /// The longest such pause.
    pub const HANDSHAKE_PAUSE_LONGEST: Duration = Duration::from_secs(300);
}

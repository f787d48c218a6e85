//! Everything that is bounded, in one place; the unit is the last word of the name.

use std::time::Duration;

/// Bytes of one JSON value from a switch that has not yet shown what it is.
pub const OPENING_MESSAGE_BYTES: usize = 16 << 20;

/// Bytes of one JSON value once the unicast tables were asked for: some 600,000 rows.
pub const MESSAGE_BYTES: usize = 128 << 20;

/// How deep a JSON value may nest. The deepest that a switch sends is a schema, at about ten.
pub const NESTING_LEVELS: usize = 64;

/// Members of one message. JSON-RPC knows five.
pub const MEMBERS: usize = 32;

/// Rows of one switch's database.
pub const ROWS: usize = 1 << 20;

/// Bytes of complete messages that one step of a session works off, so that others are not kept waiting.
pub const WORK_BYTES_PER_STEP: usize = 128 << 10;

/// Rows that an audit looks at in one step.
pub const AUDIT_ROWS_PER_STEP: usize = 512;

/// Complete messages that may wait in a session, in bytes beyond the largest.
pub const BACKLOG_BYTES: usize = MESSAGE_BYTES + (64 << 20);

/// Bytes that the driver has not sent yet, above which a session writes nothing new.
pub const SEND_QUEUE_BYTES: usize = 4 << 20;

/// Bytes of answers to the switch's own requests that it has not taken yet; above that it is cut off.
pub const ANSWERS_BYTES: usize = 1 << 20;

/// Rows in one transaction: what `ovsdb-server` commits fastest.
pub const ROWS_PER_TRANSACTION: usize = 100;

/// Broadcast rows in one transaction: a claim is one transaction wherever it can be.
pub const CLAIM_ROWS_PER_TRANSACTION: usize = 1000;

/// Transactions that await their answer at one time.
pub const TRANSACTIONS_IN_FLIGHT: usize = 8;

/// How often a single object may fail before it is quarantined.
pub const ATTEMPTS: u32 = 5;

/// After the first failure of a single object; doubles with each one.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);

/// How long a quarantined object is left alone.
pub const QUARANTINE: Duration = Duration::from_secs(60);

/// How long the server may be silent while it renders a dump.
pub const DUMP_SILENCE: Duration = Duration::from_secs(60);

/// How long a request may stay without an answer.
pub const REQUEST_ANSWER: Duration = Duration::from_secs(60);

/// How long a request may stay without an answer that stands behind a dump.
pub const DUMP_ANSWER: Duration = Duration::from_secs(180);

/// How long a doubted line has to show that it is alive.
pub const PROOF: Duration = Duration::from_secs(1);

/// How long a connection may hold or await the lock before it names a configured switch.
pub const NAMELESS_LOCK: Duration = Duration::from_secs(2);

/// How long a connection may stay open without naming a configured switch.
pub const NAMELESS: Duration = Duration::from_secs(60);

/// How long a drain waits for every proxy to hear of it.
pub const ANNOUNCE: Duration = Duration::from_secs(5);

/// How long a drain may take once every proxy has heard of it.
pub const DRAIN: Duration = Duration::from_secs(5);

/// How long a draining agent waits, after its last session, for somebody else to vouch for the routes of its switches.
pub const LINGER: Duration = Duration::from_secs(5);

/// Connections of one agent that have not named a configured switch.
pub const NAMELESS_CONNECTIONS: usize = 256;

/// Entries of a list in `status`.
pub const STATUS_ENTRIES: usize = 100;

/// Objects that are looked at in one step, of which some are written.
pub const LOOKS_PER_STEP: usize = 2048;

/// How long the sequence of a MAC at a tunnel end is remembered after its last path.
pub const SEQUENCE_MEMORY: Duration = Duration::from_secs(300);

/// Bytes of one stanza: some 700 routes.
pub const STANZA_BYTES: usize = 1 << 20;

/// Bytes of the tag that opens an XMPP stream, and of whatever stands before it.
pub const STREAM_OPEN_BYTES: usize = 1024;

/// Bytes of one tag of a stanza, or of the text between two.
pub const TOKEN_BYTES: usize = 64 << 10;

/// How deep the elements of a stanza may nest.
pub const ELEMENT_LEVELS: usize = 32;

/// Attributes of one element.
pub const ATTRIBUTES: usize = 64;

/// Bytes of a stanza after which no further route or object is packed into it.
pub const PACKED_BYTES: usize = 32 << 10;

/// Objects of the configuration in one stanza, of which a link counts twice.
pub const PACKED_OBJECTS: usize = 16;

/// Bytes that one step of a stream looks at beyond those that came with it.
pub const STREAM_BYTES_PER_STEP: usize = 64 << 10;

/// How long a control node may take to accept.
pub const DIAL: Duration = Duration::from_secs(5);

/// How long a stream may take to open, and how long each step of TLS may take.
pub const NEGOTIATION: Duration = Duration::from_secs(15);

/// Connections of a control node whose stream is not open yet; the newest beyond that is closed at once.
pub const HALF_OPEN_STREAMS: usize = 256;

/// Clients of a control node.
pub const CLIENTS: usize = 4096;

/// Instances that one client of a control node has subscribed.
pub const SUBSCRIPTIONS_PER_CLIENT: usize = 1 << 14;

/// Routes that one client of a control node has published.
pub const ROUTES_PER_CLIENT: usize = 1 << 17;

/// Routes that one client has published into one instance that the configuration does not know yet.
pub const DEFERRED_ROUTES: usize = 1 << 14;

/// Paths of one route that are sent on together because they are equally good.
pub const EQUAL_PATHS: usize = 64;

/// Retracts of one instance that are kept for subscribers who lag behind; those who lag most are cut off above that.
pub const UNTOLD_RETRACTS: usize = 1 << 17;

/// Items or retracts in one message of a control node.
pub const ITEMS_PER_MESSAGE: usize = 32;

/// Objects of the configuration graph in one message; a link counts as two.
pub const OBJECTS_PER_MESSAGE: usize = 16;

/// Bytes that the driver has not sent to a client yet, above which a control node tells it nothing new.
pub const CLIENT_QUEUE_BYTES: usize = 1 << 20;

/// How long a client with a full queue may take nothing of it.
pub const SLOW_CLIENT: Duration = Duration::from_secs(30);

/// How long a control node gathers changes before it tells them, so that they share messages.
pub const GATHER: Duration = Duration::from_millis(2);

/// How long a control node that was just started waits for agents before it believes that they have nothing to publish:
/// longer than the longest pause between their dials.
pub const LEARNING: Duration = Duration::from_secs(40);

/// How long nobody has said anything when all agents of a control node that was just started have said everything.
pub const LEARNING_QUIET: Duration = Duration::from_secs(1);

/// How long a client has subscribed nothing new when it is told that it has been told everything.
pub const END_OF_RIB_QUIET: Duration = Duration::from_millis(200);

/// Routes that an agent keeps of one control node.
pub const ROUTES_PER_CONTROL_NODE: usize = 1 << 19;

/// Bytes of the configuration graph that an agent keeps of one control node.
pub const GRAPH_BYTES: usize = 128 << 20;

/// Routes of each kind of no use that an agent names in one session with a control node; it counts them all.
pub const UNUSABLE_NAMED: u32 = 100;

/// Control nodes that an agent has sessions with.
pub const CONTROL_NODES: usize = 2;

/// Dials of one control node that fail before another of the list gets its place.
pub const DIALS_BEFORE_ANOTHER: u32 = 4;

/// How long an instance or a configuration must be quiet to count as complete where nobody says that it is.
pub const QUIET: Duration = Duration::from_secs(15);

/// How long the changes of a configuration that was complete once must be quiet to be put in force.
pub const CHANGES_SETTLE: Duration = Duration::from_secs(1);

/// Routes that are told to each control node in one step.
pub const ROUTES_PER_STEP: usize = 256;

/// How often an agent tells the other one of its pair how it stands, though nothing has changed.
pub const PEER_SAYS: Duration = Duration::from_secs(1);

/// How long what the other agent of a pair said counts.
pub const PEER_FRESH: Duration = Duration::from_secs(3);

/// How long the news that a session is over may be later than that of its routes.
pub const DOUBT: Duration = Duration::from_millis(500);

/// How long an agent keeps a switch that came back after it was handed over.
pub const HANDOVER_PAUSE: Duration = Duration::from_secs(60);

/// How long something must be wrong between the two agents of a pair to be told: longer than a switch is between owners.
pub const ALARM_AFTER: Duration = Duration::from_secs(5);

/// How long an agent must have no control node to be isolated: the first attempts to dial again come sooner.
pub const ISOLATED_AFTER: Duration = Duration::from_secs(3);

//! An emulated switch: the OVSDB server that a top-of-rack switch with the `hardware_vtep` schema runs.
//!
//! It was compared, conversation by conversation, with ovsdb-server 3.1.0 (`net/lab/tests/emulated_switch`). Known
//! differences:
//!
//! - `convert` is an unknown method. Only `hardware_vtep` and `_Server` are served, and `_Server` never changes.
//! - Rows come in the order of their uuids; the real server's order is arbitrary. So is its choice among several errors
//!   of one request or commit, and which of two rows in conflict it calls the first.
//! - Every client that has taken what was sent before is notified of commits one by one, except while transactions
//!   wait. The real server merges what happens in one round over its sessions.
//! - Only the reply to `monitor` and its kin takes time, by [`Options::dump_us_per_row`].
//! - The amount that one `handle` sends does not stall the next: the server knows of a stall when it gets
//!   [`Input::Sent`].
//! - A number such as `1.0` is no integer.
//! - Several requests for one table in one `monitor_cond` share the last of their conditions.
//! - A `monitor_cond_change` without `where` asks for every row; it makes the real server end by a segmentation fault.
//! - A negative number times zero is zero; the real server ends by an arithmetic exception.
//! - Invalid JSON inside the braces of a message ends the connection when the message is complete, not at the first
//!   wrong byte; so do messages that nest more than 64 levels (the real server takes 1000).
//!
//! The server is one thread, and reads from a connection only while all that it sent there was taken. The machine keeps
//! what it is handed meanwhile, and limits it by [`Output::Read`].

mod atom;
mod columns;
mod commit;
mod condition;
mod database;
mod elements;
mod error;
mod execution;
mod locks;
mod members;
mod monitor;
mod mutation;
mod names;
mod pending;
mod reboot;
mod row;
mod schema;
mod server;
mod session;
mod tables;
#[cfg(test)]
mod testing;
mod transact;
mod value;
mod watch;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::status::ServerModel;
use tandem_core::{CloseWhy, ConnId, Time, Uuid};

pub use commit::RowChange;
pub use row::Row;
pub use schema::{Base, Column, DATABASE, Schema, SchemaVersion, TableSchema, Type};
pub use value::{Atom, Datum};

use database::Database;
use error::OpError;
use locks::Locks;
use names::UuidSource;
use pending::{Busy, Session, Waiting};
use server::Served;
use transact::Outcome;
pub use work::UNANSWERED;

/// An input of a switch.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection is up, in either direction; the switch is the JSON-RPC server on it.
    Connected {
        /// Its number, never used before.
        conn: ConnId,
    },
    /// Bytes arrived: any piece of the stream.
    Bytes {
        /// On this connection.
        conn: ConnId,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The network has not taken this many sent bytes yet. As long as there are any, the server answers nothing on this
    /// connection, and merges its updates.
    Sent {
        /// On this connection.
        conn: ConnId,
        /// The number.
        queued_bytes: usize,
    },
    /// The other end sends no more, and still reads (FIN).
    Finished {
        /// On this connection.
        conn: ConnId,
    },
    /// The other end closed, or the connection broke.
    Closed {
        /// This connection.
        conn: ConnId,
    },
    /// The deadline was reached.
    Timeout,
}

/// An output of a switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send these bytes, one whole message.
    Send {
        /// On this connection.
        conn: ConnId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Whether to hand in bytes of this connection. Sent only when it changes.
    Read {
        /// This connection.
        conn: ConnId,
        /// Whether to.
        on: bool,
    },
    /// Close the connection; nothing more will come for it.
    Close {
        /// This connection.
        conn: ConnId,
        /// Whose fault it is.
        why: CloseWhy,
    },
}

/// Why a switch wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// A dump is rendered; until then the server is deaf.
    Busy,
    /// The `wait` of a transaction times out.
    WaitTimesOut,
    /// A silent client is probed, or has not answered the probe.
    ProbeDue,
}

/// The kind of switch.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its schema.
    pub schema: SchemaVersion,
    /// Limits of tables beyond those of the schema (`maxRows`).
    pub max_rows: Vec<(&'static str, usize)>,
    /// Whether it knows `lock`, `steal` and `unlock`.
    pub locks: bool,
    /// Whether it knows `monitor_cond`, `monitor_cond_change` and `monitor_cond_since` (Open vSwitch 2.6 and 2.12).
    pub monitor_cond: bool,
    /// Whether an insert may choose its uuid (Open vSwitch 2.13).
    pub client_uuids: bool,
    /// The longest time that a client may be silent before it is sent an echo; as long again, and it is cut off. The real
    /// server's default is 5 s on TLS and TCP, and none on a unix socket. See [`Switch::set_probe`].
    pub probe: Option<Duration>,
    /// Microseconds that it takes to render a row of a monitor's first reply. The real server takes about ten.
    pub dump_us_per_row: u64,
    /// The kind of the server, as `_Server` names it; `None` for a server before Open vSwitch 2.9, which has no
    /// `_Server`. Everything else stays that of a standalone server.
    pub model: Option<ServerModel>,
    /// Whether it follows another server and is read-only: it refuses locks. See [`Switch::promote`].
    pub standby: bool,
    /// Whether commits are kept for [`Switch::take_commits`]; the caller must take them then.
    pub keeps_commits: bool,
}

impl Options {
    /// A switch with this schema that knows locks and `monitor_cond`, takes no chosen uuids, does not probe,
    /// renders in no time and keeps its commits.
    pub fn new(schema: SchemaVersion) -> Self {
        Self {
            schema,
            max_rows: Vec::new(),
            locks: true,
            monitor_cond: true,
            client_uuids: false,
            probe: None,
            dump_us_per_row: 0,
            model: Some(ServerModel::Standalone),
            standby: false,
            keeps_commits: true,
        }
    }
}

/// The writer of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writer {
    /// The switch itself, or a program on it.
    Local,
    /// The client of this connection.
    Remote(ConnId),
}

/// A transaction that changed something, as an observer sees it.
#[derive(Clone, Debug)]
pub struct Commit {
    /// When.
    pub at: Time,
    /// The writer.
    pub by: Writer,
    /// The locks that the writer held at that moment; of a server without locks, those that it would have held.
    pub locks: BTreeSet<String>,
    /// Its `comment` operations.
    pub comments: Vec<String>,
    /// What changed, by table and uuid.
    pub changes: Vec<RowChange>,
}

/// An emulated switch.
///
/// The side doors ([`local`](Self::local), [`add_physical_switch`](Self::add_physical_switch)) may leave outputs,
/// which are to be drained before the next `handle`.
#[derive(Clone, Debug)]
pub struct Switch {
    options: Options,
    database: Database,
    /// `_Server`, in which the server describes itself.
    reserved: Database,
    uuids: UuidSource,
    server_id: Uuid,
    locks: Locks,
    /// The locks that its clients would hold if it knew locks.
    asked_in_vain: Locks,
    sessions: BTreeMap<ConnId, Session>,
    /// Sessions with an update to send, or a message to read.
    ready: BTreeSet<ConnId>,
    /// Whose turn it is in the round, or was last.
    turn_of: Option<ConnId>,
    busy: Option<Busy>,
    waiting: Vec<Waiting>,
    /// Whether something changed that transactions may have waited for.
    retry: bool,
    /// Whether these are tried again at this moment.
    retrying: bool,
    refusals: VecDeque<OpError>,
    /// Every transaction of a remote client that writes anything fails.
    full: bool,
    commits: Vec<Commit>,
    not_owners: Vec<ConnId>,
    outputs: VecDeque<Output>,
    now: Time,
}

impl Switch {
    /// A switch with an empty database. The seed decides every uuid that the switch makes.
    pub fn new(seed: u64, schema: SchemaVersion) -> Self {
        Self::with_options(seed, Options::new(schema))
    }

    /// A standby is the active server from now on. The real server closes its connections then; the caller does so here.
    pub fn promote(&mut self) {
        self.options.standby = false;
    }

    /// A switch with an empty database, of another kind than the usual.
    pub fn with_options(seed: u64, options: Options) -> Self {
        let schema = Schema::limited(options.schema, &options.max_rows);
        let mut uuids = UuidSource::new(seed);
        let server_id = uuids.next();
        let reserved = server::database(&schema, options.model, &mut uuids);
        Self {
            options,
            server_id,
            reserved,
            database: Database::new(schema),
            uuids,
            locks: Locks::default(),
            asked_in_vain: Locks::default(),
            sessions: BTreeMap::new(),
            ready: BTreeSet::new(),
            turn_of: None,
            busy: None,
            waiting: Vec::new(),
            retry: false,
            retrying: false,
            refusals: VecDeque::new(),
            full: false,
            commits: Vec::new(),
            not_owners: Vec::new(),
            outputs: VecDeque::new(),
            now: Time::ORIGIN,
        }
    }

    /// Runs a transaction as a program on the switch would: `operations` is an array of operations, the result is the
    /// array of their results. Monitors see it. A `wait` that is not satisfied fails at once. It runs even while the
    /// server is busy; clients are notified later.
    pub fn local(&mut self, now: Time, operations: Value) -> Value {
        self.now = now;
        let Value::Array(operations) = operations else {
            return OpError::syntax(&operations, "array expected").to_json();
        };
        let outcome = self.run(Writer::Local, Served::Switch, &operations, None);
        self.work();
        match outcome {
            Outcome::Done { results, .. } => results,
            Outcome::Waiting { .. } => Value::Null,
        }
    }

    /// Adds a `Physical_Switch` with one tunnel address and these ports, and the `Global` row if there is none.
    ///
    /// # Errors
    ///
    /// The results of the transaction when it failed: the name is taken.
    pub fn add_physical_switch(&mut self, name: &str, tunnel_ip: &str, ports: &[&str]) -> Result<Uuid, Value> {
        let mut operations: Vec<_> = ports
            .iter()
            .enumerate()
            .map(|(number, port)| {
                json!({"op": "insert", "table": "Physical_Port", "uuid-name": format!("port{number}"), "row": {"name": port}})
            })
            .collect();
        let names: Vec<_> = (0..ports.len())
            .map(|number| json!(["named-uuid", format!("port{number}")]))
            .collect();
        let row = json!({"name": name, "tunnel_ips": tunnel_ip, "ports": ["set", names]});
        operations.push(json!({"op": "insert", "table": "Physical_Switch", "uuid-name": "switch", "row": row}));
        let switches = json!(["set", [["named-uuid", "switch"]]]);
        operations.push(if self.rows("Global").next().is_none() {
            json!({"op": "insert", "table": "Global", "row": {"switches": switches}})
        } else {
            json!({"op": "mutate", "table": "Global", "where": [], "mutations": [["switches", "insert", switches]]})
        });
        let results = self.local(self.now, operations.into());
        let inserted = results.pointer(&format!("/{}/uuid/1", ports.len()));
        let uuid = inserted.and_then(|uuid| uuid.as_str()?.parse().ok());
        uuid.filter(|uuid| self.database.row(("Physical_Switch", *uuid)).is_some())
            .ok_or(results)
    }

    /// The rows of a table, by uuid; none if the schema has no such table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.database.rows(table)
    }

    /// One row of a table.
    pub fn row(&self, table: &'static str, uuid: Uuid) -> Option<&Row> {
        self.database.row((table, uuid))
    }

    /// Lets the next transactions of remote clients that write anything fail: the first operation that writes
    /// ends with this error, and nothing is changed.
    pub fn refuse_next(&mut self, transactions: usize, error: &str, details: &str) {
        let error = OpError::new(error.to_owned(), details);
        self.refusals.extend(std::iter::repeat_n(error, transactions));
    }

    /// Whether the disk is full: every transaction of remote clients that writes anything fails.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Lets no further transactions fail that [`refuse_next`](Self::refuse_next) had planned to.
    pub fn refuse_no_more(&mut self) {
        self.refusals.clear();
    }

    /// Every transaction that changed something since the beginning, or since they were taken; none if
    /// [`Options::keeps_commits`] is off.
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The same, and forgets them.
    pub fn take_commits(&mut self) -> Vec<Commit> {
        std::mem::take(&mut self.commits)
    }

    /// Whose transactions asserted a lock that they did not hold, one entry each, and forgets them; none if
    /// [`Options::keeps_commits`] is off.
    pub fn take_not_owners(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.not_owners)
    }

    /// The holder of a lock. Of a server without locks it is the client that would hold it: the first that asked for it and
    /// is still connected.
    pub fn lock_holder(&self, name: &str) -> Option<ConnId> {
        self.locks.holder(name).or_else(|| self.asked_in_vain.holder(name))
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.database.schema
    }

    /// The longest time that this client may be silent, instead of [`Options::probe`]: the value of `Manager.inactivity_probe`,
    /// which the server raises to a second at least.
    pub fn set_probe(&mut self, conn: ConnId, probe: Option<Duration>) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.probe = probe.map(|probe| probe.max(Duration::from_secs(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_core::Machine;

    use super::testing::{Bench, insert_mac};
    use super::*;

    #[test]
    fn a_physical_switch_is_there_with_its_ports_and_its_name_is_taken() {
        let mut switch = Switch::new(1, SchemaVersion::V1_0_0);
        let tor1 = switch
            .add_physical_switch("tor1", "10.0.1.1", &["eth1", "eth2"])
            .expect("added");
        let tor2 = switch.add_physical_switch("tor2", "10.0.1.2", &[]).expect("added");
        let kept: Vec<_> = switch
            .rows("Global")
            .flat_map(|(_, row)| row.references("switches"))
            .collect();
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&tor1) && kept.contains(&tor2));
        let ports: BTreeSet<_> = switch
            .rows("Physical_Port")
            .filter_map(|(_, row)| row.text("name"))
            .collect();
        assert_eq!(ports, BTreeSet::from(["eth1", "eth2"]));
        let error = switch
            .add_physical_switch("tor1", "10.0.1.3", &[])
            .expect_err("a duplicate");
        assert_eq!(error[2]["error"], "constraint violation");
    }

    #[test]
    fn the_same_seed_and_inputs_give_the_same_bytes() {
        let run = || {
            let mut bench = Bench::new(SchemaVersion::V1_7_0);
            bench.connect(1);
            let reply = bench.transact(1, insert_mac("blue", "00:01", "10.0.0.1"));
            (
                reply,
                bench
                    .switch
                    .rows("Ucast_Macs_Remote")
                    .map(|(uuid, _)| uuid)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn the_observer_sees_writer_locks_comments_and_rows() {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench.ask(1, "lock", json!(["tandem"]));
        let comment = json!({"op": "comment", "comment": "agent-a 7"});
        let insert = json!({"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}});
        bench.transact(1, json!([comment, insert]));
        bench.transact(1, json!([{"op": "comment", "comment": "nothing changed"}]));
        bench.switch.local(
            Time::ORIGIN,
            json!([{"op": "delete", "table": "Logical_Switch", "where": []}]),
        );
        bench.drain();
        let [remote, local] = bench.switch.commits() else {
            panic!("two commits, not {:?}", bench.switch.commits());
        };
        assert_eq!(remote.by, Writer::Remote(ConnId(1)));
        assert_eq!(remote.locks, BTreeSet::from(["tandem".to_owned()]));
        assert_eq!(remote.comments, ["agent-a 7"]);
        let [inserted] = remote.changes.as_slice() else {
            panic!("one row, not {:?}", remote.changes);
        };
        assert_eq!((inserted.table, &inserted.old), ("Logical_Switch", &None));
        assert_eq!(inserted.new.as_ref().and_then(|row| row.text("name")), Some("blue"));
        assert_eq!(
            (local.by, local.locks.len(), &local.changes[0].new),
            (Writer::Local, 0, &None)
        );
    }

    #[test]
    fn a_refusal_hits_remote_writers_only_and_as_often_as_asked() {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        bench.switch.refuse_next(1, "resources exhausted", "the table is full");
        let select = json!([{"op": "select", "table": "Logical_Switch", "where": []}]);
        assert_eq!(bench.transact(1, select), json!([{"rows": []}]));
        let insert = |name| json!([{"op": "comment", "comment": "x"}, {"op": "insert", "table": "Logical_Switch", "row": {"name": name}}]);
        assert!(bench.switch.local(Time::ORIGIN, insert("local"))[1]["uuid"].is_array());
        let refused = json!([{}, {"error": "resources exhausted", "details": "the table is full"}]);
        assert_eq!(bench.transact(1, insert("remote")), refused);
        assert!(bench.transact(1, insert("remote"))[1]["uuid"].is_array());
    }

    #[test]
    fn a_wait_holds_up_only_its_own_transaction_until_it_is_met_or_times_out() {
        let mut bench = Bench::new(SchemaVersion::V1_7_0);
        bench.connect(1);
        let wait = |name: &str| {
            json!(["hardware_vtep", {"op": "wait", "table": "Logical_Switch", "timeout": 5000, "until": "==",
                "where": [["name", "==", name]], "columns": ["name"], "rows": [{"name": name}]}])
        };
        bench.send(1, &json!({"id": "met", "method": "transact", "params": wait("blue")}));
        bench.send(1, &json!({"id": "late", "method": "transact", "params": wait("red")}));
        assert_eq!(bench.ask(1, "echo", json!([7]))["result"], json!([7]));
        assert_eq!(bench.arrived(1), [Value::Null; 0]);
        bench.transact(
            1,
            json!([{"op": "insert", "table": "Logical_Switch", "row": {"name": "blue"}}]),
        );
        assert_eq!(bench.arrived(1), [json!({"id": "met", "result": [{}], "error": null})]);
        let deadline = bench.switch.poll_timeout().expect("a deadline");
        assert_eq!(
            (deadline.at, deadline.why),
            (Time::ORIGIN + Duration::from_secs(5), Why::WaitTimesOut)
        );
        bench.handle(deadline.at, Input::Timeout);
        let [late] = bench.arrived(1).try_into().expect("one reply");
        assert_eq!(late["result"][0]["details"], "\"wait\" timed out after 5000 ms");
        assert_eq!(bench.switch.poll_timeout(), None);
    }
}

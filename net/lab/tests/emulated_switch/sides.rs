//! The two ends that are compared: the machine, and a real ovsdb-server on a unix socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::{ConnId, Machine, Time};
use tandem_lab::{Launch, Program, Result, Scratch, program};
use tandem_sim::switch::{DATABASE, Input, Options, Output, SchemaVersion, Switch};

/// Messages that arrived, by connection.
pub(crate) type Arrived = BTreeMap<u64, Vec<Value>>;

/// The machine.
pub(crate) struct Emulated {
    pub(crate) switch: Switch,
    arrived: Arrived,
}

impl Emulated {
    pub(crate) fn new(seed: u64, version: SchemaVersion) -> Self {
        let options = Options {
            client_uuids: true,
            ..Options::new(version)
        };
        Self {
            switch: Switch::with_options(seed, options),
            arrived: Arrived::new(),
        }
    }

    pub(crate) fn connect(&mut self, conn: u64) {
        self.handle(Input::Connected { conn: ConnId(conn) });
    }

    pub(crate) fn close(&mut self, conn: u64) {
        self.handle(Input::Closed { conn: ConnId(conn) });
    }

    pub(crate) fn send(&mut self, conn: u64, text: &str) {
        self.handle(Input::Bytes {
            conn: ConnId(conn),
            data: text.as_bytes().to_vec(),
        });
    }

    /// Leaves `queued_bytes` before a client that does not read.
    pub(crate) fn stall(&mut self, conn: u64, queued_bytes: usize) {
        let conn = ConnId(conn);
        self.handle(Input::Sent { conn, queued_bytes });
    }

    pub(crate) fn finish(&mut self, conn: u64) {
        self.handle(Input::Finished { conn: ConnId(conn) });
    }

    /// The messages since the last call.
    pub(crate) fn arrived(&mut self) -> Arrived {
        std::mem::take(&mut self.arrived)
    }

    fn handle(&mut self, input: Input) {
        self.switch.handle(Time::ORIGIN, input);
        while let Some(output) = self.switch.poll_output() {
            let (conn, message) = match output {
                Output::Send { conn, bytes } => (conn, serde_json::from_slice(&bytes).expect("JSON")),
                Output::Read { .. } => continue,
                Output::Close { conn, .. } => (conn, json!("closed")),
            };
            self.arrived.entry(conn.0).or_default().push(message);
        }
    }
}

/// A real server in a scratch folder. It ends when this is dropped.
pub(crate) struct Real {
    scratch: Scratch,
    _process: Program,
    connections: BTreeMap<u64, Connection>,
    barriers: u64,
    someone_left: bool,
}

struct Connection {
    stream: UnixStream,
    partial: Vec<u8>,
    /// Whether we send no more.
    finished: bool,
}

/// Generous: it only guards against hanging.
const PATIENCE: Duration = Duration::from_secs(60);

impl Real {
    /// A server with an empty database of this schema.
    pub(crate) fn from_schema(schema: &Value) -> Result<Self> {
        let scratch = Scratch::new()?;
        let file = scratch.path().join("schema");
        std::fs::write(&file, schema.to_string()).expect("the schema is written");
        Self::start(scratch, &file)
    }

    /// The same, with the schema that is installed.
    pub(crate) fn with_installed_schema() -> Result<Self> {
        Self::start(Scratch::new()?, Path::new("/usr/share/openvswitch/vtep.ovsschema"))
    }

    fn start(scratch: Scratch, schema: &Path) -> Result<Self> {
        let file = |name: &str| scratch.path().join(name);
        program::run("ovsdb-tool", [Path::new("create"), &file("database"), schema])?;
        let process = Launch::new("ovsdb-server")?
            .arg(file("database"))
            .arg(format!("--remote=punix:{}", file("socket").display()))
            .arg(format!("--unixctl={}", file("control").display()))
            .start(file("ovsdb-server.log"))?;
        Ok(Self {
            scratch,
            _process: process,
            connections: BTreeMap::new(),
            barriers: 0,
            someone_left: false,
        })
    }

    pub(crate) fn connect(&mut self, conn: u64) -> Result<()> {
        let socket = self.scratch.path().join("socket");
        let listens = || UnixStream::connect(&socket).ok();
        let stream = self.scratch.wait_until("ovsdb-server listens", PATIENCE, listens)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
        let connection = Connection {
            stream,
            partial: Vec::new(),
            finished: false,
        };
        self.connections.insert(conn, connection);
        Ok(())
    }

    /// Ends every connection and empties the database, for the next conversation.
    pub(crate) fn clear(&mut self, tables: impl Iterator<Item = &'static str>) -> Result<()> {
        self.connections.clear();
        self.someone_left = true;
        self.connect(0)?;
        // A transaction that still waits must not be woken by this one, and locks have to be free.
        self.arrived(0);
        for lock in ["tandem", "other"] {
            self.wait_for_lock(lock);
        }
        let deletes = tables.map(|table| json!({"op": "delete", "table": table, "where": []}));
        let params: Vec<_> = std::iter::once(json!(DATABASE)).chain(deletes).collect();
        self.send(
            0,
            &json!({"id": "clear", "method": "transact", "params": params}).to_string(),
        );
        let arrived = self.arrived(0);
        assert!(
            !json!(arrived).to_string().contains("details"),
            "not emptied: {arrived:?}"
        );
        self.connections.clear();
        Ok(())
    }

    /// Gets a lock and gives it back. An earlier holder is gone then.
    fn wait_for_lock(&mut self, lock: &str) {
        self.send(
            0,
            &json!({"id": "lock", "method": "lock", "params": [lock]}).to_string(),
        );
        let connection = self.connections.get_mut(&0);
        let messages = connection
            .into_iter()
            .flat_map(|connection| std::iter::from_fn(|| connection.receive()));
        for message in messages {
            if message["method"] == "locked" || message["result"]["locked"] == true {
                break;
            }
        }
        self.send(
            0,
            &json!({"id": "unlock", "method": "unlock", "params": [lock]}).to_string(),
        );
    }

    pub(crate) fn close(&mut self, conn: u64) {
        self.connections.remove(&conn);
        self.someone_left = true;
    }

    pub(crate) fn send(&mut self, conn: u64, text: &str) {
        let connection = self.connections.get_mut(&conn);
        if let Some(connection) = connection.filter(|connection| !connection.finished) {
            // A closed connection shows when reading.
            let _ = connection.stream.write_all(text.as_bytes());
        }
    }

    /// Sends, and waits for the answer of this connection only.
    pub(crate) fn request(&mut self, conn: u64, text: &str) {
        self.send(conn, text);
        self.receive_to_barrier(&[conn], &mut Arrived::new());
    }

    /// Sends no more, and goes on reading.
    pub(crate) fn finish(&mut self, conn: u64) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.finished = true;
            // A closed connection shows when reading.
            let _ = connection.stream.shutdown(Shutdown::Write);
        }
    }

    /// Everything that follows from what was sent, `talking` having sent last: echoes go round until nothing
    /// can be under way. The second round is for what the server does after it has read from every client; it takes
    /// some more until it has noticed, and notified others, that a client is gone.
    pub(crate) fn arrived(&mut self, talking: u64) -> Arrived {
        let mut arrived = Arrived::new();
        self.receive_to_barrier(&[talking], &mut arrived);
        let mut rounds = 2;
        while rounds > 0 {
            if std::mem::take(&mut self.someone_left) {
                rounds = 6;
            }
            let all: Vec<_> = self.connections.keys().copied().collect();
            self.receive_to_barrier(&all, &mut arrived);
            rounds -= 1;
        }
        arrived
    }

    /// Everything that comes before the answer to an echo, or to the end of a connection that has finished.
    fn receive_to_barrier(&mut self, conns: &[u64], arrived: &mut Arrived) {
        self.barriers += 1;
        let barrier = json!({"id": format!("barrier {}", self.barriers), "method": "echo", "params": []});
        for conn in conns {
            self.send(*conn, &barrier.to_string());
        }
        for conn in conns {
            while let Some(connection) = self.connections.get_mut(conn) {
                match connection.receive() {
                    Some(message) if message["id"] == barrier["id"] => break,
                    Some(message) => arrived.entry(*conn).or_default().push(message),
                    None => {
                        arrived.entry(*conn).or_default().push(json!("closed"));
                        self.close(*conn);
                    }
                }
            }
        }
    }
}

impl Connection {
    /// The next message; `None` when the server has closed.
    fn receive(&mut self) -> Option<Value> {
        loop {
            let mut stream = serde_json::Deserializer::from_slice(&self.partial).into_iter::<Value>();
            if let Some(Ok(message)) = stream.next() {
                let used = stream.byte_offset();
                self.partial.drain(..used);
                return Some(message);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.partial.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the server does not answer: {error}"),
            }
        }
    }
}

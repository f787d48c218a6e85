//! The two ends that are compared: the machine, and a real ovsdb-server on a unix socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_core::{ConnId, Machine, Time};
use tandem_net::lab::{Launch, Program, Result, Scratch, program};
use tandem_sim::switch::{Input, Options, Output, SchemaVersion, Switch};

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

    /// What arrived since the last time.
    pub(crate) fn settle(&mut self, _talking: u64) -> Arrived {
        std::mem::take(&mut self.arrived)
    }

    fn handle(&mut self, input: Input) {
        self.switch.handle(Time::ORIGIN, input);
        while let Some(output) = self.switch.poll_output() {
            let (conn, message) = match output {
                Output::Send { conn, bytes } => (conn, serde_json::from_slice(&bytes).expect("JSON")),
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
        let partial = Vec::new();
        self.connections.insert(conn, Connection { stream, partial });
        Ok(())
    }

    pub(crate) fn close(&mut self, conn: u64) {
        self.connections.remove(&conn);
        self.someone_left = true;
    }

    pub(crate) fn send(&mut self, conn: u64, text: &str) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            // That it is closed is seen when reading.
            let _ = connection.stream.write_all(text.as_bytes());
        }
    }

    /// Everything that follows from what was sent, `talking` having sent last: echoes go round until nothing
    /// can be under way. The second round is for what the server does after it has heard every client; it takes
    /// some more until it has noticed, and told others, that a client is gone.
    pub(crate) fn settle(&mut self, talking: u64) -> Arrived {
        let mut arrived = Arrived::new();
        self.hear(talking, &mut arrived);
        let mut rounds = 2;
        while rounds > 0 {
            if std::mem::take(&mut self.someone_left) {
                rounds = 6;
            }
            for conn in self.connections.keys().copied().collect::<Vec<_>>() {
                self.hear(conn, &mut arrived);
            }
            rounds -= 1;
        }
        arrived
    }

    /// Everything that comes before the answer to an echo.
    fn hear(&mut self, conn: u64, arrived: &mut Arrived) {
        self.barriers += 1;
        let barrier = json!({"id": format!("barrier {}", self.barriers), "method": "echo", "params": []});
        self.send(conn, &barrier.to_string());
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        loop {
            match connection.receive() {
                Some(message) if message["id"] == barrier["id"] => return,
                Some(message) => arrived.entry(conn).or_default().push(message),
                None => {
                    arrived.entry(conn).or_default().push(json!("closed"));
                    return self.close(conn);
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

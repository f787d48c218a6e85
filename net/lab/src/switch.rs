//! A real `ovsdb-server` as a switch.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::journal::{self, Transaction};
use super::jsonrpc::Client;
use super::pki::Credentials;
use super::program::{self, Launch, Program};
use super::remote::{self, Remote};
use super::schema::Schema;
use super::scratch::Scratch;
use super::snapshot::{Row, Snapshot};
use super::{Error, Result};

/// What a switch is like when it is switched on for the first time.
#[derive(Clone, Debug, Default)]
pub struct SwitchOptions {
    /// The version of its schema.
    pub schema: Schema,
    /// Its `Physical_Switch` rows; more than one where one database serves several switches.
    pub physical_switches: Vec<PhysicalSwitch>,
    /// Its `Manager` rows.
    pub managers: Vec<Manager>,
    /// What it shows to its managers, and the CA that it trusts.
    pub credentials: Option<Credentials>,
    /// The network namespace that it is in.
    pub namespace: Option<String>,
}

/// A row of `Physical_Switch`.
#[derive(Clone, Debug)]
pub struct PhysicalSwitch {
    /// Its name.
    pub name: String,
    /// Its only tunnel end.
    pub tunnel_ip: String,
    /// The names of its ports.
    pub ports: Vec<String>,
}

/// A row of `Manager`.
#[derive(Clone, Debug)]
pub struct Manager {
    /// The target to dial: `ssl:127.0.0.1:6640`.
    pub target: String,
    /// 1000 at least; the server's own default is 8000.
    pub max_backoff_ms: Option<u32>,
    /// 0 = off; the server's own default is 5000.
    pub inactivity_probe_ms: Option<u32>,
}

/// A switch: one database server and its files.
pub struct Switch {
    /// The server, to kill, stop and continue.
    pub process: Program,
    scratch: Scratch,
    folder: PathBuf,
    name: String,
    options: SwitchOptions,
}

/// The longest time that a server may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Switch {
    /// Creates the database in a folder of this name, starts the server and waits until it answers.
    pub fn start(scratch: &Scratch, name: &str, options: SwitchOptions) -> Result<Self> {
        let folder = scratch.folder(name)?;
        create(&folder, &options)?;
        let switch = Self {
            process: launch(&folder, &options)?,
            scratch: scratch.clone(),
            folder,
            name: name.into(),
            options,
        };
        switch.first_light()?;
        Ok(switch)
    }

    /// Kills the server, if it still runs, and starts it again on its database.
    pub fn restart_with_database(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = launch(&self.folder, &self.options)?;
        self.wait_until_it_answers()
    }

    /// Kills the server, if it still runs, and starts it as on the first day: its own ports and managers, nothing else.
    pub fn restart_empty(&mut self) -> Result<()> {
        self.process.kill()?;
        create(&self.folder, &self.options)?;
        self.process = launch(&self.folder, &self.options)?;
        self.first_light()
    }

    /// Where the server takes clients.
    pub fn remote(&self) -> Remote {
        Remote::Unix(self.socket())
    }

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("db.sock")
    }

    /// The server's database file.
    pub fn database(&self) -> PathBuf {
        self.folder.join("db")
    }

    /// A connection of one's own, for locks and notifications.
    pub fn client(&self) -> Result<Client> {
        self.remote().client()
    }

    /// One transaction; see [`Client::transact`].
    pub fn transact(&self, operations: &Value) -> Result<Value> {
        self.client()?.transact(operations)
    }

    /// These columns of every row of a table; all columns, `_uuid` and `_version` if none is named.
    pub fn dump(&self, table: &str, columns: &[&str]) -> Result<Vec<Row>> {
        let mut select = json!({ "op": "select", "table": table, "where": [] });
        if !columns.is_empty() {
            select["columns"] = json!(columns);
        }
        Ok(remote::rows(&mut self.transact(&json!([select]))?[0]))
    }

    /// Every row of every table, all of one moment.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.remote().snapshot()
    }

    /// Every transaction since the database was created.
    pub fn log(&self) -> Result<Vec<Transaction>> {
        journal::read(&self.database())
    }

    /// Runs `vtep-ctl` on it and returns what it prints.
    pub fn vtep_ctl(&self, args: &[&str]) -> Result<String> {
        let db = format!("--db={}", self.remote());
        program::run("vtep-ctl", [db.as_str(), "--timeout=60"].iter().chain(args))
    }

    /// Runs `ovsdb-client COMMAND SERVER ARGS` on it and returns what it prints.
    pub fn ovsdb_client(&self, command: &str, args: &[&str]) -> Result<String> {
        let remote = self.remote().to_string();
        program::run("ovsdb-client", ["--timeout=60", command, &remote].iter().chain(args))
    }

    /// Adds a logical switch.
    pub fn add_logical_switch(&self, name: &str, vni: u32) -> Result<()> {
        let row = json!({ "name": name, "tunnel_key": vni });
        self.transact(&json!([{ "op": "insert", "table": "Logical_Switch", "row": row }]))?;
        Ok(())
    }

    /// Adds [`remote_mac`] 0 to `count - 1` to an existing logical switch, all behind one tunnel end.
    pub fn add_remote_macs(&self, logical_switch: &str, count: u32, vtep: &str) -> Result<()> {
        self.add_macs("Ucast_Macs_Remote", logical_switch, 0..count, vtep)
    }

    /// The switch learns the [`remote_mac`] of each of these numbers behind its own tunnel end.
    pub fn add_local_macs(&self, logical_switch: &str, numbers: Range<u32>, vtep: &str) -> Result<()> {
        self.add_macs("Ucast_Macs_Local", logical_switch, numbers, vtep)
    }

    fn add_macs(&self, table: &str, logical_switch: &str, numbers: Range<u32>, vtep: &str) -> Result<()> {
        const BATCH: u32 = 100;
        let mut client = self.client()?;
        let uuid = remote::logical_switch(&mut client, logical_switch)?;
        let (mut operations, mut locator) = remote::locator(&mut client, vtep)?;
        for first in numbers.clone().step_by(BATCH as usize) {
            let last = numbers.end.min(first + BATCH);
            operations.extend((first..last).map(|number| {
                json!({ "op": "insert", "table": table, "row": {
                    "MAC": remote_mac(number), "logical_switch": uuid, "locator": locator,
                }})
            }));
            let results = client.transact(&Value::Array(std::mem::take(&mut operations)))?;
            if locator[0] == "named-uuid" {
                locator = results[0]["uuid"].clone();
            }
        }
        Ok(())
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let answer = || {
            if let Some(status) = self.process.exited() {
                return Some(Err(Error::failed(
                    format!("start {}", self.name),
                    format!("{status}\n{}", self.process.log()),
                )));
            }
            self.client()
                .and_then(|mut client| client.call("list_dbs", &json!([])))
                .ok()
                .map(Ok)
        };
        self.scratch
            .wait_until(&format!("ovsdb-server of {}", self.name), PATIENCE, answer)?
            .map(drop)
    }

    /// What the switch itself writes into an empty database.
    fn first_light(&self) -> Result<()> {
        self.wait_until_it_answers()?;
        let mut operations = vec![json!({ "op": "comment", "comment": format!("{}: first light", self.name) })];
        let mut refer = |table: &str, row: Value| {
            let name = format!("row{}", operations.len());
            operations.push(json!({ "op": "insert", "table": table, "uuid-name": name, "row": row }));
            json!(["named-uuid", name])
        };
        let mut switches = Vec::new();
        for switch in &self.options.physical_switches {
            let ports: Vec<Value> = switch
                .ports
                .iter()
                .map(|port| refer("Physical_Port", json!({ "name": port })))
                .collect();
            let row = json!({ "name": switch.name, "tunnel_ips": switch.tunnel_ip, "ports": ["set", ports] });
            switches.push(refer("Physical_Switch", row));
        }
        let managers: Vec<Value> = self
            .options
            .managers
            .iter()
            .map(|manager| refer("Manager", manager.row()))
            .collect();
        refer(
            "Global",
            json!({ "switches": ["set", switches], "managers": ["set", managers] }),
        );
        self.transact(&Value::Array(operations))?;
        Ok(())
    }
}

impl Manager {
    /// A manager that the switch dials again after a second, with the server's defaults for the rest.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            max_backoff_ms: Some(1000),
            inactivity_probe_ms: None,
        }
    }

    fn row(&self) -> Value {
        let mut row = json!({ "target": self.target });
        for (column, value) in [
            ("max_backoff", self.max_backoff_ms),
            ("inactivity_probe", self.inactivity_probe_ms),
        ] {
            if let Some(value) = value {
                row[column] = value.into();
            }
        }
        row
    }
}

/// A locally administered address for each number.
pub fn remote_mac(number: u32) -> String {
    let [a, b, c, d] = number.to_be_bytes();
    format!("02:01:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn create(folder: &Path, options: &SwitchOptions) -> Result<()> {
    let (schema, database) = (folder.join("schema.json"), folder.join("db"));
    options.schema.write(&schema)?;
    for old in [database.clone(), folder.join(".db.~lock~")] {
        match fs::remove_file(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("remove {}", old.display()))(error));
            }
            _ => {}
        }
    }
    program::run("ovsdb-tool", [Path::new("create"), &database, &schema])?;
    Ok(())
}

fn launch(folder: &Path, options: &SwitchOptions) -> Result<Program> {
    let file = |name: &str| folder.join(name).display().to_string();
    // Its control socket has a new name each time: a server that was killed leaves the old one behind.
    static STARTS: AtomicU32 = AtomicU32::new(0);
    let control = format!("control.{}", STARTS.fetch_add(1, Ordering::Relaxed));
    let mut launch = Launch::new("ovsdb-server")?
        .arg(file("db"))
        .arg(format!("--remote=punix:{}", file("db.sock")))
        .arg("--remote=db:hardware_vtep,Global,managers")
        .arg(format!("--unixctl={}", file(&control)))
        .namespace(options.namespace.as_deref());
    if let Some(credentials) = &options.credentials {
        launch = launch
            .arg(format!("--private-key={}", credentials.private_key.display()))
            .arg(format!("--certificate={}", credentials.certificate.display()))
            .arg(format!("--ca-cert={}", credentials.ca.display()));
    }
    launch.start(folder.join("ovsdb-server.log"))
}

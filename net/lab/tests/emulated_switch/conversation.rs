//! The messages of clients: random requests that are mostly sensible, made from the schema and the database.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tandem_core::Uuid;
use tandem_sim::switch::{DATABASE, Schema, Switch};

use super::transactions::Draft;

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Step {
    Connect(u64),
    Close(u64),
    Send(u64, Vec<String>),
    /// Sends these, and no more, and goes on reading.
    Last(u64, Vec<String>),
}

/// Thinks of the next thing.
pub(crate) struct Talker {
    pub(crate) rng: ChaCha8Rng,
    open: Vec<u64>,
    next_conn: u64,
    next_id: u64,
    /// Monitors that were asked for.
    monitors: Vec<Watching>,
    /// Whether something wrong was put into the transaction under way; once is enough.
    pub(crate) spoilt: bool,
}

/// A monitor that was asked for.
#[derive(Clone)]
struct Watching {
    conn: u64,
    id: String,
    /// Tables of the database, and the columns that are watched.
    tables: Vec<(&'static str, Vec<&'static str>)>,
}

impl Talker {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            open: vec![0, 1, 2],
            next_conn: 3,
            next_id: 0,
            monitors: Vec::new(),
            spoilt: false,
        }
    }

    pub(crate) fn next(&mut self, switch: &Switch) -> Step {
        let place = self.rng.random_range(0..self.open.len());
        let conn = self.open[place];
        match self.rng.random_range(0..100) {
            0 | 1 if self.open.len() > 1 => {
                self.open.remove(place);
                Step::Close(conn)
            }
            2 if self.open.len() > 1 => {
                self.open.remove(place);
                let nonsense = [
                    "]",
                    "{\"id\":1}",
                    "[]",
                    "{\"id\":1,\"result\":{}}",
                    "{\"method\":\"echo\",\"id\":1,\"params\":{}}",
                ];
                Step::Send(conn, vec![(*nonsense.choose(&mut self.rng).expect("some")).into()])
            }
            3..=6 if self.open.len() < 4 => {
                let conn = self.next_conn;
                self.next_conn += 1;
                self.open.push(conn);
                Step::Connect(conn)
            }
            7 | 8 if self.open.len() > 1 => {
                self.open.remove(place);
                let mut texts = self.requests(0, conn, switch);
                if self.chance(20) {
                    texts.push("{\"id\":".into());
                }
                Step::Last(conn, texts)
            }
            _ => Step::Send(conn, self.requests(1, conn, switch)),
        }
    }

    fn requests(&mut self, least: usize, conn: u64, switch: &Switch) -> Vec<String> {
        let count = self.rng.random_range(least..4);
        (0..count).map(|_| self.request(conn, switch)).collect()
    }

    fn request(&mut self, conn: u64, switch: &Switch) -> String {
        self.next_id += 1;
        let (method, params) = match self.rng.random_range(0..100) {
            0..12 => self.monitor(conn, switch.schema()),
            12..17 => self.change_condition(conn, switch.schema()),
            17..21 => self.server(conn),
            21..30 => self.lock(),
            30..36 => self.other(),
            _ => ("transact", self.transaction(switch)),
        };
        let id = if method == "cancel" {
            Value::Null
        } else {
            json!(self.next_id)
        };
        json!({"id": id, "method": method, "params": params}).to_string()
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Whether to put something wrong in; at most once in a request.
    pub(crate) fn spoil(&mut self, percent: u32) -> bool {
        let spoils = !self.spoilt && self.chance(percent);
        self.spoilt |= spoils;
        spoils
    }

    fn other(&mut self) -> (&'static str, Value) {
        let earlier = self.rng.random_range(0..=self.next_id);
        let requests = [
            ("echo", json!(["x", {"y": 1}])),
            ("no_such_method", json!([])),
            ("get_schema", json!([DATABASE])),
            ("get_schema", json!(["no_such_database"])),
            ("get_schema", json!([])),
            ("transact", json!(["no_such_database"])),
            ("transact", json!([DATABASE])),
            ("transact", json!([7])),
            ("cancel", json!([earlier])),
            ("monitor_cancel", json!([])),
            ("set_db_change_aware", json!([true])),
            ("set_db_change_aware", json!([])),
        ];
        requests.choose(&mut self.rng).cloned().expect("some")
    }

    fn lock(&mut self) -> (&'static str, Value) {
        let method = *["lock", "lock", "steal", "unlock", "unlock"]
            .choose(&mut self.rng)
            .expect("some");
        let params = [
            json!(["tandem"]),
            json!(["tandem"]),
            json!(["other"]),
            json!(["tor-agent"]),
            json!([]),
        ];
        let weight = if self.chance(90) { 3 } else { 5 };
        (method, params[..weight].choose(&mut self.rng).cloned().expect("some"))
    }

    fn monitor(&mut self, conn: u64, schema: &Schema) -> (&'static str, Value) {
        self.spoilt = self.chance(60);
        let id = format!("m{}", self.rng.random_range(0..8));
        if self.chance(12) {
            return ("monitor_cancel", json!([id]));
        }
        let method = *["monitor", "monitor_cond", "monitor_cond", "monitor_cond_since"]
            .choose(&mut self.rng)
            .expect("some");
        let mut requests = Map::new();
        let mut tables = Vec::new();
        for _ in 0..self.rng.random_range(0..4) {
            let table = self.table(schema);
            let columns: Vec<_> = table.columns.values().filter(|column| column.name != "_uuid").collect();
            let mut request = Map::new();
            let mut watched: Vec<_> = columns.iter().map(|column| column.name).collect();
            if self.chance(60) {
                let mut names: Vec<_> = (0..self.rng.random_range(0..4))
                    .filter_map(|_| columns.choose(&mut self.rng).map(|column| column.name))
                    .collect();
                names.sort_unstable();
                names.dedup();
                watched.clone_from(&names);
                if self.spoil(5) {
                    names.push("no_such_column");
                }
                request.insert("columns".into(), json!(names));
            }
            if self.chance(30) {
                let mut select = Map::new();
                for kind in ["initial", "insert", "delete", "modify"] {
                    if self.chance(50) {
                        select.insert(kind.into(), self.chance(50).into());
                    }
                }
                request.insert("select".into(), select.into());
            }
            if method != "monitor" && self.chance(40) {
                let mut draft = Draft::default();
                let clause = match columns.choose(&mut self.rng) {
                    Some(column) if self.chance(80) => self.clause(column, None, &mut draft),
                    _ => self.chance(50).into(),
                };
                request.insert("where".into(), json!([clause]));
            } else if method == "monitor" && self.spoil(5) {
                request.insert("where".into(), json!([]));
            }
            tables.push((table.name, watched));
            let request = Value::from(request);
            requests.insert(
                table.name.into(),
                if self.chance(50) { json!([request]) } else { request },
            );
        }
        if self.spoil(3) {
            requests.clear();
            requests.insert("No_Such_Table".into(), json!({}));
        }
        let asked = id.clone();
        self.monitors.push(Watching {
            conn,
            id: asked,
            tables,
        });
        let mut params = vec![json!(DATABASE), json!(id), requests.into()];
        if method == "monitor_cond_since" {
            params.push(json!(Uuid(0)));
        }
        (method, params.into())
    }

    /// Changes the conditions of a monitor: mostly one that is there, and mostly of tables that it watches.
    fn change_condition(&mut self, conn: u64, schema: &Schema) -> (&'static str, Value) {
        self.spoilt = self.chance(75);
        let monitors: Vec<_> = self.monitors.iter().filter(|monitor| monitor.conn == conn).collect();
        let Some(monitor) = monitors.choose(&mut self.rng).map(|monitor| (*monitor).clone()) else {
            return ("monitor_cond_change", json!(["unknown", "unknown", {}]));
        };
        let Watching { id, tables, .. } = &monitor;
        let mut requests = Map::new();
        // Of several tables, an error would let those change that happen to come before it.
        if let Some((name, columns)) = tables.choose(&mut self.rng) {
            let table = &schema.tables[name];
            // A column that the monitor does not watch may be the end of the real server.
            let column = columns
                .choose(&mut self.rng)
                .and_then(|column| table.columns.get(column));
            let clause = match column {
                Some(column) if self.chance(70) => self.clause(column, None, &mut Draft::default()),
                _ => self.chance(50).into(),
            };
            let mut request = json!({"where": [clause]});
            if self.chance(20) {
                request["where"] = json!([]);
            }
            if self.spoil(10) {
                request["columns"] = json!(["name"]);
            }
            let request = if self.spoil(10) { request } else { json!([request]) };
            requests.insert((*name).into(), request);
        }
        if self.spoil(10) {
            let table = ["No_Such_Table", "Physical_Locator_Set"]
                .choose(&mut self.rng)
                .expect("some");
            requests = Map::from_iter([((*table).to_owned(), json!([]))]);
        }
        let new_id = if self.chance(70) {
            id.clone()
        } else {
            format!("m{}", self.rng.random_range(0..8))
        };
        let renamed = new_id.clone();
        self.monitors.push(Watching {
            id: renamed,
            ..monitor.clone()
        });
        let params = [
            json!([id, new_id, requests]),
            json!([id, new_id, 7]),
            json!([id, requests]),
        ];
        let place = if self.spoil(15) { self.rng.random_range(1..3) } else { 0 };
        ("monitor_cond_change", params[place].clone())
    }

    /// Asks the server about itself.
    fn server(&mut self, conn: u64) -> (&'static str, Value) {
        let id = format!("m{}", self.rng.random_range(0..8));
        let operation = |op: &str| json!({"op": op, "table": "Database", "where": [["name", "==", DATABASE]]});
        let requests = [
            ("list_dbs", json!([])),
            ("get_schema", json!(["_Server"])),
            ("set_db_change_aware", json!([true])),
            ("monitor", json!(["_Server", id, {"Database": {}}])),
            (
                "monitor_cond",
                json!(["_Server", id, {"Database": [{"where": [["name", "==", DATABASE]]}]}]),
            ),
            (
                "monitor_cond_since",
                json!(["_Server", id, {"Database": [{"columns": ["name", "leader", "cid"]}]}, Uuid(0)]),
            ),
            (
                "monitor_cond_change",
                json!([id, id, {"Database": [{"where": [["index", "!=", 7]]}]}]),
            ),
            (
                "monitor_cond_change",
                json!([id, id, {"Database": [{"where": [["name", "==", "_Server"]]}]}]),
            ),
            ("transact", json!(["_Server", operation("select")])),
            (
                "transact",
                json!(["_Server", operation("select"), operation("delete"), operation("select")]),
            ),
            ("transact", json!(["_Server", {"op": "commit"}])),
            (
                "transact",
                json!(["_Server", {"op": "comment", "comment": "x"}, {"op": "insert", "table": "Database", "row": {}}]),
            ),
        ];
        let request = requests.choose(&mut self.rng).cloned().expect("some");
        if request.0.starts_with("monitor") {
            let tables = Vec::new();
            self.monitors.push(Watching { conn, id, tables });
        }
        request
    }
}

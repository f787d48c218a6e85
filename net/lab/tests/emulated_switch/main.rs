//! The emulated switch against the real ovsdb-server: the same seeded conversations, the same answers.
//!
//! Each conversation goes to both, message by message. The server's uuids are translated to the emulated ones
//! as inserts are answered; what differs by nature (`_version`, the order of rows, which of two rows in conflict
//! comes first) is levelled out on both sides.

mod backlog;
mod conversation;
mod sides;
mod tools;
mod transactions;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tandem_lab::Result;
use tandem_sim::switch::{DATABASE, SchemaVersion, Switch};

use conversation::{Step, Talker};
use sides::{Arrived, Emulated, Real};

const CONVERSATIONS: u64 = 2000;
const STEPS: usize = 20;

/// Methods, errors and results that must come up, again and again.
const KINDS: [&str; 22] = [
    "result",
    "inserted",
    "update",
    "update2",
    "update3",
    "initial",
    "insert",
    "modify",
    "delete",
    "locked",
    "stolen",
    "closed",
    "syntax error",
    "constraint violation",
    "referential integrity violation",
    "unknown column",
    "timed out",
    "not owner",
    "aborted",
    "unknown method",
    "unknown database",
    "not allowed",
];

#[test]
#[allow(clippy::print_stdout, reason = "how much was talked about")]
fn seeded_conversations_are_answered_alike() -> Result<()> {
    let (some, others) = SchemaVersion::ALL.split_at(SchemaVersion::ALL.len() / 2);
    let seen = thread::scope(|scope| {
        let others = scope.spawn(|| converse(others));
        let mut seen = converse(some)?;
        for (kind, count) in others.join().unwrap_or_else(|panic| resume_unwind(panic))? {
            *seen.entry(kind).or_insert(0) += count;
        }
        Result::Ok(seen)
    })?;
    println!("{CONVERSATIONS} conversations; messages and errors compared: {seen:#?}");
    // The talker must go on talking about everything.
    for kind in KINDS {
        assert!(
            seen.get(kind).is_some_and(|count| *count >= 10),
            "hardly any `{kind}`: {seen:#?}"
        );
    }
    Ok(())
}

#[test]
fn the_newest_schema_is_the_installed_one() -> Result<()> {
    let mut emulated = Emulated::new(0, SchemaVersion::V1_7_0);
    let mut real = Real::with_installed_schema()?;
    let request = json!({"id": 1, "method": "get_schema", "params": [DATABASE]});
    emulated.connect(0);
    real.connect(0)?;
    emulated.send(0, &request.to_string());
    real.send(0, &request.to_string());
    assert_alike(&emulated.arrived(), &real.arrived(0), "the schema");
    Ok(())
}

/// Has conversations with servers of these schemas, each emptied for the next one. Returns the kinds that came up.
fn converse(versions: &[SchemaVersion]) -> Result<BTreeMap<String, u64>> {
    let mut seen = BTreeMap::new();
    let per_version = CONVERSATIONS / SchemaVersion::ALL.len() as u64;
    for version in versions {
        let empty = Switch::new(0, *version);
        let mut real = Real::from_schema(&empty.schema().to_json())?;
        let first = *version as u64 * per_version;
        for seed in first..first + per_version {
            for kind in Pair::new(seed, *version, &mut real).converse(seed)? {
                *seen.entry(kind).or_insert(0) += 1;
            }
            real.clear(empty.schema().tables.keys().copied())?;
        }
    }
    Ok(seen)
}

/// Both sides, and what their uuids have to do with each other.
struct Pair<'a> {
    emulated: Emulated,
    real: &'a mut Real,
    /// From the server's uuids to the emulated ones, and back.
    ours: BTreeMap<String, String>,
    theirs: BTreeMap<String, String>,
    seed: u64,
    /// The kinds of messages and errors that both sides agreed on.
    agreed: Vec<String>,
}

impl<'a> Pair<'a> {
    fn new(seed: u64, version: SchemaVersion, real: &'a mut Real) -> Self {
        Self {
            emulated: Emulated::new(seed, version),
            real,
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            seed,
            agreed: Vec::new(),
        }
    }

    /// Answers what kinds of messages and errors were compared.
    fn converse(mut self, seed: u64) -> Result<Vec<String>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut talker = Talker::new(rng.random());
        for conn in 0..3 {
            self.step(&Step::Connect(conn))?;
        }
        self.learn_of_the_server();
        for _ in 0..STEPS {
            let step = talker.next(&self.emulated.switch);
            self.step(&step)?;
        }
        self.step(&Step::Connect(99))?;
        let tables = self.emulated.switch.schema().tables.keys();
        let selects: Vec<_> = tables
            .map(|table| json!({"op": "select", "table": table, "where": []}))
            .collect();
        let params: Vec<_> = std::iter::once(json!(DATABASE)).chain(selects).collect();
        let contents = json!({"id": "contents", "method": "transact", "params": params});
        self.step(&Step::Send(99, vec![contents.to_string()]))?;
        Ok(self.agreed)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let conn = match step {
            Step::Connect(conn) => {
                self.emulated.connect(*conn);
                self.real.connect(*conn)?;
                *conn
            }
            Step::Close(conn) => {
                self.emulated.close(*conn);
                self.real.close(*conn);
                *conn
            }
            Step::Send(conn, texts) => {
                self.send(*conn, texts);
                *conn
            }
            Step::Last(conn, texts) => {
                self.send(*conn, texts);
                self.emulated.finish(*conn);
                self.real.finish(*conn);
                *conn
            }
        };
        let (emulated, real) = (self.emulated.arrived(), self.real.arrived(conn));
        self.learn(&emulated, &real);
        let real: BTreeMap<_, _> = real
            .into_iter()
            .map(|(conn, messages)| (conn, self.level(&messages, true)))
            .collect();
        let emulated: BTreeMap<_, _> = emulated
            .into_iter()
            .map(|(conn, messages)| (conn, self.level(&messages, false)))
            .collect();
        assert_alike(&emulated, &real, &format!("seed {}, after {step:?}", self.seed));
        real.values()
            .flatten()
            .for_each(|message| kinds(message, &mut self.agreed));
        Ok(())
    }

    fn send(&mut self, conn: u64, texts: &[String]) {
        let text = texts.concat();
        self.emulated.send(conn, &text);
        self.real.send(conn, &self.for_the_server(&text));
    }

    /// Pairs the uuids of rows that both sides inserted.
    fn learn(&mut self, emulated: &BTreeMap<u64, Vec<Value>>, real: &BTreeMap<u64, Vec<Value>>) {
        for (conn, messages) in real {
            for reply in messages.iter().filter(|message| message["result"].is_array()) {
                let twin = emulated
                    .get(conn)
                    .into_iter()
                    .flatten()
                    .find(|twin| twin["id"] == reply["id"] && twin["result"].is_array());
                let results = twin.and_then(|twin| twin["result"].as_array()).into_iter().flatten();
                for (ours, theirs) in results.zip(reply["result"].as_array().into_iter().flatten()) {
                    if let (Some(ours), Some(theirs)) = (ours["uuid"][1].as_str(), theirs["uuid"][1].as_str()) {
                        self.twins(ours, theirs);
                    }
                }
            }
        }
    }

    /// Pairs the uuids of the rows in which each side describes itself.
    fn learn_of_the_server(&mut self) {
        for name in [DATABASE, "_Server"] {
            let select = json!({"op": "select", "table": "Database", "where": [["name", "==", name]]});
            let request = json!({"id": name, "method": "transact", "params": ["_Server", select]}).to_string();
            self.emulated.send(0, &request);
            self.real.send(0, &request);
            let row = |arrived: &Arrived| arrived[&0][0]["result"][0]["rows"][0]["_uuid"][1].clone();
            let (ours, theirs) = (row(&self.emulated.arrived()), row(&self.real.arrived(0)));
            self.twins(ours.as_str().expect("a uuid"), theirs.as_str().expect("a uuid"));
        }
    }

    fn twins(&mut self, ours: &str, theirs: &str) {
        self.ours.insert(theirs.into(), ours.into());
        self.theirs.insert(ours.into(), theirs.into());
    }

    fn for_the_server(&self, text: &str) -> String {
        replace_uuids(text, |uuid| self.theirs.get(uuid).map_or(uuid, String::as_str).into())
    }

    /// Makes messages comparable: known uuids are the emulated ones, all others are `?`.
    fn level(&self, messages: &[Value], is_real: bool) -> Vec<Value> {
        let name = |uuid: &str| {
            if is_real && let Some(ours) = self.ours.get(uuid) {
                return ours.clone();
            }
            let is_ours = !is_real && self.theirs.contains_key(uuid);
            if is_ours || uuid.starts_with("00000000-") {
                uuid.into()
            } else {
                "?".into()
            }
        };
        let mut levelled: Vec<Value> = messages
            .iter()
            .map(|message| serde_json::from_str(&replace_uuids(&message.to_string(), name)).expect("JSON"))
            .map(|mut message| {
                level_value(&mut message);
                message
            })
            .collect();
        // The updates of the monitors of one session may come in any order.
        for run in levelled.chunk_by_mut(|one, other| is_update(one) && is_update(other)) {
            run.sort_by_cached_key(Value::to_string);
        }
        levelled
    }
}

/// Fails with the first difference and its place.
fn assert_alike(emulated: &Arrived, real: &Arrived, what: &str) {
    let (emulated, real) = (json!(emulated), json!(real));
    if let Some((place, emulated, real)) = difference(&emulated, &real) {
        panic!("{what}\n  at {place}\n  emulated: {emulated}\n  real:     {real}");
    }
}

fn difference(one: &Value, other: &Value) -> Option<(String, Value, Value)> {
    let inner = |name: String, one: &Value, other: &Value| {
        let (place, one, other) = difference(one, other)?;
        Some((format!("/{name}{place}"), one, other))
    };
    match (one, other) {
        (Value::Object(members), Value::Object(others)) if members.keys().eq(others.keys()) => members
            .iter()
            .find_map(|(name, value)| inner(name.clone(), value, &others[name])),
        (Value::Array(elements), Value::Array(others)) if elements.len() == others.len() => {
            let mut pairs = elements.iter().zip(others).enumerate();
            pairs.find_map(|(place, (one, other))| inner(place.to_string(), one, other))
        }
        _ => (one != other).then(|| (String::new(), one.clone(), other.clone())),
    }
}

/// The method of a notification, its kinds of row updates, the fate of a request, and every error in a reply.
fn kinds(message: &Value, kinds: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    kinds.extend(text(message));
    kinds.extend(text(&message["method"]));
    kinds.extend(text(&message["error"]));
    kinds.extend(text(&message["error"]["error"]));
    kinds.extend(message.get("result").map(|_| "result".into()));
    let params = message["params"].as_array().into_iter().flatten();
    let tables = params.chain([&message["result"]]).filter_map(Value::as_object);
    let rows = tables
        .flat_map(Map::values)
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    kinds.extend(rows.filter_map(Value::as_object).flat_map(Map::keys).cloned());
    for result in message["result"].as_array().into_iter().flatten() {
        kinds.extend(text(&result["error"]));
        kinds.extend(result.get("uuid").map(|_| "inserted".into()));
    }
}

fn is_update(message: &Value) -> bool {
    message["method"]
        .as_str()
        .is_some_and(|method| method.starts_with("update"))
}

/// Sorts values without an order, and strips error texts of their arbitrary parts.
fn level_value(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            elements.iter_mut().for_each(level_value);
            if let [Value::String(word), Value::Array(inner)] = elements.as_mut_slice()
                && (word == "set" || word == "map")
            {
                inner.sort_by_cached_key(Value::to_string);
            }
        }
        Value::Object(members) => {
            members.values_mut().for_each(level_value);
            if let Some(Value::Array(rows)) = members.get_mut("rows")
                && rows.iter().any(|row| row.as_object().is_some_and(|row| row.len() != 1))
            {
                rows.sort_by_cached_key(Value::to_string);
            }
            if let Some(Value::String(details)) = members.get_mut("details") {
                *details = level_details(details);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Of commit errors only the kind is compared: which of several stands first in a hash table is arbitrary. How
/// long a `wait` took is the business of the clock.
fn level_details(details: &str) -> String {
    const ALIKE: [&str; 5] = [
        "references nonexistent row",
        "remaining reference(s)",
        "to have identical values",
        "\"wait\" timed out after",
        "\"where\" clause test failed",
    ];
    let kind = ALIKE.into_iter().find(|kind| details.contains(kind));
    match kind {
        Some(kind) if kind.starts_with('"') => "timed out".into(),
        _ => kind.unwrap_or(details).into(),
    }
}

/// Replaces every uuid in a text.
fn replace_uuids(text: &str, name: impl Fn(&str) -> String) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(dash) = rest.find('-') {
        let candidate = dash
            .checked_sub(8)
            .and_then(|start| Some((start, rest.get(start..start + 36)?)));
        match candidate.filter(|(_, candidate)| candidate.parse::<tandem_core::Uuid>().is_ok()) {
            Some((start, uuid)) => {
                replaced.push_str(&rest[..start]);
                replaced.push_str(&name(uuid));
                rest = &rest[start + 36..];
            }
            None => {
                replaced.push_str(&rest[..=dash]);
                rest = &rest[dash + 1..];
            }
        }
    }
    replaced + rest
}

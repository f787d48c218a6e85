//! A monitor of a switch, apart from Tandem: the tunnel ends of the broadcast rows, and since when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tandem_lab::scratch::Scratch;
use tandem_lab::switch::Switch;

use crate::pair::{BLUE, Broadcast, LONG, references, text};

/// A monitor on the server's unix socket. It ends with the server.
pub(crate) struct Watch(Arc<Mutex<Vec<(SystemTime, Broadcast)>>>);

const TABLES: [(&str, &[&str]); 4] = [
    ("Logical_Switch", &["name"]),
    ("Mcast_Macs_Remote", &["logical_switch", "locator_set"]),
    ("Physical_Locator_Set", &["locators"]),
    ("Physical_Locator", &["dst_ip"]),
];

impl Watch {
    pub(crate) fn start(switch: &Switch) -> Self {
        let mut client = switch.client().expect("a connection");
        let asked: Map<String, Value> = TABLES
            .iter()
            .map(|(table, columns)| ((*table).to_owned(), json!({ "columns": columns })))
            .collect();
        let initial = client
            .call("monitor", &json!(["hardware_vtep", "watch", asked]))
            .expect("a monitor");
        let mut replica = Replica::default();
        replica.apply(&initial);
        let seen = Arc::new(Mutex::new(vec![(SystemTime::now(), replica.broadcast())]));
        let watch = Self(Arc::clone(&seen));
        thread::spawn(move || {
            while let Ok(update) = client.notification() {
                let now = SystemTime::now();
                replica.apply(&update["params"][1]);
                let broadcast = replica.broadcast();
                let mut seen = seen.lock().expect("not poisoned");
                if seen.last().is_none_or(|(_, last)| *last != broadcast) {
                    seen.push((now, broadcast));
                }
            }
        });
        watch
    }

    /// When the broadcast row of `blue` came to name this tunnel end, and no other.
    pub(crate) fn until(&self, scratch: &Scratch, end: &str) -> SystemTime {
        let named = || {
            let (at, broadcast) = self.seen().pop()?;
            (broadcast.get(BLUE)? == &[[end]]).then_some(at)
        };
        let named = scratch.wait_until(&format!("the broadcast row at {end}"), LONG, named);
        named.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything that it has seen, the oldest first: one entry for each transaction that changed something.
    pub(crate) fn seen(&self) -> Vec<(SystemTime, Broadcast)> {
        self.0.lock().expect("not poisoned").clone()
    }

    /// The tunnel ends of `blue`, in the order in which they came. Fails if it ever had none, or two.
    pub(crate) fn ends(&self) -> Vec<String> {
        let end = |broadcast: &Broadcast| match broadcast.get(BLUE).map(Vec::as_slice) {
            Some([row]) if row.len() == 1 => row[0].clone(),
            other => panic!("one broadcast row with one tunnel end, not {other:?}"),
        };
        let mut ends: Vec<_> = self.seen().iter().map(|(_, broadcast)| end(broadcast)).collect();
        ends.dedup();
        ends
    }
}

/// The tables, row by row.
#[derive(Default)]
struct Replica(BTreeMap<String, BTreeMap<String, Value>>);

impl Replica {
    fn apply(&mut self, updates: &Value) {
        for (table, rows) in updates.as_object().into_iter().flatten() {
            let known = self.0.entry(table.clone()).or_default();
            for (uuid, change) in rows.as_object().into_iter().flatten() {
                match &change["new"] {
                    Value::Null => known.remove(uuid),
                    row => known.insert(uuid.clone(), row.clone()),
                };
            }
        }
    }

    fn broadcast(&self) -> Broadcast {
        let row = |table: &str, reference: &Value| self.0[table][&references(reference)[0]].clone();
        let mut found = Broadcast::new();
        for mcast in self.0.get("Mcast_Macs_Remote").into_iter().flat_map(BTreeMap::values) {
            let name = text(&row("Logical_Switch", &mcast["logical_switch"])["name"]);
            let set = row("Physical_Locator_Set", &mcast["locator_set"]);
            let ends = references(&set["locators"]).into_iter();
            let ends = ends.map(|locator| text(&self.0["Physical_Locator"][&locator]["dst_ip"]));
            found.entry(name).or_default().push(ends.collect());
        }
        found
    }
}

//! Watches a switch's database, independently of the agents: what it holds, and since when.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};

use tandem_lab::jsonrpc::Client;
use tandem_lab::{Error, Remote, Result};

/// The tunnel ends of each broadcast row.
pub(super) type BroadcastRows = Vec<Vec<String>>;

/// The tunnel ends that each MAC is behind; none at all where there is no row.
pub(super) type Routes = BTreeMap<String, Vec<String>>;

/// Every change of something since the watch began.
pub(super) struct Watch<T> {
    observations: mpsc::Receiver<Observation<T>>,
    seen: Vec<Observation<T>>,
}

/// What was seen, and when the database server's update arrived.
struct Observation<T> {
    at: Instant,
    what: T,
}

/// Watches all broadcast rows.
pub(super) fn broadcast_rows(switch: &Remote) -> Result<Watch<BroadcastRows>> {
    let requests = json!({
        "Mcast_Macs_Remote": { "columns": ["locator_set"] },
        "Physical_Locator_Set": { "columns": ["locators"] },
        "Physical_Locator": { "columns": ["dst_ip"] },
    });
    start(switch, &requests, Tables::broadcast_rows)
}

/// Watches where the switch sends frames for these MACs.
pub(super) fn routes(switch: &Remote, macs: &'static [&str]) -> Result<Watch<Routes>> {
    let requests = json!({
        "Ucast_Macs_Remote": { "columns": ["MAC", "locator"] },
        "Physical_Locator": { "columns": ["dst_ip"] },
    });
    start(switch, &requests, |tables| tables.routes(macs))
}

/// Whether there are broadcast rows, and all of them name this tunnel end and no other.
pub(super) fn all_at(rows: &BroadcastRows, tunnel_end: &str) -> bool {
    !rows.is_empty() && rows.iter().all(|ends| ends == &[tunnel_end])
}

/// Whether the MAC is behind this tunnel end and no other.
pub(super) fn is_behind(routes: &Routes, mac: &str, tunnel_end: &str) -> bool {
    routes.get(mac).is_some_and(|ends| ends == &[tunnel_end])
}

impl<T> Watch<T> {
    /// When this was first seen; `None` if it was not yet.
    ///
    /// # Errors
    /// It was not, and the server has closed the connection.
    pub(super) fn first(&mut self, wanted: impl Fn(&T) -> bool) -> Result<Option<Instant>> {
        let closed = self.receive();
        match self.seen.iter().find(|observation| wanted(&observation.what)) {
            None => closed.map(|()| None),
            Some(observation) => Ok(Some(observation.at)),
        }
    }

    /// The present state; `None` before the first one has arrived.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub(super) fn now(&mut self) -> Result<Option<&T>> {
        self.receive()?;
        Ok(self.seen.last().map(|observation| &observation.what))
    }

    fn receive(&mut self) -> Result<()> {
        loop {
            match self.observations.try_recv() {
                Ok(observation) => self.seen.push(observation),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    return Err(Error::failed(
                        "watch a switch's database",
                        "its server closed the connection",
                    ));
                }
            }
        }
    }

    /// The intervals in which something that is there now was missing.
    pub(super) fn gaps(&self, since: Instant, is_there: impl Fn(&T) -> bool) -> Vec<[Instant; 2]> {
        let (mut gaps, mut gone) = (Vec::new(), None);
        for Observation { at, what } in &self.seen {
            match (is_there(what), gone) {
                (false, None) => gone = Some(since.max(*at)),
                (true, Some(from)) => {
                    if *at > from {
                        gaps.push([from, *at]);
                    }
                    gone = None;
                }
                (false, Some(_)) | (true, None) => {}
            }
        }
        gaps
    }
}

/// The present state comes first; the channel closes with the connection.
fn start<T: Clone + PartialEq + Send + 'static>(
    switch: &Remote,
    requests: &Value,
    look: impl Fn(&Tables) -> T + Send + 'static,
) -> Result<Watch<T>> {
    let mut client = switch.client()?;
    let mut tables = Tables::default();
    tables.update(&client.call("monitor", &json!(["hardware_vtep", null, requests]))?);
    let (sender, observations) = mpsc::channel();
    thread::spawn(move || follow_changes(&mut client, tables, look, &sender));
    Ok(Watch {
        observations,
        seen: Vec::new(),
    })
}

fn follow_changes<T: Clone + PartialEq>(
    client: &mut Client,
    mut tables: Tables,
    look: impl Fn(&Tables) -> T,
    observations: &mpsc::Sender<Observation<T>>,
) {
    let mut last = None;
    loop {
        let at = Instant::now();
        let what = look(&tables);
        if last.as_ref() != Some(&what) {
            last = Some(what.clone());
            if observations.send(Observation { at, what }).is_err() {
                return;
            }
        }
        match client.notification() {
            Ok(update) => tables.update(&update["params"][1]),
            Err(_) => return,
        }
    }
}

/// The monitored columns, by table and row.
#[derive(Default)]
struct Tables(BTreeMap<String, BTreeMap<String, Value>>);

impl Tables {
    /// `<table-updates>` of RFC 7047, 4.1.6.
    fn update(&mut self, updates: &Value) {
        let entries = |value: &Value| value.as_object().cloned().unwrap_or_else(Map::new);
        for (table, rows) in entries(updates) {
            let known = self.0.entry(table).or_default();
            for (uuid, mut change) in entries(&rows) {
                match change["new"].take() {
                    Value::Null => known.remove(&uuid),
                    new => known.insert(uuid, new),
                };
            }
        }
    }

    fn broadcast_rows(&self) -> BroadcastRows {
        let rows = self.rows("Mcast_Macs_Remote").map(|row| {
            let sets = self.follow("Physical_Locator_Set", &row["locator_set"]);
            sets.into_iter().flat_map(|set| self.ends(&set["locators"])).collect()
        });
        rows.collect()
    }

    fn routes(&self, macs: &[&str]) -> Routes {
        let mut routes = Routes::new();
        for row in self.rows("Ucast_Macs_Remote") {
            if let Some(mac) = row["MAC"].as_str().filter(|mac| macs.contains(mac)) {
                let ends = self.ends(&row["locator"]);
                routes.entry(mac.into()).or_default().extend(ends);
            }
        }
        routes
    }

    fn rows(&self, table: &str) -> impl Iterator<Item = &Value> {
        self.0.get(table).into_iter().flat_map(BTreeMap::values)
    }

    /// The tunnel ends of these locators.
    fn ends(&self, locators: &Value) -> Vec<String> {
        let locators = self.follow("Physical_Locator", locators).into_iter();
        locators
            .filter_map(|locator| locator["dst_ip"].as_str().map(Into::into))
            .collect()
    }

    /// The rows that a reference, or a set of references, names.
    fn follow(&self, table: &str, references: &Value) -> Vec<&Value> {
        let row = |uuid: &Value| self.0.get(table)?.get(uuid.as_str()?);
        match references[0].as_str() {
            Some("uuid") => row(&references[1]).into_iter().collect(),
            Some("set") => {
                let members = references[1].as_array().into_iter().flatten();
                members.flat_map(|member| self.follow(table, member)).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_row_is_followed_to_its_tunnel_ends_through_every_update() {
        let mut tables = Tables::default();
        tables.update(&json!({
            "Mcast_Macs_Remote": { "m": { "new": { "locator_set": ["uuid", "s1"] } } },
            "Physical_Locator_Set": { "s1": { "new": { "locators": ["uuid", "l1"] } } },
            "Physical_Locator": { "l1": { "new": { "dst_ip": "10.0.0.11" } } },
        }));
        assert_eq!(tables.broadcast_rows(), [["10.0.0.11"]]);
        tables.update(&json!({
            "Mcast_Macs_Remote": { "m": { "old": {}, "new": { "locator_set": ["uuid", "s2"] } } },
            "Physical_Locator_Set": {
                "s1": { "old": {} },
                "s2": { "new": { "locators": ["set", [["uuid", "l2"], ["uuid", "l3"]]] } },
            },
            "Physical_Locator": {
                "l1": { "old": {} }, "l2": { "new": { "dst_ip": "10.0.0.12" } }, "l3": { "new": { "dst_ip": "10.0.0.13" } },
            },
        }));
        assert_eq!(tables.broadcast_rows(), [["10.0.0.12", "10.0.0.13"]]);
        assert!(tables.0["Physical_Locator_Set"].len() == 1 && tables.0["Physical_Locator"].len() == 2);
    }

    #[test]
    fn only_the_macs_that_are_watched_are_reported() {
        let mut tables = Tables::default();
        tables.update(&json!({
            "Ucast_Macs_Remote": {
                "m1": { "new": { "MAC": "a", "locator": ["uuid", "l1"] } },
                "m2": { "new": { "MAC": "b", "locator": ["uuid", "l1"] } },
            },
            "Physical_Locator": { "l1": { "new": { "dst_ip": "10.0.1.1" } }, "l2": { "new": { "dst_ip": "10.0.1.2" } } },
        }));
        let routes = tables.routes(&["a", "c"]);
        assert_eq!(Vec::from_iter(routes.keys()), ["a"]);
        assert!(is_behind(&routes, "a", "10.0.1.1") && !is_behind(&routes, "a", "10.0.1.2"));
        assert!(!is_behind(&routes, "c", "10.0.1.1"));
        tables.update(&json!({
            "Ucast_Macs_Remote": { "m3": { "new": { "MAC": "a", "locator": ["uuid", "l2"] } } },
        }));
        assert!(!is_behind(&tables.routes(&["a"]), "a", "10.0.1.1"), "in two places");
    }

    #[test]
    fn all_rows_must_name_the_tunnel_end_and_no_other() {
        let all_at = |rows: &[&str]| {
            let ends = |ends: &&str| ends.split_whitespace().map(Into::into).collect();
            all_at(&rows.iter().map(ends).collect(), "a")
        };
        assert!(all_at(&["a", "a"]));
        for wrong in [&[][..], &["a", "b"], &["a b"], &[""]] {
            assert!(!all_at(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_gap_lasts_until_the_same_is_there_again_and_begins_no_earlier_than_asked_for() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let gaps = |seen: &[(u64, bool)]| {
            let (_server, observations) = mpsc::channel();
            let observation = |&(ms, what)| Observation { at: at(ms), what };
            let seen = seen.iter().map(observation).collect();
            Watch { observations, seen }.gaps(at(100), |there| *there)
        };
        assert_eq!(gaps(&[(10, true)]), Vec::<[Instant; 2]>::new());
        assert_eq!(gaps(&[(10, false), (20, true)]), Vec::<[Instant; 2]>::new());
        let twice = [(10, true), (110, false), (120, true), (130, false), (160, true)];
        assert_eq!(gaps(&twice), [[at(110), at(120)], [at(130), at(160)]]);
        assert_eq!(gaps(&[(50, false), (120, true)]), [[at(100), at(120)]]);
    }

    #[test]
    fn a_server_that_closes_ends_the_wait() {
        let (server, observations) = mpsc::channel();
        let mut watch = Watch {
            observations,
            seen: Vec::new(),
        };
        assert!(watch.first(|what| *what == 7).is_ok_and(|at| at.is_none()));
        let observation = Observation {
            at: Instant::now(),
            what: 7,
        };
        assert!(server.send(observation).is_ok());
        drop(server);
        assert!(watch.first(|what| *what == 7).is_ok_and(|at| at.is_some()));
        assert!(watch.first(|what| *what == 8).is_err());
    }
}

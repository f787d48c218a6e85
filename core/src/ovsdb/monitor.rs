//! The columns that we watch, and the requests for them.

use super::schema::{REQUIRED, Schema};
use super::{DATABASE, SERVER_DATABASE};

/// The monitors of a session; the name is the id on the wire.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Monitor {
    /// Every table but those of unicast addresses, with the columns of schema 1.0 only: one unknown
    /// column fails a whole monitor.
    Small,
    /// The kind of the server, from its own database `_Server` (Open vSwitch 2.9); an older server has none.
    Server,
    /// The columns that the schema has beyond 1.0.
    Extras,
    /// `Ucast_Macs_Local`: what the switch learned.
    Local,
    /// `Ucast_Macs_Remote`: what we program.
    Remote,
}

impl Monitor {
    /// The id on the wire.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Server => "server",
            Self::Extras => "extras",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    /// The monitor with an id, given as JSON text.
    pub(crate) fn of_id(json: &[u8]) -> Option<Self> {
        let id = json.trim_ascii();
        let is = |monitor: &Self| {
            id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")) == Some(monitor.id().as_bytes())
        };
        [Self::Small, Self::Server, Self::Extras, Self::Local, Self::Remote]
            .into_iter()
            .find(is)
    }

    /// The database that it watches.
    const fn database(self) -> &'static str {
        match self {
            Self::Server => SERVER_DATABASE,
            Self::Small | Self::Extras | Self::Local | Self::Remote => DATABASE,
        }
    }

    /// The parameters of the request, for `monitor` and `monitor_cond` alike; `None` if there is nothing to watch.
    pub(crate) fn params(self, schema: &Schema) -> Option<Vec<u8>> {
        let tables: Vec<(&str, Vec<&str>)> = match self {
            Self::Small => required(|table| !table.starts_with("Ucast_")),
            Self::Server => vec![("Database", vec!["name", "model"])],
            Self::Local => required(|table| table == "Ucast_Macs_Local"),
            Self::Remote => required(|table| table == "Ucast_Macs_Remote"),
            Self::Extras => [
                schema
                    .locator_tunnel_key
                    .then(|| ("Physical_Locator", vec!["tunnel_key"])),
                schema
                    .switch_faults
                    .then(|| ("Physical_Switch", vec!["switch_fault_status"])),
                schema.port_faults.then(|| ("Physical_Port", vec!["port_fault_status"])),
                schema
                    .replication_mode
                    .then(|| ("Logical_Switch", vec!["replication_mode"])),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        if tables.is_empty() {
            return None;
        }
        let columns = |columns: &[&str]| format!("{{\"columns\":[\"{}\"]}}", columns.join("\",\""));
        let tables: Vec<String> = tables
            .iter()
            .map(|(table, names)| format!("\"{table}\":{}", columns(names)))
            .collect();
        let (database, tables) = (self.database(), tables.join(","));
        Some(format!("[\"{database}\",\"{}\",{{{tables}}}]", self.id()).into_bytes())
    }
}

fn required(wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, Vec<&'static str>)> {
    let tables = REQUIRED.iter().filter(|(table, _)| wanted(table));
    tables.map(|(table, columns)| (*table, columns.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_monitor_asks_for_its_tables() {
        let schema = Schema {
            version: "1.7.0".into(),
            locator_tunnel_key: true,
            switch_faults: true,
            port_faults: true,
            replication_mode: true,
            ..Schema::default()
        };
        let ask = |monitor: Monitor| String::from_utf8(monitor.params(&schema).expect("parameters")).expect("text");
        insta::assert_snapshot!(
            [
                Monitor::Small,
                Monitor::Server,
                Monitor::Extras,
                Monitor::Local,
                Monitor::Remote
            ]
            .map(ask)
            .join("\n")
        );
        assert_eq!(Monitor::Extras.params(&Schema::default()), None);
    }

    #[test]
    fn an_update_finds_its_monitor_by_id() {
        assert_eq!(Monitor::of_id(b" \"remote\""), Some(Monitor::Remote));
        for other in [&b"null"[..], b"\"\"", b"remote", b"[\"remote\"]"] {
            assert_eq!(Monitor::of_id(other), None);
        }
    }
}

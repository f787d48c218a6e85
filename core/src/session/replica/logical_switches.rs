//! Logical switches: ours, which carry a network's UUID in their name, and those of others.

use std::collections::{BTreeMap, BTreeSet};

use super::Touched;
use crate::ids::{LogicalSwitchName, Uuid};
use crate::ovsdb::rows::{LogicalSwitchRow, ReplicationRow};

/// `Logical_Switch`.
#[derive(Clone, Debug)]
pub(in crate::session) struct LogicalSwitches {
    prefix: Box<str>,
    rows: BTreeMap<Uuid, Entry>,
    by_network: BTreeMap<Uuid, Uuid>,
    /// The VNI is not unique in the database.
    by_tunnel_key: BTreeMap<i64, BTreeSet<Uuid>>,
    /// Rows that replicate at the source, which is not what we want.
    source_node: BTreeSet<Uuid>,
}

/// The columns of a row that matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::session) struct Entry {
    /// Its name.
    pub(in crate::session) name: LogicalSwitchName,
    /// The network, if it is one of ours.
    pub(in crate::session) network: Option<Uuid>,
    /// Its VNI.
    pub(in crate::session) tunnel_key: Option<i64>,
}

impl LogicalSwitches {
    /// An empty table; names with the prefix are ours.
    pub(in crate::session) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            rows: BTreeMap::new(),
            by_network: BTreeMap::new(),
            by_tunnel_key: BTreeMap::new(),
            source_node: BTreeSet::new(),
        }
    }

    /// Entries for the rows of the table.
    pub(in crate::session) fn count(&self) -> usize {
        self.rows.len() + self.source_node.len()
    }

    /// Rows of the table.
    pub(in crate::session) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A row.
    pub(in crate::session) fn row(&self, row: Uuid) -> Option<&Entry> {
        self.rows.get(&row)
    }

    /// The row of a network.
    pub(in crate::session) fn of_network(&self, network: Uuid) -> Option<Uuid> {
        self.by_network.get(&network).copied()
    }

    /// The network of a row, if it is ours.
    pub(in crate::session) fn network(&self, row: Uuid) -> Option<Uuid> {
        self.rows.get(&row)?.network
    }

    /// The networks whose logical switches are there.
    pub(in crate::session) fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.by_network.keys().copied()
    }

    /// The rows of other clients.
    pub(in crate::session) fn foreign(&self) -> impl Iterator<Item = Uuid> + '_ {
        let foreign = self.rows.iter().filter(|(_, entry)| entry.network.is_none());
        foreign.map(|(row, _)| *row)
    }

    /// A row other than `except` that has a VNI.
    pub(in crate::session) fn holder(&self, tunnel_key: i64, except: Option<Uuid>) -> Option<Uuid> {
        let rows = self.by_tunnel_key.get(&tunnel_key)?;
        rows.iter().find(|row| Some(**row) != except).copied()
    }

    /// Whether a row asks for replication at the source.
    pub(in crate::session) fn is_source_node(&self, row: Uuid) -> bool {
        self.source_node.contains(&row)
    }

    /// Records a row, or that it is gone.
    pub(in crate::session) fn record(
        &mut self,
        row: Uuid,
        columns: Option<LogicalSwitchRow>,
        touched: &mut Vec<Touched>,
    ) {
        if let Some(old) = self.rows.remove(&row) {
            // A row that took over the name in the same transaction may have been recorded before.
            if let Some(network) = old.network.filter(|network| self.of_network(*network) == Some(row)) {
                self.by_network.remove(&network);
            }
            if let Some(key) = old.tunnel_key
                && let Some(rows) = self.by_tunnel_key.get_mut(&key)
            {
                rows.remove(&row);
                if rows.is_empty() {
                    self.by_tunnel_key.remove(&key);
                }
            }
            touched.push(Touched::LogicalSwitch {
                row,
                network: old.network,
            });
        }
        if let Some(columns) = columns {
            let name = LogicalSwitchName::from(columns.name);
            let network = name.network(&self.prefix);
            let tunnel_key = columns.tunnel_key.first();
            if let Some(network) = network {
                self.by_network.insert(network, row);
            }
            if let Some(key) = tunnel_key {
                self.by_tunnel_key.entry(key).or_default().insert(row);
            }
            self.rows.insert(
                row,
                Entry {
                    name,
                    network,
                    tunnel_key,
                },
            );
            touched.push(Touched::LogicalSwitch { row, network });
        }
    }

    /// Records how a row wants broadcast to be replicated.
    pub(in crate::session) fn record_replication(
        &mut self,
        row: Uuid,
        columns: Option<ReplicationRow>,
        touched: &mut Vec<Touched>,
    ) {
        let mode = columns.and_then(|columns| columns.replication_mode.first());
        let changed = match mode.as_deref() {
            Some("source_node") => self.source_node.insert(row),
            _ => self.source_node.remove(&row),
        };
        if changed {
            let network = self.network(row);
            touched.push(Touched::LogicalSwitch { row, network });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::notation::Set;
    use smallvec::smallvec;

    #[test]
    fn vnis_that_a_row_had_once_are_forgotten() {
        let mut table = LogicalSwitches::new("Contrail-");
        for tunnel_key in 1..100 {
            let columns = LogicalSwitchRow {
                name: "restless".into(),
                tunnel_key: Set(smallvec![tunnel_key]),
            };
            table.record(Uuid(1), Some(columns), &mut vec![]);
        }
        assert_eq!(table.by_tunnel_key.keys().collect::<Vec<_>>(), [&99]);
        assert_eq!(table.holder(99, None), Some(Uuid(1)));
    }
}

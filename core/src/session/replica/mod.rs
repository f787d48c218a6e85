//! The replica of the switch's database: a copy of the columns that we watch, with the indexes that we need.

pub(in crate::session) mod locators;
pub(in crate::session) mod logical_switches;
pub(in crate::session) mod mcast;
pub(in crate::session) mod ports;
mod touched;
pub(in crate::session) mod ucast;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bounds::FAULTS_PER_ROW;
use crate::ids::{Mac, Uuid};
use crate::ovsdb::DATABASE;
use crate::ovsdb::limits::Limited;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::rows::{DatabaseRow, FaultRow, ManagerRow, McastRow, UcastRow};
use crate::ovsdb::updates::{self, Change};
use crate::status::ServerModel;
use crate::text::short;
use locators::Locators;
use logical_switches::LogicalSwitches;
use mcast::Mcast;
use ports::Ports;
pub(in crate::session) use touched::Touched;
use ucast::Ucast;

/// The copy.
#[derive(Clone, Debug)]
pub(in crate::session) struct Replica {
    pub(in crate::session) logical_switches: LogicalSwitches,
    pub(in crate::session) locators: Locators,
    pub(in crate::session) ports: Ports,
    pub(in crate::session) managers: BTreeMap<Uuid, ManagerRow>,
    /// The kind of the server; `None` before it is known, and where the server has no `_Server`.
    pub(in crate::session) server_model: Option<ServerModel>,
    /// The faults that rows of `Physical_Switch` and `Physical_Port` report, where there are any.
    pub(in crate::session) faults: BTreeMap<Uuid, Vec<String>>,
    pub(in crate::session) mcast_local: Mcast,
    pub(in crate::session) mcast_remote: Mcast,
    pub(in crate::session) ucast_local: Ucast,
    pub(in crate::session) ucast_remote: Ucast,
}

impl Replica {
    /// An empty copy; logical switches whose name has the prefix are ours.
    pub(in crate::session) fn new(logical_switch_prefix: &str) -> Self {
        Self {
            logical_switches: LogicalSwitches::new(logical_switch_prefix),
            locators: Locators::default(),
            ports: Ports::default(),
            managers: BTreeMap::new(),
            server_model: None,
            faults: BTreeMap::new(),
            mcast_local: Mcast::default(),
            mcast_remote: Mcast::default(),
            ucast_local: Ucast::default(),
            ucast_remote: Ucast::default(),
        }
    }

    /// Rows in all tables together.
    pub(in crate::session) fn rows(&self) -> usize {
        let macs = self.ucast_local.count() + self.ucast_remote.count();
        let broadcast = self.mcast_local.count() + self.mcast_remote.count();
        let others = self.logical_switches.count() + self.locators.count() + self.ports.count();
        macs + broadcast + others + self.managers.len() + self.faults.len()
    }

    /// Remote MACs that stand in no logical switch of another client.
    pub(in crate::session) fn own_remote(&self) -> usize {
        let foreign = self.logical_switches.foreign();
        let foreign: usize = foreign.map(|row| self.ucast_remote.count_in(row)).sum();
        self.ucast_remote.count().saturating_sub(foreign)
    }

    /// Rows in a table into which we insert.
    pub(in crate::session) fn count(&self, table: Limited) -> usize {
        match table {
            Limited::LogicalSwitch => self.logical_switches.rows(),
            Limited::Broadcast => self.mcast_remote.count(),
            Limited::Locator => self.locators.rows(),
            Limited::Unicast => self.ucast_remote.count(),
        }
    }

    /// Records one row's change; `json` is what [`updates::change`] reads.
    pub(in crate::session) fn record(
        &mut self,
        monitor: Monitor,
        table: &[u8],
        row: Uuid,
        json: &[u8],
        touched: &mut Vec<Touched>,
    ) -> Result<(), String> {
        match (monitor, table) {
            (Monitor::Remote, _) => {
                let change = updates::change(json)?;
                self.ucast_remote
                    .record(row, change, |ls, mac| touched.push(Touched::Remote(ls, mac)));
            }
            (Monitor::Local, _) => {
                let change = updates::change::<UcastRow>(json)?.map(UcastRow::spelled);
                let mut touch = |ls, mac: Option<Mac>| touched.extend(mac.map(|mac| Touched::Local(ls, mac)));
                self.ucast_local.record(row, change, &mut touch);
            }
            (Monitor::Server, _) => {
                let database = whole::<DatabaseRow>(json)?.filter(|database| database.name == DATABASE);
                self.server_model = database.map(|database| database.server_model()).or(self.server_model);
            }
            (Monitor::Extras, b"Physical_Switch" | b"Physical_Port") => {
                self.record_faults(row, whole(json)?, touched);
            }
            (Monitor::Extras, b"Logical_Switch") => {
                self.logical_switches.record_replication(row, whole(json)?, touched);
            }
            (Monitor::Extras, b"Physical_Locator") => {
                if self.locators.record_key(row, whole(json)?) {
                    touched.push(Touched::LocatorKeys);
                }
            }
            (Monitor::Small, b"Logical_Switch") => self.logical_switches.record(row, whole(json)?, touched),
            (Monitor::Small, b"Physical_Locator") => {
                self.locators.record(row, whole(json)?);
                touched.push(Touched::Locators);
            }
            (Monitor::Small, b"Physical_Locator_Set") => {
                self.locators.record_set(row, whole(json)?);
                touched.push(Touched::Locators);
            }
            (Monitor::Small, b"Physical_Switch") => self.ports.record_switch(row, whole(json)?, touched),
            (Monitor::Small, b"Physical_Port") => self.ports.record_port(row, whole(json)?, touched),
            (Monitor::Small, b"Mcast_Macs_Local") => {
                let mut touch = |ls| touched.push(Touched::LocalBroadcast(ls));
                let columns = whole::<McastRow>(json)?.map(McastRow::spelled);
                self.mcast_local.record(row, columns, &mut touch);
            }
            (Monitor::Small, b"Mcast_Macs_Remote") => {
                let mut touch = |ls| touched.push(Touched::Broadcast(ls));
                self.mcast_remote.record(row, whole(json)?, &mut touch);
            }
            (Monitor::Small, b"Manager") => {
                match whole(json)? {
                    Some(manager) => self.managers.insert(row, manager),
                    None => self.managers.remove(&row),
                };
                touched.push(Touched::Manager);
            }
            (Monitor::Small | Monitor::Extras, _) => {}
        }
        Ok(())
    }
}

impl Replica {
    fn record_faults(&mut self, row: Uuid, columns: Option<FaultRow>, touched: &mut Vec<Touched>) {
        let faults = columns.map(|columns| columns.switch.0.into_iter().chain(columns.port.0));
        let mut faults: Vec<String> = faults.into_iter().flatten().map(|fault| short(&fault)).collect();
        faults.truncate(FAULTS_PER_ROW);
        let before = match faults.is_empty() {
            true => self.faults.remove(&row),
            false => self.faults.insert(row, faults.clone()),
        };
        if before.unwrap_or_default() != faults {
            touched.push(Touched::Faults);
        }
    }
}

/// Reads a change of a table that is watched by a plain `monitor`: rows come whole, or are gone (`None`).
fn whole<'de, R: Deserialize<'de>>(json: &'de [u8]) -> Result<Option<R>, String> {
    match updates::change(json)? {
        Change::Full(row) => Ok(Some(row)),
        Change::Deleted => Ok(None),
        Change::Modified(_) => Err("a difference where a whole row was due".into()),
    }
}

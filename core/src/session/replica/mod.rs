//! What we know of the switch's database: a copy of the columns that we watch, with the indexes that we need.

pub mod locators;
pub mod logical_switches;
pub mod mcast;
pub mod ports;
pub mod ucast;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ids::{Mac, Uuid};
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::rows::ManagerRow;
use crate::ovsdb::updates::{self, Change};
use locators::Locators;
use logical_switches::LogicalSwitches;
use mcast::Mcast;
use ports::Ports;
use ucast::Ucast;

/// The copy.
#[derive(Clone, Debug)]
pub struct Replica {
    pub logical_switches: LogicalSwitches,
    pub locators: Locators,
    pub ports: Ports,
    pub managers: BTreeMap<Uuid, ManagerRow>,
    pub mcast_local: Mcast,
    pub mcast_remote: Mcast,
    pub ucast_local: Ucast,
    pub ucast_remote: Ucast,
}

/// What a change of a row may have changed for us. Logical switches are named by their row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Touched {
    /// A logical switch came, went or changed.
    LogicalSwitch { row: Uuid, network: Option<Uuid> },
    /// A logical switch's broadcast row, or another of its remote multicast rows.
    Broadcast(Uuid),
    /// A locator or a set came or went.
    Locators,
    /// A locator got or lost a tunnel key of its own: whoever refers to it may have to refer to another.
    LocatorKeys,
    /// A remote unicast row; `None` for one whose MAC is none.
    Remote(Uuid, Option<Mac>),
    /// A row that the switch learned.
    Local(Uuid, Mac),
    /// The switch's own tunnel ends in a logical switch.
    LocalBroadcast(Uuid),
    /// The bindings of a port.
    Port(Uuid),
    /// Switches or ports came, went or were renamed.
    Ports,
    /// A `Manager` row.
    Manager,
}

impl Replica {
    /// An empty copy; logical switches whose name has the prefix are ours.
    pub fn new(logical_switch_prefix: &str) -> Self {
        Self {
            logical_switches: LogicalSwitches::new(logical_switch_prefix),
            locators: Locators::default(),
            ports: Ports::default(),
            managers: BTreeMap::new(),
            mcast_local: Mcast::default(),
            mcast_remote: Mcast::default(),
            ucast_local: Ucast::default(),
            ucast_remote: Ucast::default(),
        }
    }

    /// Rows in all tables together.
    pub fn rows(&self) -> usize {
        let macs = self.ucast_local.count() + self.ucast_remote.count();
        let broadcast = self.mcast_local.count() + self.mcast_remote.count();
        let others = self.logical_switches.count() + self.locators.count() + self.ports.count();
        macs + broadcast + others + self.managers.len()
    }

    /// Records one row's change; `json` is what [`updates::change`] reads.
    pub fn record(
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
                let change = updates::change(json)?;
                let mut touch = |ls, mac: Option<Mac>| touched.extend(mac.map(|mac| Touched::Local(ls, mac)));
                self.ucast_local.record(row, change, &mut touch);
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
                self.mcast_local.record(row, whole(json)?, &mut touch);
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

/// Reads a change of a table that is watched by a plain `monitor`: rows come whole, or are gone (`None`).
fn whole<'de, R: Deserialize<'de>>(json: &'de [u8]) -> Result<Option<R>, String> {
    match updates::change(json)? {
        Change::Full(row) => Ok(Some(row)),
        Change::Deleted => Ok(None),
        Change::Modified(_) => Err("a difference where a whole row was due".into()),
    }
}

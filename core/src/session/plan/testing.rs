//! A scene for the tests of plans: one switch, one port, one network, and the rows that a test puts there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Step, View};
use crate::configuration::{Configuration, Network, SessionOptions, Switch};
use crate::ids::{Mac, Uuid, Vni};
use crate::ovsdb::limits::Limits;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::transaction::Transaction;
use crate::session::desired::Desired;
use crate::session::reconciler::Underway;
use crate::session::replica::Replica;
use crate::session::surplus::Withheld;
use crate::session::withdrawals::Withdrawals;
use crate::time::Time;

pub(super) const TSN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);
pub(super) const VTEP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const OTHER_VTEP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

pub(super) fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

/// The parts that a view reads.
pub(super) struct Scene {
    pub(super) now: Time,
    replica: Replica,
    desired: Desired,
    underway: Underway,
}

impl Scene {
    pub(super) const NETWORK: Uuid = Uuid(1);
    pub(super) const ROW: Uuid = Uuid(100);
    pub(super) const VNI: u32 = 5001;

    /// The network has VLAN 10 of port `eth1`, and no logical switch yet.
    pub(super) fn new() -> Self {
        let mut switch = Switch::default();
        switch.ports.insert("eth1".into(), [(10, Self::NETWORK)].into());
        let configuration = Configuration {
            session: SessionOptions::new("agent-a", TSN),
            networks: BTreeMap::from([(Self::NETWORK, network(Self::VNI))]),
            switches: BTreeMap::from([("tor1".into(), switch)]),
        };
        let mut scene = Self {
            now: Time::ORIGIN,
            replica: Replica::new("Contrail-"),
            desired: Desired::new(Arc::new(configuration), true),
            underway: Underway::default(),
        };
        scene.serve();
        let set = |row: u128| json!(["uuid", Uuid(row).to_string()]);
        scene.record(
            Monitor::Small,
            "Physical_Switch",
            10,
            &json!({"name": "tor1", "ports": set(20), "tunnel_ips": ["set", []]}),
        );
        scene.bindings(&[]);
        for (row, vtep) in [(30, TSN), (31, VTEP), (32, OTHER_VTEP)] {
            let locator = json!({"dst_ip": vtep.to_string(), "encapsulation_type": "vxlan_over_ipv4"});
            scene.record(Monitor::Small, "Physical_Locator", row, &locator);
            scene.record(
                Monitor::Small,
                "Physical_Locator_Set",
                row + 10,
                &json!({"locators": set(row)}),
            );
        }
        scene
    }

    /// The same, with the logical switch as it is desired.
    pub(super) fn with_logical_switch() -> Self {
        let mut scene = Self::new();
        scene.own_logical_switch(Self::ROW, Self::NETWORK, Self::VNI);
        scene
    }

    /// Plans something. Answers what it came to, and the transaction.
    pub(super) fn plan(&self, plan: impl FnOnce(&View, &mut Transaction) -> Step) -> (Step, String) {
        let view = View {
            now: self.now,
            replica: &self.replica,
            desired: &self.desired,
            underway: &self.underway,
            tables_read: true,
            replication_mode: true,
            uncounted: false,
            withheld: &Withheld::Nothing,
            withdrawals: &Withdrawals::default(),
            limits: &Limits::default(),
        };
        let mut transaction = Transaction::new(None, "");
        let step = plan(&view, &mut transaction);
        (step, String::from_utf8(transaction.into_params()).expect("text"))
    }

    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Configuration)) {
        let mut configuration = self.desired.configuration().clone();
        change(&mut configuration);
        self.desired.configure(Arc::new(configuration), true);
        self.serve();
    }

    pub(super) fn set_complete(&mut self, complete: bool) {
        let configuration = Arc::new(self.desired.configuration().clone());
        self.desired.configure(configuration, complete);
    }

    pub(super) fn limit_rows(&mut self, max: usize) {
        self.configure(|configuration| {
            for switch in configuration.switches.values_mut() {
                switch.rows_per_transaction_max = Some(max);
            }
        });
    }

    pub(super) fn add_network(&mut self, uuid: Uuid, vni: u32) {
        self.configure(|configuration| {
            configuration.networks.insert(uuid, network(vni));
            for ports in configuration
                .switches
                .values_mut()
                .flat_map(|switch| switch.ports.values_mut())
            {
                ports.insert(u16::try_from(vni).expect("a small VNI") % 4096, uuid);
            }
        });
    }

    pub(super) fn import(&mut self, mac: Mac, vtep: Option<Ipv4Addr>) {
        self.desired.import(Self::NETWORK, mac, vtep);
    }

    pub(super) fn creating(&mut self, vtep: Ipv4Addr) {
        self.underway.sent(&[vtep], &[]);
    }

    pub(super) fn retire(&mut self, network: Uuid, until: Time) {
        self.underway.retire(network, until);
    }

    pub(super) fn own_logical_switch(&mut self, row: Uuid, network: Uuid, vni: u32) {
        self.tunnel_key(row.0, &format!("Contrail-{network}"), vni);
    }

    pub(super) fn foreign_logical_switch(&mut self, row: u128, name: &str) {
        self.record(
            Monitor::Small,
            "Logical_Switch",
            row,
            &json!({"name": name, "tunnel_key": ["set", []]}),
        );
    }

    pub(super) fn tunnel_key(&mut self, row: u128, name: &str, vni: u32) {
        self.record(
            Monitor::Small,
            "Logical_Switch",
            row,
            &json!({"name": name, "tunnel_key": vni}),
        );
    }

    /// The bindings of `eth1`: VLAN to the row of a logical switch.
    pub(super) fn bindings(&mut self, bindings: &[(u16, u128)]) {
        let uuid = |row: u128| json!(["uuid", Uuid(row).to_string()]);
        let map: Vec<Value> = bindings.iter().map(|(vlan, row)| json!([vlan, uuid(*row)])).collect();
        self.record(
            Monitor::Small,
            "Physical_Port",
            20,
            &json!({"name": "eth1", "vlan_bindings": ["map", map]}),
        );
        self.replica.ports.index();
    }

    pub(super) fn broadcast_row(&mut self, row: u128, mac: &str, vtep: Ipv4Addr) {
        let set = json!(["uuid", Uuid(self.locator(vtep) + 10).to_string()]);
        let row_of = json!({"MAC": mac, "logical_switch": ["uuid", Self::ROW.to_string()], "locator_set": set});
        self.record(Monitor::Small, "Mcast_Macs_Remote", row, &row_of);
    }

    pub(super) fn unicast_row(&mut self, row: u128, mac: Mac, vtep: Ipv4Addr) {
        let columns = self.unicast(mac, vtep);
        self.record(Monitor::Remote, "Ucast_Macs_Remote", row, &columns);
    }

    pub(super) fn local_row(&mut self, row: u128, mac: Mac) {
        let columns = self.unicast(mac, VTEP);
        self.record(Monitor::Local, "Ucast_Macs_Local", row, &columns);
    }

    pub(super) fn manager_row(&mut self, row: u128, target: &str, max_backoff: Option<u32>) {
        let max_backoff = max_backoff.map_or_else(|| json!(["set", []]), |ms| json!(ms));
        let columns = json!({"target": target, "max_backoff": max_backoff, "inactivity_probe": ["set", []]});
        self.record(Monitor::Small, "Manager", row, &columns);
    }

    fn serve(&mut self) {
        self.desired.serve(["tor1".into()].into(), std::iter::empty());
    }

    fn locator(&self, vtep: Ipv4Addr) -> u128 {
        self.replica.locators.find(vtep).expect("a locator").0
    }

    fn unicast(&self, mac: Mac, vtep: Ipv4Addr) -> Value {
        let uuid = |uuid: Uuid| json!(["uuid", uuid.to_string()]);
        let locator = Uuid(self.locator(vtep));
        json!({"MAC": mac.to_string(), "logical_switch": uuid(Self::ROW), "locator": uuid(locator)})
    }

    fn record(&mut self, monitor: Monitor, table: &str, row: u128, columns: &Value) {
        let change = json!({"new": columns}).to_string();
        let recorded = self
            .replica
            .record(monitor, table.as_bytes(), Uuid(row), change.as_bytes(), &mut Vec::new());
        recorded.expect("a row");
    }
}

fn network(vni: u32) -> Network {
    Network {
        name: "blue".into(),
        vni: Vni::new(vni).expect("a VNI"),
        remote_macs: BTreeMap::new(),
    }
}

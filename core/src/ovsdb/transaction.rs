//! Writes a `transact` (RFC 7047 sections 4.1.3 and 5.2) byte by byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::DATABASE;
use super::limits::{Limited, Rows};
use crate::ids::{Mac, Uuid, Vni};

/// A row that an operation refers to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ref {
    /// A row that is there.
    Row(Uuid),
    /// A row that this transaction inserts, by the number in its `uuid-name`.
    New(u32),
}

/// The table of remote or of local unicast or multicast addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MacTable {
    /// `Ucast_Macs_Remote`.
    UcastRemote,
    /// `Mcast_Macs_Remote`.
    McastRemote,
    /// `Ucast_Macs_Local`: the switch's own; written only when it does not take them back itself.
    UcastLocal,
    /// `Mcast_Macs_Local`.
    McastLocal,
}

impl MacTable {
    /// Every table of addresses.
    pub(crate) const ALL: [Self; 4] = [Self::UcastRemote, Self::McastRemote, Self::UcastLocal, Self::McastLocal];

    /// Whether its rows are the switch's own.
    pub(crate) const fn is_local(self) -> bool {
        matches!(self, Self::UcastLocal | Self::McastLocal)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::UcastRemote => "Ucast_Macs_Remote",
            Self::McastRemote => "Mcast_Macs_Remote",
            Self::UcastLocal => "Ucast_Macs_Local",
            Self::McastLocal => "Mcast_Macs_Local",
        }
    }
}

/// A transaction that is being written: operations on the tables of `hardware_vtep`.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    text: String,
    rows: usize,
    names: u32,
    vnis: Vec<Vni>,
    locators: BTreeMap<Ipv4Addr, Ref>,
    locator_sets: BTreeMap<Ipv4Addr, Ref>,
    inserts: Rows,
}

impl Transaction {
    /// Begins a transaction. With a lock, nothing is applied unless this connection holds it.
    pub(crate) fn new(lock: Option<&str>, comment: &str) -> Self {
        let mut this = Self {
            text: format!("[\"{DATABASE}\""),
            rows: 0,
            names: 0,
            vnis: Vec::new(),
            locators: BTreeMap::new(),
            locator_sets: BTreeMap::new(),
            inserts: Rows::default(),
        };
        if let Some(lock) = lock {
            this.operation("assert");
            this.text.push_str(",\"lock\":");
            this.string(lock);
            this.text.push('}');
        }
        this.operation("comment");
        this.text.push_str(",\"comment\":");
        this.string(comment);
        this.text.push('}');
        this
    }

    /// Rows that the transaction writes, without the locators and sets that it needs for them.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that the transaction inserts.
    pub(crate) fn inserts(&self) -> Rows {
        self.inserts
    }

    /// Whether the transaction creates the locator of a tunnel end, or refers to it already.
    pub(crate) fn refers_to(&self, vtep: Ipv4Addr) -> bool {
        self.locators.contains_key(&vtep)
    }

    /// The tunnel ends that this transaction creates locators for.
    pub(crate) fn created_locators(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let new = self
            .locators
            .iter()
            .filter(|(_, reference)| matches!(reference, Ref::New(_)));
        new.map(|(vtep, _)| *vtep)
    }

    /// The VNIs that this transaction gives to logical switches.
    pub(crate) fn given_vnis(&self) -> impl Iterator<Item = Vni> + '_ {
        self.vnis.iter().copied()
    }

    /// The parameters of the request.
    pub(crate) fn into_params(mut self) -> Vec<u8> {
        self.text.push(']');
        self.text.into_bytes()
    }

    /// A locator for a tunnel end: the one that is there, or one that this transaction creates, once.
    pub(crate) fn locator(&mut self, vtep: Ipv4Addr, found: Option<Uuid>) -> Ref {
        if let Some(known) = self.locators.get(&vtep) {
            return *known;
        }
        let reference = match found {
            Some(row) => Ref::Row(row),
            None => {
                self.inserts.count(Limited::Locator);
                let name = self.insert("Physical_Locator");
                let _ = write!(
                    self.text,
                    "{{\"dst_ip\":\"{vtep}\",\"encapsulation_type\":\"vxlan_over_ipv4\"}}}}"
                );
                name
            }
        };
        self.locators.insert(vtep, reference);
        reference
    }

    /// A locator set with one tunnel end. Sets cannot be changed, so there is a new one for each transaction.
    pub(crate) fn locator_set(&mut self, vtep: Ipv4Addr, locator: Option<Uuid>) -> Ref {
        if let Some(known) = self.locator_sets.get(&vtep) {
            return *known;
        }
        let locator = self.locator(vtep, locator);
        let set = self.insert("Physical_Locator_Set");
        self.text.push_str("{\"locators\":");
        self.reference(locator);
        self.text.push_str("}}");
        self.locator_sets.insert(vtep, set);
        set
    }

    /// Inserts a logical switch.
    pub(crate) fn insert_logical_switch(&mut self, name: &str, vni: Vni, replication_mode: bool) -> Ref {
        self.rows += 1;
        self.vnis.push(vni);
        self.inserts.count(Limited::LogicalSwitch);
        let reference = self.insert("Logical_Switch");
        self.text.push_str("{\"name\":");
        self.string(name);
        let _ = write!(self.text, ",\"tunnel_key\":{vni}");
        if replication_mode {
            self.text.push_str(",\"replication_mode\":\"service_node\"");
        }
        self.text.push_str("}}");
        reference
    }

    /// Sets a logical switch's VNI; `None` leaves it without one for the moment.
    pub(crate) fn update_tunnel_key(&mut self, row: Uuid, vni: Option<Vni>) {
        self.vnis.extend(vni);
        self.update("Logical_Switch", row);
        match vni {
            Some(vni) => {
                let _ = write!(self.text, "{{\"tunnel_key\":{vni}}}}}");
            }
            None => self.text.push_str("{\"tunnel_key\":[\"set\",[]]}}"),
        }
    }

    /// Brings a logical switch back to replication by one services node.
    pub(crate) fn update_replication_mode(&mut self, row: Uuid) {
        self.update("Logical_Switch", row);
        self.text.push_str("{\"replication_mode\":\"service_node\"}}");
    }

    /// Inserts the broadcast row of a logical switch.
    pub(crate) fn insert_broadcast(&mut self, logical_switch: Ref, locator_set: Ref) {
        self.rows += 1;
        self.inserts.count(Limited::Broadcast);
        self.insert("Mcast_Macs_Remote");
        self.text.push_str("{\"MAC\":\"unknown-dst\",\"logical_switch\":");
        self.reference(logical_switch);
        self.text.push_str(",\"locator_set\":");
        self.reference(locator_set);
        self.text.push_str("}}");
    }

    /// Points a broadcast row somewhere else, in place.
    pub(crate) fn update_broadcast(&mut self, row: Uuid, locator_set: Ref) {
        self.update("Mcast_Macs_Remote", row);
        self.text.push_str("{\"MAC\":\"unknown-dst\",\"locator_set\":");
        self.reference(locator_set);
        self.text.push_str("}}");
    }

    /// Inserts the row of a MAC that lives behind another tunnel end.
    pub(crate) fn insert_ucast(&mut self, mac: Mac, logical_switch: Uuid, locator: Ref) {
        self.rows += 1;
        self.inserts.count(Limited::Unicast);
        self.operation("insert");
        let _ = write!(
            self.text,
            ",\"table\":\"Ucast_Macs_Remote\",\"row\":{{\"MAC\":\"{mac}\",\"logical_switch\":"
        );
        self.reference(Ref::Row(logical_switch));
        self.text.push_str(",\"locator\":");
        self.reference(locator);
        self.text.push_str("}}");
    }

    /// Moves a MAC to another tunnel end, in place.
    pub(crate) fn update_ucast(&mut self, row: Uuid, locator: Ref) {
        self.update("Ucast_Macs_Remote", row);
        self.text.push_str("{\"locator\":");
        self.reference(locator);
        self.text.push_str("}}");
    }

    /// Deletes one row of a MAC table.
    pub(crate) fn delete_mac(&mut self, table: MacTable, row: Uuid) {
        self.delete(table.name(), "_uuid", "==", row);
    }

    /// Deletes every row of a MAC table that belongs to a logical switch, in one operation.
    pub(crate) fn delete_macs_of(&mut self, table: MacTable, logical_switch: Uuid) {
        self.delete(table.name(), "logical_switch", "==", logical_switch);
    }

    /// Deletes a logical switch. The server refuses while anything refers to it.
    pub(crate) fn delete_logical_switch(&mut self, row: Uuid) {
        self.delete("Logical_Switch", "_uuid", "==", row);
    }

    /// Changes single keys of a port's `vlan_bindings`: removes `unbind`, then adds `bind`.
    ///
    /// An `insert` alone would keep the old value of a key that is there.
    pub(crate) fn mutate_bindings(&mut self, port: Uuid, unbind: &[u16], bind: &[(u16, Uuid)]) {
        self.rows += 1;
        self.operation("mutate");
        self.text.push_str(",\"table\":\"Physical_Port\"");
        self.where_uuid(port);
        self.text.push_str(",\"mutations\":[");
        if !unbind.is_empty() {
            let keys: Vec<String> = unbind.iter().map(u16::to_string).collect();
            let _ = write!(
                self.text,
                "[\"vlan_bindings\",\"delete\",[\"set\",[{}]]]",
                keys.join(",")
            );
        }
        if !bind.is_empty() {
            if !unbind.is_empty() {
                self.text.push(',');
            }
            let pairs: Vec<String> = bind
                .iter()
                .map(|(vlan, row)| format!("[{vlan},[\"uuid\",\"{row}\"]]"))
                .collect();
            let _ = write!(
                self.text,
                "[\"vlan_bindings\",\"insert\",[\"map\",[{}]]]",
                pairs.join(",")
            );
        }
        self.text.push_str("]}");
    }

    /// Sets timers of a `Manager` row, in milliseconds; those that are `None` stay.
    pub(crate) fn update_manager(&mut self, row: Uuid, max_backoff_ms: Option<u32>, inactivity_probe_ms: Option<u32>) {
        self.update("Manager", row);
        let columns = [
            ("max_backoff", max_backoff_ms),
            ("inactivity_probe", inactivity_probe_ms),
        ];
        let set = columns
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("\"{name}\":{value}")));
        let _ = write!(self.text, "{{{}}}}}", set.collect::<Vec<_>>().join(","));
    }

    fn operation(&mut self, op: &str) {
        self.text.push_str(",{\"op\":\"");
        self.text.push_str(op);
        self.text.push('"');
    }

    /// Up to and with `"row":`.
    fn insert(&mut self, table: &str) -> Ref {
        let name = self.names;
        self.names += 1;
        self.operation("insert");
        let _ = write!(self.text, ",\"table\":\"{table}\",\"uuid-name\":\"r{name}\",\"row\":");
        Ref::New(name)
    }

    /// Up to and with `"row":`.
    fn update(&mut self, table: &str, row: Uuid) {
        self.rows += 1;
        self.operation("update");
        let _ = write!(self.text, ",\"table\":\"{table}\"");
        self.where_uuid(row);
        self.text.push_str(",\"row\":");
    }

    fn delete(&mut self, table: &str, column: &str, function: &str, row: Uuid) {
        self.rows += 1;
        self.operation("delete");
        let _ = write!(
            self.text,
            ",\"table\":\"{table}\",\"where\":[[\"{column}\",\"{function}\",[\"uuid\",\"{row}\"]]]}}"
        );
    }

    fn where_uuid(&mut self, row: Uuid) {
        let _ = write!(self.text, ",\"where\":[[\"_uuid\",\"==\",[\"uuid\",\"{row}\"]]]");
    }

    fn reference(&mut self, reference: Ref) {
        let _ = match reference {
            Ref::Row(row) => write!(self.text, "[\"uuid\",\"{row}\"]"),
            Ref::New(name) => write!(self.text, "[\"named-uuid\",\"r{name}\"]"),
        };
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                c if u32::from(c) < 0x20 => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(c));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(transaction: Transaction) -> serde_json::Value {
        serde_json::from_slice(&transaction.into_params()).expect("JSON")
    }

    /// One operation a line.
    fn lines(transaction: Transaction) -> String {
        let operations = read(transaction);
        let lines = operations.as_array().expect("an array").iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn one_locator_and_one_set_serve_a_whole_transaction() {
        let tsn = Ipv4Addr::new(192, 0, 2, 1);
        let mut claim = Transaction::new(Some("tandem"), "agent-a/1");
        for row in 1..=2 {
            let set = claim.locator_set(tsn, None);
            claim.update_broadcast(Uuid(row), set);
        }
        assert_eq!(claim.created_locators().collect::<Vec<_>>(), [tsn]);
        assert_eq!(claim.rows(), 2);
        insta::assert_snapshot!(lines(claim));
    }

    #[test]
    fn every_operation_is_what_rfc_7047_says() {
        let vtep = Ipv4Addr::new(192, 0, 2, 2);
        let vni = Vni::new(5001).expect("a VNI");
        let mut all = Transaction::new(None, "agent-a/1");
        let ls = all.insert_logical_switch("Contrail-x", vni, true);
        let set = all.locator_set(vtep, Some(Uuid(9)));
        all.insert_broadcast(ls, set);
        all.update_tunnel_key(Uuid(1), None);
        all.update_tunnel_key(Uuid(1), Some(vni));
        all.update_replication_mode(Uuid(1));
        let locator = all.locator(vtep, None);
        all.insert_ucast(Mac([2, 0, 0, 0, 0, 1]), Uuid(1), locator);
        all.update_ucast(Uuid(2), locator);
        all.delete_mac(MacTable::UcastRemote, Uuid(3));
        all.delete_macs_of(MacTable::McastRemote, Uuid(1));
        all.delete_logical_switch(Uuid(1));
        all.mutate_bindings(Uuid(4), &[10], &[(10, Uuid(1)), (11, Uuid(1))]);
        all.update_manager(Uuid(5), Some(1000), None);
        assert_eq!(all.created_locators().count(), 0);
        insta::assert_snapshot!(lines(all));
    }

    proptest! {
        #[test]
        fn any_text_is_escaped_as_serde_json_reads_it(text in "\\PC{0,40}|[\\x00-\\x7f]{0,20}") {
            let value = read(Transaction::new(None, &text));
            prop_assert_eq!(value[1]["comment"].as_str(), Some(text.as_str()));
        }
    }
}

//! The tables of `hardware_vtep`: which columns, of which types, and since when.

use super::schema::SchemaVersion::{
    self, V1_0_0, V1_1_0, V1_2_0, V1_3_0, V1_4_0, V1_4_1, V1_5_0, V1_5_1, V1_6_0, V1_7_0,
};
use super::schema::{Base, Column, TableSchema, Type, UNLIMITED};

const VLAN: Base = Base::Integer { min: 0, max: 4095 };

/// Every table of every version, with every column.
pub(super) fn all() -> Vec<TableSchema> {
    [
        physical(),
        tunnels(),
        logical(),
        locators(),
        access_lists(),
        vec![manager()],
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The switch itself and its ports.
fn physical() -> Vec<TableSchema> {
    vec![
        root(
            "Global",
            [
                set("managers", Base::Ref("Manager")),
                set("switches", Base::Ref("Physical_Switch")),
                text_map("other_config").since(V1_7_0),
            ],
        )
        .max_rows(1),
        kept(
            "Physical_Switch",
            [
                set("ports", Base::Ref("Physical_Port")),
                string("name"),
                string("description"),
                set("management_ips", Base::String),
                set("tunnel_ips", Base::String),
                set("tunnels", Base::Ref("Tunnel")).since(V1_3_0),
                text_map("other_config").since(V1_5_1),
                set("switch_fault_status", Base::String).since(V1_1_0).ephemeral(),
            ],
        )
        .index(["name"]),
        kept(
            "Physical_Port",
            [
                string("name"),
                string("description"),
                map("vlan_bindings", VLAN, Base::Ref("Logical_Switch")),
                map("acl_bindings", VLAN, Base::Ref("ACL")).since(V1_4_0),
                // The file calls it ephemeral, but the server makes columns with strong references persistent.
                map("vlan_stats", VLAN, Base::Ref("Logical_Binding_Stats")),
                text_map("other_config").since(V1_5_1),
                set("port_fault_status", Base::String).since(V1_1_0).ephemeral(),
            ],
        ),
    ]
}

/// Tunnels, and what the switch counts.
fn tunnels() -> Vec<TableSchema> {
    let counter = |name| one(name, Base::INTEGER).ephemeral_since(V1_4_1);
    vec![
        kept(
            "Tunnel",
            [
                one("local", Base::Ref("Physical_Locator")),
                one("remote", Base::Ref("Physical_Locator")),
                text_map("bfd_config_local"),
                text_map("bfd_config_remote"),
                text_map("bfd_params"),
                text_map("bfd_status").ephemeral_since(V1_4_1),
            ],
        )
        .since(V1_3_0),
        kept(
            "Logical_Binding_Stats",
            [
                counter("bytes_from_local"),
                counter("packets_from_local"),
                counter("bytes_to_local"),
                counter("packets_to_local"),
            ],
        ),
    ]
}

/// Logical switches and routers, and the MACs in them.
fn logical() -> Vec<TableSchema> {
    let locator = || one("locator", Base::Ref("Physical_Locator"));
    let logical_switch = || one("logical_switch", Base::Ref("Logical_Switch"));
    let unicast = |name| root(name, [string("MAC"), logical_switch(), locator(), string("ipaddr")]);
    let multicast = |name| {
        let locator_set = one("locator_set", Base::Ref("Physical_Locator_Set"));
        root(name, [string("MAC"), logical_switch(), locator_set, string("ipaddr")])
    };
    let arp_sources = |name| root(name, [string("src_mac"), locator()]).since(V1_2_0);
    vec![
        root(
            "Logical_Switch",
            [
                string("name"),
                string("description"),
                optional("tunnel_key", Base::INTEGER),
                optional("replication_mode", Base::Enum(&["service_node", "source_node"])).since(V1_6_0),
                text_map("other_config").since(V1_5_1),
            ],
        )
        .index(["name"]),
        unicast("Ucast_Macs_Local"),
        unicast("Ucast_Macs_Remote"),
        multicast("Mcast_Macs_Local"),
        multicast("Mcast_Macs_Remote"),
        root(
            "Logical_Router",
            [
                string("name"),
                string("description"),
                map("switch_binding", Base::String, Base::Ref("Logical_Switch")),
                text_map("static_routes"),
                map("acl_binding", Base::String, Base::Ref("ACL")).since(V1_4_0),
                text_map("other_config").since(V1_5_1),
                set("LR_fault_status", Base::String).since(V1_4_0).ephemeral(),
            ],
        )
        .index(["name"]),
        arp_sources("Arp_Sources_Local"),
        arp_sources("Arp_Sources_Remote"),
    ]
}

/// Tunnel ends, and the sets of them that broadcast goes to.
fn locators() -> Vec<TableSchema> {
    vec![
        kept(
            "Physical_Locator_Set",
            [some("locators", Base::Ref("Physical_Locator")).immutable()],
        ),
        kept(
            "Physical_Locator",
            [
                one("encapsulation_type", Base::Enum(&["vxlan_over_ipv4"])).immutable(),
                string("dst_ip").immutable(),
                optional("tunnel_key", Base::INTEGER).since(V1_5_0),
                text_map("bfd").until(V1_3_0),
                text_map("bfd_status").until(V1_3_0),
            ],
        )
        .index(["encapsulation_type", "dst_ip", "tunnel_key"]),
    ]
}

fn access_lists() -> Vec<TableSchema> {
    let match_text = |name| optional(name, Base::String);
    let match_integer = |name| optional(name, Base::INTEGER);
    vec![
        root(
            "ACL_entry",
            [
                one("sequence", Base::INTEGER),
                match_text("source_mac"),
                match_text("dest_mac"),
                match_text("ethertype"),
                match_text("source_ip"),
                match_text("source_mask"),
                match_text("dest_ip"),
                match_text("dest_mask"),
                match_integer("protocol"),
                match_integer("source_port_min"),
                match_integer("source_port_max"),
                match_integer("dest_port_min"),
                match_integer("dest_port_max"),
                match_integer("tcp_flags"),
                match_integer("tcp_flags_mask"),
                match_integer("icmp_code"),
                match_integer("icmp_type"),
                one("direction", Base::Enum(&["egress", "ingress"])),
                one("action", Base::Enum(&["deny", "permit"])),
                set("acle_fault_status", Base::String).ephemeral(),
            ],
        )
        .since(V1_4_0),
        root(
            "ACL",
            [
                some("acl_entries", Base::Ref("ACL_entry")),
                string("acl_name"),
                set("acl_fault_status", Base::String).ephemeral(),
            ],
        )
        .index(["acl_name"])
        .since(V1_4_0),
    ]
}

fn manager() -> TableSchema {
    kept(
        "Manager",
        [
            string("target"),
            optional(
                "max_backoff",
                Base::Integer {
                    min: 1000,
                    max: i64::MAX,
                },
            ),
            optional("inactivity_probe", Base::INTEGER),
            text_map("other_config"),
            one("is_connected", Base::Boolean).ephemeral(),
            text_map("status").ephemeral(),
        ],
    )
    .index(["target"])
}

/// The one table of `_Server`.
pub(super) fn of_the_server() -> TableSchema {
    root(
        "Database",
        [
            string("name"),
            one("model", Base::Enum(&["clustered", "relay", "standalone"])),
            one("connected", Base::Boolean),
            one("leader", Base::Boolean),
            optional("schema", Base::String),
            optional("cid", Base::Uuid),
            optional("sid", Base::Uuid),
            optional("index", Base::INTEGER),
        ],
    )
}

/// A table whose rows live by themselves.
fn root<const N: usize>(name: &'static str, columns: [Column; N]) -> TableSchema {
    let standard = ["_uuid", "_version"].map(|name| one(name, Base::Uuid).immutable());
    TableSchema {
        name,
        is_root: true,
        max_rows: None,
        indexes: Vec::new(),
        columns: columns
            .into_iter()
            .chain(standard)
            .map(|column| (column.name, column))
            .collect(),
        since: V1_0_0,
    }
}

/// A table whose rows are kept by references to them.
fn kept<const N: usize>(name: &'static str, columns: [Column; N]) -> TableSchema {
    TableSchema {
        is_root: false,
        ..root(name, columns)
    }
}

fn column(name: &'static str, key: Base, value: Option<Base>, min: usize, max: usize) -> Column {
    Column {
        name,
        ty: Type { key, value, min, max },
        mutable: true,
        ephemeral: false,
        ephemeral_since: None,
        since: V1_0_0,
        until: None,
    }
}

fn one(name: &'static str, base: Base) -> Column {
    column(name, base, None, 1, 1)
}

fn string(name: &'static str) -> Column {
    one(name, Base::String)
}

fn optional(name: &'static str, base: Base) -> Column {
    column(name, base, None, 0, 1)
}

fn set(name: &'static str, base: Base) -> Column {
    column(name, base, None, 0, UNLIMITED)
}

fn some(name: &'static str, base: Base) -> Column {
    column(name, base, None, 1, UNLIMITED)
}

fn map(name: &'static str, key: Base, value: Base) -> Column {
    column(name, key, Some(value), 0, UNLIMITED)
}

fn text_map(name: &'static str) -> Column {
    map(name, Base::String, Base::String)
}

impl TableSchema {
    fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = Some(rows);
        self
    }

    fn index<const N: usize>(mut self, columns: [&'static str; N]) -> Self {
        self.indexes.push(columns.to_vec());
        self
    }

    fn since(mut self, version: SchemaVersion) -> Self {
        self.since = version;
        self
    }
}

impl Column {
    fn since(mut self, version: SchemaVersion) -> Self {
        self.since = version;
        self
    }

    fn until(mut self, version: SchemaVersion) -> Self {
        self.until = Some(version);
        self
    }

    fn ephemeral(self) -> Self {
        self.ephemeral_since(V1_0_0)
    }

    fn ephemeral_since(mut self, version: SchemaVersion) -> Self {
        self.ephemeral_since = Some(version);
        self
    }

    fn immutable(mut self) -> Self {
        self.mutable = false;
        self
    }
}

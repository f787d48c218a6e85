//! The `hardware_vtep` schema as older switches have it.
//!
//! The versions 1.0.0 and 1.3.0 are cut out of the one that Debian installs; what came when is in the history of
//! `vtep/vtep.ovsschema` in Open vSwitch.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Error, Result};

/// Where package openvswitch-vtep keeps the newest version, 1.7.0 since 2016.
const INSTALLED: &str = "/usr/share/openvswitch/vtep.ovsschema";

/// A version of the schema.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Schema {
    /// October 2013: the oldest.
    V1_0_0,
    /// May 2014: with tunnels, without ACLs; what most switches have.
    V1_3_0,
    /// What Debian installs.
    #[default]
    V1_7_0,
}

/// After 1.3.0.
const LATER_THAN_1_3_0: &[(&str, Option<&str>)] = &[
    ("ACL", None),
    ("ACL_entry", None),
    ("Physical_Port", Some("acl_bindings")),
    ("Logical_Router", Some("acl_binding")),
    ("Logical_Router", Some("LR_fault_status")),
    ("Physical_Locator", Some("tunnel_key")),
    ("Physical_Switch", Some("other_config")),
    ("Physical_Port", Some("other_config")),
    ("Logical_Switch", Some("other_config")),
    ("Logical_Router", Some("other_config")),
    ("Logical_Switch", Some("replication_mode")),
    ("Global", Some("other_config")),
];

/// After 1.0.0, up to 1.3.0.
const LATER_THAN_1_0_0: &[(&str, Option<&str>)] = &[
    ("Physical_Switch", Some("switch_fault_status")),
    ("Physical_Port", Some("port_fault_status")),
    ("Arp_Sources_Local", None),
    ("Arp_Sources_Remote", None),
    ("Tunnel", None),
    ("Physical_Switch", Some("tunnels")),
];

impl Schema {
    /// Its version, as `get_schema` shows it.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_0_0 => "1.0.0",
            Self::V1_3_0 => "1.3.0",
            Self::V1_7_0 => "1.7.0",
        }
    }

    /// Fails with [`Error::Missing`] where the one that all are cut from is not installed.
    pub fn find() -> Result<()> {
        match Path::new(INSTALLED).is_file() {
            true => Ok(()),
            false => Err(missing()),
        }
    }

    /// Writes it for `ovsdb-tool create`.
    pub(crate) fn write(self, file: &Path) -> Result<()> {
        let mut schema = installed()?;
        let later: &[&[_]] = match self {
            Self::V1_0_0 => &[LATER_THAN_1_3_0, LATER_THAN_1_0_0],
            Self::V1_3_0 => &[LATER_THAN_1_3_0],
            Self::V1_7_0 => &[],
        };
        for (table, column) in later.iter().copied().flatten() {
            cut(&mut schema, table, *column);
        }
        schema["version"] = self.version().into();
        if self != Self::V1_7_0
            && let Some(schema) = schema.as_object_mut()
        {
            schema.remove("cksum");
        }
        fs::write(file, schema.to_string()).map_err(Error::io(format!("write {}", file.display())))
    }
}

fn installed() -> Result<Value> {
    let text = fs::read(INSTALLED).map_err(|_| missing())?;
    serde_json::from_slice(&text).map_err(|error| Error::failed(format!("read {INSTALLED}"), error))
}

fn missing() -> Error {
    Error::Missing {
        program: INSTALLED.into(),
        package: "openvswitch-vtep".into(),
    }
}

/// Removes a table, or a column together with its part in the table's indexes.
fn cut(schema: &mut Value, table: &str, column: Option<&str>) {
    let Some(tables) = schema["tables"].as_object_mut() else {
        return;
    };
    let Some(column) = column else {
        tables.remove(table);
        return;
    };
    let Some(table) = tables.get_mut(table) else {
        return;
    };
    if let Some(columns) = table["columns"].as_object_mut() {
        columns.remove(column);
    }
    for index in table
        .get_mut("indexes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(columns) = index.as_array_mut() {
            columns.retain(|indexed| indexed != column);
        }
    }
}

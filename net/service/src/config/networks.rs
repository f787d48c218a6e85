//! `[[network]]`: networks, and MACs behind other tunnel ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tandem_core::configuration::Network;
use tandem_core::ids::{Mac, Uuid, Vni};

use super::common::unreadable;
use super::files::Files;
use super::problem::Problems;
use super::table::{At, Key, Table};
use super::{macs, values};

const NAME: Key<String> = Key {
    name: "name",
    read: values::text,
    example: r#""blue""#,
    what: "the name of the network for people and for the ports in this file",
};
const UUID: Key<Uuid> = Key {
    name: "uuid",
    read: values::uuid,
    example: r#""6f1c0d0e-0000-4000-8000-000000000001""#,
    what: "the permanent identity of the network, the same at both agents",
};
const VNI: Key<Vni> = Key {
    name: "vni",
    read: values::vni,
    example: "5001",
    what: "its VXLAN network identifier, 1 to 16777215",
};
const REMOTE_MACS_FILE: Key<PathBuf> = Key {
    name: "remote_macs_file",
    read: values::path,
    example: r#""blue.macs""#,
    what: "a file with one `MAC tunnel-end` a line",
};
const MAC: Key<Mac> = Key {
    name: "mac",
    read: values::unicast_mac,
    example: r#""02:00:00:00:00:01""#,
    what: "the MAC address of one host",
};
const VTEP: Key<Ipv4Addr> = Key {
    name: "vtep",
    read: values::tunnel_end,
    example: r#""10.0.9.1""#,
    what: "the tunnel end of the host",
};
const REMOTE_MACS_EXAMPLE: &str = r#"`remote_macs = [ { mac = "02:00:00:00:00:01", vtep = "10.0.9.1" } ]`"#;

/// The networks of a file.
pub(super) struct Networks {
    /// The networks without mistakes.
    pub(super) complete: BTreeMap<Uuid, Network>,
    /// All names, so that a mistake in a network is not reported again for each of its ports.
    names: BTreeMap<String, Named>,
}

struct Named {
    span: Range<usize>,
    uuid: Option<Uuid>,
}

impl Networks {
    /// The network of this name: `None` if there is none, `Some(None)` if its UUID is invalid.
    pub(super) fn find(&self, name: &str) -> Option<Option<Uuid>> {
        self.names.get(name).map(|named| named.uuid)
    }

    /// The names of all networks, with their places.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.names.iter().map(|(name, named)| (name.as_str(), &named.span))
    }

    /// The names of all networks.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }
}

pub(super) fn read(root: &mut Table<'_>, base: &Path, files: &dyn Files, problems: &mut Problems) -> Networks {
    let mut networks = Networks {
        complete: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    let mut uuids = BTreeMap::new();
    let mut vnis = BTreeMap::new();
    let tables = root.tables(
        "network",
        "`[[network]]` with two brackets, once for each network",
        problems,
    );
    for mut table in tables {
        let name = table.required(&NAME, problems);
        let uuid = table.required(&UUID, problems);
        let vni = table.required(&VNI, problems);
        let remote_macs = remote_macs(&mut table, base, files, problems);
        table.finish(problems);

        if let Some(uuid) = &uuid {
            unique(&mut uuids, uuid, &table, "UUID", problems);
        }
        if let Some(vni) = &vni {
            unique(&mut vnis, vni, &table, "VNI", problems);
        }
        let Some(name) = name else { continue };
        let named = Named {
            span: name.span.clone(),
            uuid: uuid.as_ref().map(|at| at.value),
        };
        if let Some(before) = networks.names.insert(name.value.clone(), named) {
            let message = format!("two networks have the name {}", values::shown(&name.value));
            let problem = table.problem(name.span, message).label("the second");
            let problem = problem.before(before.span, "the first");
            problems.add(problem.help("rename one of them, or merge them"));
        }
        if let (Some(uuid), Some(vni)) = (uuid, vni) {
            let network = Network {
                name: name.value,
                vni: vni.value,
                remote_macs,
            };
            networks.complete.insert(uuid.value, network);
        }
    }
    networks
}

fn unique<T: Ord + Copy + std::fmt::Display>(
    seen: &mut BTreeMap<T, Range<usize>>,
    given: &At<T>,
    table: &Table<'_>,
    what: &str,
    problems: &mut Problems,
) {
    if let Some(before) = seen.insert(given.value, given.span.clone()) {
        problems.add(
            table
                .problem(
                    given.span.clone(),
                    format!("two networks have the {what} {}", given.value),
                )
                .label("the second")
                .before(before, "the first")
                .help(format!("give each network its own {what}")),
        );
    }
}

fn remote_macs(
    table: &mut Table<'_>,
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> BTreeMap<Mac, Ipv4Addr> {
    let mut routes = BTreeMap::new();
    let mut spans = BTreeMap::new();
    for mut entry in table.tables("remote_macs", REMOTE_MACS_EXAMPLE, problems) {
        let mac = entry.required(&MAC, problems);
        let vtep = entry.required(&VTEP, problems);
        entry.finish(problems);
        let (Some(mac), Some(vtep)) = (mac, vtep) else {
            continue;
        };
        if let Some(before) = spans.insert(mac.value, mac.span.clone()) {
            problems.add(
                entry
                    .problem(mac.span, format!("{} is given twice in this network", mac.value))
                    .label("the second")
                    .before(before, "the first")
                    .help("a MAC is behind one tunnel end; remove one of the two"),
            );
        }
        routes.insert(mac.value, vtep.value);
    }
    if let Some(at) = table.optional(&REMOTE_MACS_FILE, problems) {
        let path = base.join(&at.value);
        match files.read(&path) {
            Ok(bytes) => macs::read(&path, &bytes, &mut routes, problems),
            Err(why) => problems.add(unreadable(table, &at, &path, &why)),
        }
    }
    routes
}

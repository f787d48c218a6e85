//! `[[switch]]`: the switches, and the networks of their ports.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use tandem_core::configuration::{CertificateRule, Switch, VlanId};
use tandem_core::ids::{PortName, SwitchName, Uuid};

use super::common::or;
use super::networks::Networks;
use super::problem::Problems;
use super::table::{At, Key, Table, nearest};
use super::values;

const NAME: Key<String> = Key {
    name: "name",
    read: values::text,
    example: r#""tor1""#,
    what: "`Physical_Switch.name` in the switch's database",
};
pub(super) const VTEP: Key<Ipv4Addr> = Key {
    name: "vtep",
    read: values::tunnel_end,
    example: r#""10.0.1.1""#,
    what: "the switch's tunnel end",
};
const CERTIFICATE: Key<CertificateRule> = Key {
    name: "certificate",
    read: values::certificate_rule,
    example: r#""name:tor1.example""#,
    what: "the common name or DNS name that the certificate must have; `sha256:` and 64 hexadecimal digits pin one certificate",
};
const SOLE_MANAGER: Key<bool> = Key {
    name: "sole_manager",
    read: values::boolean,
    example: "true",
    what: "whether no other program writes to this switch; an agent then also writes to a switch that has no locks",
};
const MAX_ROWS_PER_TRANSACTION: Key<usize> = Key {
    name: "max_rows_per_transaction",
    read: values::rows,
    example: "100",
    what: "the most rows that one transaction may change, at least 1",
};
const PORT: Key<String> = Key {
    name: "port",
    read: values::text,
    example: r#""eth1""#,
    what: "`Physical_Port.name`",
};
const VLAN: Key<VlanId> = Key {
    name: "vlan",
    read: values::vlan,
    example: "10",
    what: "the VLAN tag, up to 4095; 0 means untagged",
};
const NETWORK: Key<String> = Key {
    name: "network",
    read: values::text,
    example: r#""blue""#,
    what: "the `name` of a `[[network]]` of this file",
};
const PORTS_EXAMPLE: &str = r#"`ports = [ { port = "eth1", vlan = 10, network = "blue" } ]`"#;

type Ports = BTreeMap<PortName, BTreeMap<VlanId, Uuid>>;

/// Reads each `[[switch]]`. `whole` builds the entry, and may read further keys of the table.
pub(super) fn read<T>(
    root: &mut Table<'_>,
    networks: &Networks,
    problems: &mut Problems,
    mut whole: impl FnMut(&mut Table<'_>, Option<At<Ipv4Addr>>, Switch, &mut Problems) -> T,
) -> BTreeMap<SwitchName, T> {
    let mut switches = BTreeMap::new();
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let tables = root.tables(
        "switch",
        "`[[switch]]` with two brackets, once for each switch",
        problems,
    );
    for mut table in tables {
        let name = table.required(&NAME, problems);
        let vtep = table.optional(&VTEP, problems);
        let certificate = table.optional(&CERTIFICATE, problems);
        let sole_manager = table.optional(&SOLE_MANAGER, problems);
        let rows = table.optional(&MAX_ROWS_PER_TRANSACTION, problems);
        let ports = ports(&mut table, networks, problems);
        let switch = Switch {
            vtep: vtep.as_ref().map(|at| at.value),
            certificate: certificate.map(|at| at.value),
            ports,
            sole_manager: or(sole_manager, false),
            rows_per_transaction_max: rows.map(|at| at.value),
        };
        let switch = whole(&mut table, vtep, switch, problems);
        table.finish(problems);

        let Some(name) = name else { continue };
        if let Some(before) = names.insert(name.value.clone(), name.span.clone()) {
            problems.add(
                table
                    .problem(
                        name.span,
                        format!("two switches have the name {}", values::shown(&name.value)),
                    )
                    .label("the second")
                    .before(before, "the first")
                    .help("a switch is identified by its name only; merge the two, or correct one name"),
            );
        }
        switches.insert(SwitchName::from(name.value), switch);
    }
    switches
}

fn ports(table: &mut Table<'_>, networks: &Networks, problems: &mut Problems) -> Ports {
    let mut ports = Ports::new();
    let mut places: BTreeMap<(String, VlanId), Range<usize>> = BTreeMap::new();
    for mut entry in table.tables("ports", PORTS_EXAMPLE, problems) {
        let port = entry.required(&PORT, problems);
        let vlan = entry.required(&VLAN, problems);
        let network = entry.required(&NETWORK, problems);
        entry.finish(problems);

        let uuid = network.and_then(|network| {
            let found = networks.find(&network.value);
            if found.is_none() {
                let message = format!("no network has the name {}", values::shown(&network.value));
                problems.add(
                    entry
                        .problem(network.span, message)
                        .help(known(&network.value, networks)),
                );
            }
            found.flatten()
        });
        let (Some(port), Some(vlan)) = (port, vlan) else {
            continue;
        };
        if let Some(before) = places.insert((port.value.clone(), vlan.value), entry.span()) {
            let place = format!("port {} with VLAN {}", values::shown(&port.value), vlan.value);
            problems.add(
                entry
                    .problem(entry.span(), format!("{place} is given twice"))
                    .label("the second")
                    .before(before, "the first")
                    .help("a port and VLAN belong to one network; remove one of the two"),
            );
        }
        if let Some(uuid) = uuid {
            let vlans = ports.entry(PortName::from(port.value)).or_default();
            vlans.insert(vlan.value, uuid);
        }
    }
    ports
}

fn known(name: &str, networks: &Networks) -> String {
    match nearest(name, networks.names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write the `name` of a `[[network]]` of this file".into(),
    }
}

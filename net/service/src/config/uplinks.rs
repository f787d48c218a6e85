//! `[control]` of an agent: the control nodes that send its networks and switches.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::clients::certificates;
use super::common::{or, resolve};
use super::files::Files;
use super::problem::Problems;
use super::settings::Uplinks;
use super::table::{At, Key, Table};
use super::values;

const NODES: Key<SocketAddr> = Key {
    name: "nodes",
    read: values::control_node,
    example: r#"["10.0.0.5:5269", "10.0.0.6"]"#,
    what: "the control nodes, the preferred one first; the default port is 5269",
};
pub(super) const TLS: Key<bool> = Key {
    name: "tls",
    read: values::boolean,
    example: "true",
    what: "whether control nodes and agents use TLS; both ends need the same setting",
};
const CA: Key<PathBuf> = Key {
    name: "ca",
    read: values::path,
    example: r#""control-ca.pem""#,
    what: "a PEM file with the CAs that sign the certificates of control nodes",
};

const REMEMBER: Key<bool> = Key {
    name: "remember",
    read: values::boolean,
    example: "true",
    what: "whether the agent keeps its last complete configuration on disk, for a start without control nodes",
};
const STATE: Key<PathBuf> = Key {
    name: "state",
    read: values::path,
    example: r#""/var/lib/tandem/agent""#,
    what: "the folder in which the agent keeps its configuration",
};

/// The longest list of control nodes. An agent has sessions with two of them at a time.
const NODES_MAX: usize = 16;

/// `None` without the section, or if a problem in it was reported.
pub(super) fn read(root: &mut Table<'_>, base: &Path, files: &dyn Files, problems: &mut Problems) -> Option<Uplinks> {
    let mut table = root.section("control", problems)?;
    let nodes = table.required_list(&NODES, NODES_MAX, problems);
    let tls = table.optional(&TLS, problems);
    let ca = table.optional(&CA, problems);
    let is_secure = tls.as_ref().is_none_or(|tls| tls.value);
    let remember = table.optional(&REMEMBER, problems);
    let state = table.optional(&STATE, problems);
    let certificates = certificates(&mut table, is_secure, problems);
    table.finish(problems);

    for name in ["network", "switch"] {
        if let Some(place) = root.place(name) {
            problems.add(
                root.problem(place, format!("`[[{name}]]` conflicts with `[control]`"))
                    .label("configures it here")
                    .before(table.span(), "receives it from control nodes")
                    .help("networks and switches have one source: move this to the files of the control nodes, or remove `[control]`"),
            );
        }
    }
    let ca = match (tls, ca) {
        (Some(At { value: false, span }), Some(ca)) => {
            problems.add(
                table
                    .problem(ca.span, "`ca` has no effect with `tls = false`")
                    .label("names trusted CAs")
                    .before(span, "disables peer verification")
                    .help("remove `ca`, or `tls = false`"),
            );
            None
        }
        (Some(At { value: false, .. }), None) => None,
        (Some(At { value: true, .. }) | None, Some(ca)) => Some(resolve(&table, &ca, base, files, problems)),
        (Some(At { value: true, .. }) | None, None) => {
            if !table.has(CA.name) {
                problems.add(
                    table
                        .problem(table.span(), "`ca` is missing in [control]")
                        .label("in this table")
                        .help(format!("{}; or `tls = false` for control nodes without TLS", CA.help())),
                );
            }
            None
        }
    };
    Some(Uplinks {
        nodes: nodes?.value.into_iter().map(|node| node.value).collect(),
        ca,
        remember: or(remember, true),
        state: state.map(|at| base.join(at.value)),
        certificates,
    })
}

//! `[[client]]` of a control node, and `unknown_clients`: clients that no switch names, and certificates.

use tandem_core::control::{Access, ListedClient, Prefix, UnknownClients};
use tandem_core::identity::{IdentityRule, Pattern};
use toml::de::DeValue;

use super::problem::Problems;
use super::table::{At, Key, Table};
use super::values;

const NAME: Key<Pattern> = Key {
    name: "name",
    read: name,
    example: r#""vrouter-*""#,
    what: "the name of a client, in which `*` stands for any text",
};
pub(super) const CERTIFICATES: Key<IdentityRule> = Key {
    name: "certificates",
    read: values::identity_rule,
    example: r#"["name:agent.example", "sha256:..."]"#,
    what: "the certificates that may be presented: by a name in them, in which `*` stands for any text, or by their SHA-256",
};
const NEXT_HOPS: Key<Prefix> = Key {
    name: "next_hops",
    read: prefix,
    example: r#"["10.0.0.0/16"]"#,
    what: "the tunnel ends that the client may publish",
};
pub(super) const UNKNOWN_CLIENTS: Key<UnknownClients> = Key {
    name: "unknown_clients",
    read: unknown_clients,
    example: r#""refuse""#,
    what: "`refuse`, or `accept` clients that neither a switch nor a `[[client]]` names",
};

/// The longest lists of one client.
pub(super) const CERTIFICATES_MAX: usize = 16;
const NEXT_HOPS_MAX: usize = 256;

/// Every `[[client]]`. `is_secure`: clients present certificates.
pub(super) fn read(
    root: &mut Table<'_>,
    unknown: Option<At<UnknownClients>>,
    is_secure: bool,
    problems: &mut Problems,
) -> Access {
    let mut listed = Vec::new();
    for mut table in root.tables(
        "client",
        "`[[client]]` with two brackets, once for each client",
        problems,
    ) {
        let name = table.required(&NAME, problems);
        let certificates = certificates(&mut table, is_secure, problems);
        let next_hops = table.list(&NEXT_HOPS, NEXT_HOPS_MAX, problems);
        table.finish(problems);
        if let Some(name) = name {
            let next_hops = next_hops.into_iter().flat_map(|at| at.value);
            listed.push(ListedClient {
                name: name.value,
                certificates,
                next_hops: next_hops.map(|at| at.value).collect(),
            });
        }
    }
    Access {
        listed,
        unknown: unknown.map(|at| at.value).unwrap_or_default(),
    }
}

/// `certificates` of a table, which have no effect without TLS.
pub(super) fn certificates(table: &mut Table<'_>, is_secure: bool, problems: &mut Problems) -> Vec<IdentityRule> {
    let Some(list) = table.list(&CERTIFICATES, CERTIFICATES_MAX, problems) else {
        return Vec::new();
    };
    if !is_secure {
        problems.add(
            table
                .problem(list.span, "`certificates` has no effect with `tls = false`")
                .help("remove `certificates`, or `tls = false`"),
        );
    }
    list.value.into_iter().map(|at| at.value).collect()
}

fn name(value: &DeValue<'_>) -> Result<Pattern, String> {
    let name = values::text(value)?;
    values::is_peer_name(&name.replace('*', "-")).map_err(|_| {
        let shown = values::shown(&name);
        format!("{shown} must be a name of letters, digits, `-`, `_` and `.`, in which `*` stands for any text")
    })?;
    Ok(name.as_str().into())
}

fn prefix(value: &DeValue<'_>) -> Result<Prefix, String> {
    let prefix = values::text(value)?;
    prefix
        .parse()
        .map_err(|why| format!("{}: {why}", values::shown(&prefix)))
}

fn unknown_clients(value: &DeValue<'_>) -> Result<UnknownClients, String> {
    match values::text(value)?.as_str() {
        "refuse" => Ok(UnknownClients::Refuse),
        "accept" => Ok(UnknownClients::Accept),
        other => Err(format!("{} must be `refuse` or `accept`", values::shown(other))),
    }
}

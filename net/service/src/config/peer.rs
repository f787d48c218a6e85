//! `[peer]`: the link between the two agents of a pair.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::clients::certificates;
use super::common::{CERTIFICATE, PRIVATE_KEY, collide, resolve};
use super::files::Files;
use super::problem::Problems;
use super::settings::{Listen, Peer};
use super::table::{At, Key, Table};
use super::values;
use crate::tls::Settings;

const LISTEN: Key<SocketAddr> = Key {
    name: "listen",
    read: values::socket,
    example: r#""10.0.0.11:6654""#,
    what: "the address at which the other agent of the pair connects",
};
const CONNECT: Key<SocketAddr> = Key {
    name: "connect",
    read: values::reachable,
    example: r#""10.0.0.12:6654""#,
    what: "the address at which the other agent of the pair listens",
};
const CA: Key<PathBuf> = Key {
    name: "ca",
    read: values::path,
    example: r#""agent-ca.pem""#,
    what: "a PEM file with the CAs that sign the certificates of agents",
};

/// `None` without the section, or if a problem in it was reported.
pub(super) fn read(
    root: &mut Table<'_>,
    (own, ports): (Option<&Settings>, Option<&Listen>),
    base: &Path,
    files: &dyn Files,
    problems: &mut Problems,
) -> Option<Peer> {
    let mut table = root.section("peer", problems)?;
    let listen = table.required(&LISTEN, problems);
    let connect = table.required(&CONNECT, problems);
    let ca = table.required(&CA, problems);
    let certificate = table.optional(&CERTIFICATE, problems);
    let private_key = table.optional(&PRIVATE_KEY, problems);
    let certificates = certificates(&mut table, true, problems);
    table.finish(problems);

    addresses(&table, (&listen, &connect), ports, problems);
    alone(
        &table,
        (&certificate, "certificate"),
        (&private_key, "private_key"),
        problems,
    );
    let mut resolve = |at: Option<At<PathBuf>>| at.map(|at| resolve(&table, &at, base, files, problems));
    let (ca, certificate, private_key) = (resolve(ca), resolve(certificate), resolve(private_key));
    let own = own?;
    Some(Peer {
        listen: listen?.value,
        connect: connect?.value,
        certificates,
        tls: Settings {
            certificate: certificate.unwrap_or_else(|| own.certificate.clone()),
            private_key: private_key.unwrap_or_else(|| own.private_key.clone()),
            ca: ca?,
            crl: None,
            allow_x509_v1: false,
            pins: Vec::new(),
        },
    })
}

/// Reports addresses at which the agent would dial itself, or listen twice.
fn addresses(
    table: &Table<'_>,
    (listen, connect): (&Option<At<SocketAddr>>, &Option<At<SocketAddr>>),
    ports: Option<&Listen>,
    problems: &mut Problems,
) {
    if let (Some(listen), Some(connect)) = (listen, connect)
        && listen.value == connect.value
    {
        problems.add(
            table
                .problem(
                    connect.span.clone(),
                    format!("this agent itself listens at {}", connect.value),
                )
                .label("the peer")
                .before(listen.span.clone(), "this agent")
                .help("write the address at which the other agent of the pair listens; in its file, the two addresses are exchanged"),
        );
    }
    if let (Some(listen), Some(ports)) = (listen, ports) {
        let ports = [Some(ports.ovsdb), ports.health, ports.agent_check, ports.http];
        if let Some(taken) = ports.into_iter().flatten().find(|port| collide(*port, listen.value)) {
            problems.add(
                table
                    .problem(
                        listen.span.clone(),
                        format!(
                            "`listen` ({}) and `[listen]` ({taken}) need the same port",
                            listen.value
                        ),
                    )
                    .help("give each of them a port of its own"),
            );
        }
    }
}

/// Reports a certificate without its key, or a key without its certificate.
fn alone(
    table: &Table<'_>,
    (certificate, name): (&Option<At<PathBuf>>, &str),
    (key, key_name): (&Option<At<PathBuf>>, &str),
    problems: &mut Problems,
) {
    let (there, given, missing) = match (certificate, key) {
        (Some(at), None) => (at, name, key_name),
        (None, Some(at)) => (at, key_name, name),
        (Some(_), Some(_)) | (None, None) => return,
    };
    problems.add(
        table
            .problem(there.span.clone(), format!("`{given}` is given without `{missing}`"))
            .help(format!(
                "give both, or neither to use those of `[tls]`: remove `{given}`, or add `{missing}`"
            )),
    );
}

//! What is right in a file, and would be better otherwise: which certificates could play a role that is not theirs.

use std::path::Path;

use tandem_core::SwitchName;
use tandem_core::configuration::Switch;
use tandem_net::config::{AgentConfig, Config, ControlConfig};
use tandem_net::own_name;
use tandem_net::tls::{Acceptor, vouches_for};

/// What would be better.
pub(super) fn hints(config: &Config) -> Vec<String> {
    let hints = [unbound_certificates(config), foreign_name(config), unnamed_peer(config)];
    hints.into_iter().flatten().collect()
}

/// Authorities that sign more than one role, where a certificate of one role would be accepted in the other.
pub(super) fn shared_authorities(config: &Config) -> Vec<String> {
    match config {
        Config::Agent(agent) => of_agent(agent),
        Config::Control(control) => of_control_node(control).into_iter().collect(),
    }
}

fn of_agent(agent: &AgentConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let uplinks = agent.uplinks.as_ref();
    let control = uplinks.and_then(|it| Some((it.ca.as_deref()?, it.certificates.is_empty())));
    if let Some((ca, true)) = control {
        let of_agents = agent.peer.as_ref().map(|peer| peer.tls.ca.as_path());
        let of_agents = of_agents.into_iter().chain([agent.tls.certificate.as_path()]);
        let roles = [
            ("switches", is_shared(ca, &agent.tls.ca)),
            ("agents", of_agents.into_iter().any(|file| is_shared(ca, file))),
        ];
        let roles: Vec<&str> = roles.into_iter().filter(|(_, is)| *is).map(|(role, _)| role).collect();
        warnings.extend((!roles.is_empty()).then(|| {
            format!(
                "control.ca {} also signs {}: each of them could play a control node; name an authority that signs control \
                 nodes alone, or list theirs in `certificates`",
                ca.display(),
                roles.join(" and ")
            )
        }));
    }
    if let Some(peer) = &agent.peer
        && peer.certificates.is_empty()
        && is_shared(&peer.tls.ca, &agent.tls.ca)
    {
        let ca = peer.tls.ca.display();
        warnings.push(format!(
            "peer.ca {ca} also signs switches: each of them could play the other agent; name an authority that signs agents \
             alone, or list the certificate of the other agent in `certificates`"
        ));
    }
    warnings
}

/// Agents trust the authority that signed the control node's own certificate.
fn of_control_node(control: &ControlConfig) -> Option<String> {
    let tls = control.tls.as_ref()?;
    is_shared(&tls.ca, &tls.certificate).then(|| {
        format!(
            "tls.ca {} also signed {}: each agent could play a control node; issue it by an authority that signs control nodes \
             alone",
            tls.ca.display(),
            tls.certificate.display()
        )
    })
}

/// Files that cannot be used are reported elsewhere.
fn is_shared(ca: &Path, file: &Path) -> bool {
    vouches_for(ca, file).unwrap_or(false)
}

/// Every certificate of the CA may be the other agent, under the name that it contains.
fn unnamed_peer(config: &Config) -> Option<String> {
    let Config::Agent(agent) = config else { return None };
    agent.peer.as_ref()?.certificates.is_empty().then(|| {
        "[peer] has no `certificates`: each agent whose certificate its `ca` signed can play the other agent of this pair; \
         name that one: `certificates = [\"name:NAME\"]`"
            .to_owned()
    })
}

/// The own certificate, if those that compare names with it miss the own name.
fn foreign_name(config: &Config) -> Option<String> {
    match config {
        Config::Agent(agent) => own_name::agent(agent, &Acceptor::load(&agent.tls).ok()?.certificate()),
        Config::Control(control) => {
            let acceptor = Acceptor::load(control.tls.as_ref()?).ok()?;
            own_name::control(control, &acceptor.certificate())
        }
    }
}

/// The switches to whose names no certificate is tied.
fn unbound_certificates(config: &Config) -> Option<String> {
    let switches: Vec<(&SwitchName, &Switch)> = match config {
        Config::Agent(agent) => agent.configuration.switches.iter().collect(),
        Config::Control(control) => {
            let switches = control.inventory.switches.iter();
            switches.map(|(name, served)| (name, &served.switch)).collect()
        }
    };
    let unbound = switches.iter().filter(|(_, switch)| switch.certificate.is_none());
    let names: Vec<&str> = unbound.map(|(name, _)| name.as_str()).collect();
    let first = names.first()?;
    let which = match names.len() {
        1 => format!("{first} has"),
        total => format!("{total} switches ({first} ...) have"),
    };
    Some(format!(
        "{which} no `certificate`: each holder of a certificate of the CA can take the name; `tandem status` shows the line to add"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tandem_net::config;

    use super::*;

    const AGENT: &str = r#"
agent = { name = "agent-a", tsn_ip = "10.0.0.11" }
listen = { ovsdb = "127.0.0.1:0" }
tls = { certificate = "pki/agent-a-cert.pem", private_key = "pki/agent-a-key.pem", ca = "pki/switch-ca.pem" }
control = { nodes = ["10.0.0.5"], ca = "pki/control-ca.pem" }
peer = { listen = "127.0.0.1:6654", connect = "10.0.0.12:6654", ca = "pki/agent-ca.pem", certificates = ["name:agent-b"] }
"#;

    const CONTROL: &str = r#"
control = { name = "control-1" }
tls = { certificate = "pki/control-1-cert.pem", private_key = "pki/control-1-key.pem", ca = "pki/agent-ca.pem" }
inventory = { revision = 1 }
"#;

    /// The warnings and hints of a file beside a folder of `tandem pki init`; the folder in them is `DIR`.
    fn advice(file: &str) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        crate::pki::init(&folder.path().join("pki"), false).expect("certificates");
        let path = folder.path().join("file.toml");
        fs::write(&path, file).expect("written");
        let config = config::load_any(&path).unwrap_or_else(|why| panic!("{why}"));
        let folder = folder.path().display().to_string();
        let shown = |texts: Vec<String>| texts.iter().map(|text| text.replace(&folder, "DIR")).collect();
        (shown(shared_authorities(&config)), shown(hints(&config)))
    }

    #[test]
    fn the_authorities_of_pki_init_and_a_named_peer_need_no_advice() {
        assert_eq!(advice(AGENT), (vec![], vec![]));
        assert_eq!(advice(CONTROL), (vec![], vec![]));
    }

    #[test]
    fn an_authority_of_control_nodes_that_signs_another_role_is_a_warning_unless_certificates_are_listed() {
        for (ca, roles) in [("agent-ca", "agents"), ("switch-ca", "switches")] {
            let shared = AGENT.replace("control-ca", ca);
            let (warnings, _) = advice(&shared);
            let head =
                format!("control.ca DIR/pki/{ca}.pem also signs {roles}: each of them could play a control node");
            assert!(warnings.len() == 1 && warnings[0].starts_with(&head), "{warnings:?}");
            let listed = shared.replace(
                &format!("ca = \"pki/{ca}.pem\" }}\npeer"),
                &format!("ca = \"pki/{ca}.pem\", certificates = [\"name:control-1\"] }}\npeer"),
            );
            assert_ne!(listed, shared);
            assert_eq!(advice(&listed).0, [""; 0]);
        }
        let (warnings, _) = advice(&CONTROL.replace("control-1-", "agent-a-"));
        let head =
            "tls.ca DIR/pki/agent-ca.pem also signed DIR/pki/agent-a-cert.pem: each agent could play a control node";
        assert!(warnings.len() == 1 && warnings[0].starts_with(head), "{warnings:?}");
    }

    #[test]
    fn a_peer_without_a_list_of_certificates_is_a_hint_and_a_warning_where_switches_could_play_it() {
        let unnamed = AGENT.replace(", certificates = [\"name:agent-b\"]", "");
        let (warnings, hints) = advice(&unnamed);
        assert_eq!(warnings, [""; 0]);
        assert!(
            hints.len() == 1 && hints[0].starts_with("[peer] has no `certificates`: "),
            "{hints:?}"
        );
        let (warnings, _) = advice(&unnamed.replace("pki/agent-ca.pem", "pki/switch-ca.pem"));
        let head = "peer.ca DIR/pki/switch-ca.pem also signs switches: each of them could play the other agent";
        assert!(warnings.len() == 1 && warnings[0].starts_with(head), "{warnings:?}");
    }

    #[test]
    fn a_certificate_of_another_name_is_a_hint() {
        let why = "the certificate DIR/pki/agent-b-cert.pem has the name agent-b and not agent-a: others refuse it, unless their \
                   `certificates` list admits it";
        assert_eq!(advice(&AGENT.replace("pki/agent-a-", "pki/agent-b-")).1, [why]);
    }
}

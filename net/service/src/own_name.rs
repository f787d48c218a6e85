//! Whether the own certificate carries the own name, which others compare.

use std::path::Path;

use tandem_core::identity;
use tandem_core::machine::Certificate;

use crate::config::{AgentConfig, ControlConfig};

/// What others refuse about the certificate of an agent, if control nodes or the other agent compare names.
pub fn agent(config: &AgentConfig, certificate: &Certificate) -> Option<String> {
    let is_compared = config.peer.is_some() || config.uplink_tls().is_some();
    let name = &config.configuration.session.agent;
    is_compared.then(|| missed(name, certificate, &config.tls.certificate))?
}

/// The same of a control node, whose agents compare names.
pub fn control(config: &ControlConfig, certificate: &Certificate) -> Option<String> {
    missed(&config.name, certificate, &config.tls.as_ref()?.certificate)
}

fn missed(name: &str, certificate: &Certificate, file: &Path) -> Option<String> {
    if identity::check(name, &[], certificate).is_ok() {
        return None;
    }
    let names = match certificate.identities.as_slice() {
        [] => "no name".to_owned(),
        names => format!("the name {}", names.join(", ")),
    };
    Some(format!(
        "the certificate {} has {names} and not {name}: others refuse it, unless their `certificates` list admits it",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use tandem_core::machine::Fingerprint;

    use super::*;

    fn missed_by(name: &str, identities: &[&str]) -> Option<String> {
        let certificate = Certificate {
            fingerprint: Fingerprint([1; 32]),
            names: vec![],
            identities: identities.iter().map(|it| (*it).to_owned()).collect(),
            not_after_unix_s: 0,
            pinned_only: false,
        };
        missed(name, &certificate, Path::new("a.pem"))
    }

    #[test]
    fn a_certificate_without_the_own_name_is_named_with_what_it_has_instead() {
        assert_eq!(missed_by("agent-a", &["agent", "agent-a"]), None);
        let why = |has: &str| {
            format!(
                "the certificate a.pem has {has} and not agent-a: others refuse it, unless their `certificates` list admits it"
            )
        };
        assert_eq!(missed_by("agent-a", &["agent-b"]), Some(why("the name agent-b")));
        assert_eq!(missed_by("agent-a", &[]), Some(why("no name")));
    }
}

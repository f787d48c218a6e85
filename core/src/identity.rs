//! A certificate is a name: which certificates the holder of a name may present.
//!
//! By default the certificate itself contains the name: among the DNS names of its subject alternative names or, if it has
//! none, as its common name (RFC 6125, section 6.4.4). Rules of the configuration replace that: a pin of one certificate, or
//! a pattern for the names in certificates.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::machine::{Certificate, Fingerprint};
use crate::text::short;

/// A text in which each `*` stands for any characters, or for none.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Whether a name has this form.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return *self.0 == *name;
        };
        let Some(mut name) = name.strip_prefix(first) else {
            return false;
        };
        let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The earliest place of each part leaves the most room for those behind it.
        for part in between.split('*') {
            match name.split_once(part) {
                Some((_, behind)) => name = behind,
                None => return false,
            }
        }
        name.ends_with(last)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Box<str>>> From<T> for Pattern {
    fn from(pattern: T) -> Self {
        Self(pattern.into())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A certificate that the holder of a name may present.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityRule {
    /// Exactly this certificate.
    Pinned(Fingerprint),
    /// Any certificate of the CA with such a name.
    Named(Pattern),
}

impl IdentityRule {
    fn admits(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Pinned(pin) => *pin == certificate.fingerprint,
            Self::Named(pattern) => certificate.identities.iter().any(|name| pattern.matches(name)),
        }
    }
}

impl fmt::Display for IdentityRule {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(pin) => write!(f, "{pin}"),
            Self::Named(pattern) => write!(f, "name:{}", short(pattern.as_str())),
        }
    }
}

/// Whether a certificate entitles to a name. Without a rule the certificate has to contain the name itself. The error names
/// the certificate and what is wrong with it.
pub fn check(name: &str, rules: &[IdentityRule], certificate: &Certificate) -> Result<(), String> {
    let admitted = match rules {
        [] => certificate.identities.iter().any(|shown| shown == name),
        rules => rules.iter().any(|rule| rule.admits(certificate)),
    };
    if admitted {
        return Ok(());
    }
    let shown = describe(certificate);
    Err(match rules {
        [] => format!("{shown} does not contain the name {}", short(name)),
        rules => {
            let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
            format!(
                "{shown} is not one that {} may present: {}",
                short(name),
                rules.join(", ")
            )
        }
    })
}

/// A certificate in a sentence.
pub fn describe(certificate: &Certificate) -> String {
    let names: Vec<String> = certificate.identities.iter().map(|name| short(name)).collect();
    match names.as_slice() {
        [] => format!("the certificate without a name ({})", certificate.fingerprint),
        names => format!("the certificate of {} ({})", names.join(", "), certificate.fingerprint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(identities: &[&str]) -> Certificate {
        Certificate {
            fingerprint: Fingerprint([7; 32]),
            names: vec!["of the subject".into()],
            identities: identities.iter().map(|name| (*name).to_owned()).collect(),
            not_after_unix_s: 0,
            pinned_only: false,
        }
    }

    #[test]
    fn a_star_of_a_pattern_stands_for_any_text() {
        let cases = [
            ("agent-a", "agent-a", true),
            ("agent-a", "agent-ab", false),
            ("agent-*", "agent-a", true),
            ("agent-*", "agent-", true),
            ("agent-*", "an-agent-a", false),
            ("*.example", "tor1.example", true),
            ("*.example", "tor1.example.org", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a**b", "ab", true),
        ];
        for (pattern, name, matches) in cases {
            assert_eq!(Pattern::from(pattern).matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn without_a_rule_a_certificate_entitles_to_the_names_that_it_contains() {
        let shown = certificate(&["agent-a", "agent-a.example"]);
        assert_eq!(check("agent-a", &[], &shown), Ok(()));
        assert_eq!(check("agent-a.example", &[], &shown), Ok(()));
        assert!(check("agent-b", &[], &shown).is_err());
        assert!(check("of the subject", &[], &shown).is_err(), "it has other names");
        let why = check("agent-a", &[], &certificate(&["*"])).expect_err("no pattern of a certificate counts");
        assert!(why.contains("the certificate of * (sha256:0707"), "{why}");
    }

    #[test]
    fn rules_replace_the_name_in_the_certificate() {
        let shown = certificate(&["agent"]);
        let pinned = |byte| IdentityRule::Pinned(Fingerprint([byte; 32]));
        let named = |pattern: &str| IdentityRule::Named(pattern.into());
        assert_eq!(check("agent-a", &[pinned(1), pinned(7)], &shown), Ok(()));
        assert_eq!(check("agent-a", &[named("agent")], &shown), Ok(()));
        assert_eq!(check("agent-a", &[named("age*")], &shown), Ok(()));
        assert!(
            check("agent", &[pinned(1)], &shown).is_err(),
            "the name alone is not enough"
        );
        let why = check("agent", &[named("tor*")], &shown).expect_err("another name");
        assert!(why.ends_with("is not one that agent may present: name:tor*"), "{why}");
    }
}

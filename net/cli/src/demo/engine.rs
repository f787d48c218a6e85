//! The parts of a demo.

use std::collections::BTreeSet;

use tandem_lab::{
    Agent, ControlNode, EmbeddedPair, Error, Pair, PairOptions, Remote, Result, Schema, Scratch, Switch, program,
};

/// What plays the switches and the proxy. Agents, control nodes, TLS and sockets are always real.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Engine {
    /// Tandem's own models of them. Needs no other program.
    #[default]
    Embedded,
    /// `ovsdb-server` and HAProxy.
    Real,
}

impl Engine {
    /// Its name in `--json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Real => "real",
        }
    }

    /// What plays the switches and the proxy.
    pub(super) fn parts(self) -> &'static str {
        match self {
            Self::Embedded => "Tandem's own models of two switches and HAProxy",
            Self::Real => "two ovsdb-servers and HAProxy",
        }
    }

    /// What to install, if anything.
    pub(super) fn missing(self) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::Real => missing(),
        }
    }

    pub(super) fn start(self, options: &PairOptions) -> Result<Parts> {
        Ok(match self {
            Self::Embedded => Parts::Embedded(Box::new(EmbeddedPair::start(options)?)),
            Self::Real => Parts::Real(Box::new(Pair::start(options)?)),
        })
    }
}

/// Running parts.
pub(super) enum Parts {
    Embedded(Box<EmbeddedPair>),
    Real(Box<Pair>),
}

impl Parts {
    pub(super) fn agents(&self) -> &[Agent; 2] {
        match self {
            Self::Embedded(pair) => &pair.agents,
            Self::Real(pair) => &pair.agents,
        }
    }

    pub(super) fn control_nodes(&self) -> &[ControlNode] {
        match self {
            Self::Embedded(pair) => &pair.control_nodes,
            Self::Real(pair) => &pair.control_nodes,
        }
    }

    /// Where the switches accept clients.
    pub(super) fn switches(&self) -> Vec<Remote> {
        match self {
            Self::Embedded(pair) => pair.switches.clone(),
            Self::Real(pair) => pair.switches.iter().map(Switch::remote).collect(),
        }
    }

    pub(super) fn scratch(&self) -> &Scratch {
        match self {
            Self::Embedded(pair) => &pair.scratch,
            Self::Real(pair) => &pair.scratch,
        }
    }
}

fn missing() -> Option<String> {
    let programs = ["haproxy", "ovsdb-server", "ovsdb-tool", "setpriv"];
    let found = programs.map(|name| program::find(name).map(drop));
    let errors = found.into_iter().chain([Schema::find()]).filter_map(Result::err);
    let (mut lines, mut packages) = (String::new(), BTreeSet::new());
    for error in errors {
        match error {
            Error::Missing { program, package } => {
                lines += &format!("  {program}, of the Debian package {package}\n");
                packages.insert(package);
            }
            other => lines += &format!("  {other}\n"),
        }
    }
    let packages = Vec::from_iter(packages).join(" ");
    (!lines.is_empty()).then(|| {
        format!(
            "With --real the demo starts real programs, and these are missing:\n\n{lines}\n\
             `make deps` as root installs them and leaves no service running; or install them yourself:\n\n  \
             apt-get install --no-install-recommends {packages}\n\n\
             Without --real it needs none of them."
        )
    })
}

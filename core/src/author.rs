//! Who changed a configuration, and from which revision to which: for the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::short;

/// The source of a configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The file of the agent.
    File,
    /// The memory of the agent: no control node could be reached.
    Memory,
    /// A control node, by its name.
    ControlNode(String),
}

/// A change of the configuration in force.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Where the new one comes from.
    pub by: Author,
    /// The revision that was in force, if one is known.
    pub from: Option<u64>,
    /// The revision from now on, if one came with it.
    pub revision: Option<u64>,
}

impl Author {
    /// A change by this author.
    pub(crate) const fn changes(self, from: Option<u64>, revision: Option<u64>) -> Provenance {
        Provenance {
            by: self,
            from,
            revision,
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("its file"),
            Self::Memory => f.write_str("its memory"),
            Self::ControlNode(name) => f.write_str(&short(name)),
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.revision) {
            (Some(from), Some(revision)) => write!(f, "revision {from} -> {revision} by {}", self.by),
            (None, Some(revision)) => write!(f, "revision {revision} by {}", self.by),
            (_, None) => write!(f, "by {}", self.by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_its_author_and_the_revisions_that_are_known() {
        let change = |by, from, revision| Provenance { by, from, revision }.to_string();
        let node = || Author::ControlNode("control-1".into());
        assert_eq!(change(node(), Some(7), Some(8)), "revision 7 -> 8 by control-1");
        assert_eq!(change(node(), None, Some(8)), "revision 8 by control-1");
        assert_eq!(change(Author::File, None, None), "by its file");
    }
}

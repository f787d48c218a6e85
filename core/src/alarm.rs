//! Alarms of a session: faults at a switch that need an operator.

use serde::{Deserialize, Serialize};

/// A fault at a switch, as one session sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SessionAlarm {
    /// The kind of the fault.
    pub kind: AlarmKind,
    /// Objects that are concerned.
    pub objects: usize,
    /// The details, for people; words of the switch are on one line.
    pub detail: String,
}

/// The kind of a fault at a switch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The database is clustered or behind a relay: a lock does not keep other agents from writing.
    Unfenced,
    /// Another switch has the same name and is programmed instead.
    Duplicate,
    /// Its own tunnel ends are not the configured one.
    WrongTunnelEnd,
    /// The switch reports a fault of itself or of a port.
    SwitchFault,
    /// The server has no room: a lane of writes stopped.
    WritesStopped,
    /// A table is at its limit.
    TableFull,
    /// Another program undoes what was written.
    OtherWriter,
    /// Too many deletions at once wait for an operator.
    DeletionsWithheld,
    /// The switch learned MACs at places that no route can name.
    NotExported,
}

impl AlarmKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Unfenced,
        Self::Duplicate,
        Self::WrongTunnelEnd,
        Self::SwitchFault,
        Self::WritesStopped,
        Self::TableFull,
        Self::OtherWriter,
        Self::DeletionsWithheld,
        Self::NotExported,
    ];

    /// The label of a metric, and the text in JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unfenced => "unfenced",
            Self::Duplicate => "duplicate",
            Self::WrongTunnelEnd => "wrong_tunnel_end",
            Self::SwitchFault => "switch_fault",
            Self::WritesStopped => "writes_stopped",
            Self::TableFull => "table_full",
            Self::OtherWriter => "other_writer",
            Self::DeletionsWithheld => "deletions_withheld",
            Self::NotExported => "not_exported",
        }
    }

    /// The words in a table for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unfenced => "LOCK FENCES NOTHING",
            Self::Duplicate => "TWO SWITCHES WITH THIS NAME",
            Self::WrongTunnelEnd => "WRONG TUNNEL END",
            Self::SwitchFault => "THE SWITCH REPORTS FAULTS",
            Self::WritesStopped => "WRITES STOPPED",
            Self::TableFull => "TABLE FULL",
            Self::OtherWriter => "ANOTHER PROGRAM WRITES HERE",
            Self::DeletionsWithheld => "DELETIONS WITHHELD",
            Self::NotExported => "MACS NOT EXPORTED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_each_kind_is_its_text_in_json() {
        for kind in AlarmKind::ALL {
            let json = serde_json::to_string(&kind).expect("JSON");
            assert_eq!(json.trim_matches('"'), kind.label());
        }
    }
}

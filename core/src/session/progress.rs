//! The progress of a session: in reading the switch, and, once the switch is known, in taking it over.
//!
//! Each phase carries what is known in it, so that nothing can be read in the wrong phase.

use crate::ids::SwitchName;
use crate::ovsdb::monitor::Monitor;
use crate::ovsdb::schema::Schema;
use crate::status::Phase;

/// The progress of a session.
#[derive(Clone, Debug)]
pub(super) enum Progress {
    /// The schema is awaited.
    Opened {
        /// Every row of the small tables was read.
        small_read: bool,
    },
    /// The schema is known. Which switch it is, is not, or it is none of ours.
    Identifying {
        schema: Schema,
        small_read: bool,
        /// The names in the database, none of them ours, as reported last.
        named: Option<Vec<SwitchName>>,
    },
    /// The switch is one of ours.
    Reading {
        schema: Schema,
        unicast: Unicast,
        claim: Claim,
    },
    /// Every table was read and compared once.
    Synced { schema: Schema, claim: Claim },
    /// The session is over.
    Closing,
}

/// The progress of reading the unicast tables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unicast {
    /// They were not asked for.
    NotAsked,
    /// They were asked for; which of them were read.
    Asked { local: bool, remote: bool },
    /// Both were read.
    Read,
}

/// The progress of a takeover.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// The session may not write, or not yet.
    None,
    /// Broadcast rows are being repointed.
    Begun,
    /// The switch has acknowledged all of them.
    Claimed,
    /// Everything that can be written was written.
    Audited,
}

impl Progress {
    /// A session begins.
    pub(super) fn new() -> Self {
        Self::Opened { small_read: false }
    }

    /// The form in `status`.
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Opened { .. } => Phase::Opened,
            Self::Identifying { .. } => Phase::Identifying,
            Self::Reading { .. } => Phase::Reading,
            Self::Synced { .. } => Phase::Synced,
            Self::Closing => Phase::Closing,
        }
    }

    /// Whether the session is over.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self, Self::Closing)
    }

    /// The switch's schema, once it is known.
    pub(super) fn schema(&self) -> Option<&Schema> {
        match self {
            Self::Identifying { schema, .. } | Self::Reading { schema, .. } | Self::Synced { schema, .. } => {
                Some(schema)
            }
            Self::Opened { .. } | Self::Closing => None,
        }
    }

    /// Whether enough is known to find out which switch it is.
    pub(super) fn can_identify(&self) -> bool {
        matches!(self, Self::Identifying { small_read: true, .. }) || self.is_identified()
    }

    /// Whether the switch is one of ours.
    pub(super) fn is_identified(&self) -> bool {
        matches!(self, Self::Reading { .. } | Self::Synced { .. })
    }

    /// Whether the unicast tables are known.
    pub(super) fn tables_read(&self) -> bool {
        matches!(
            self,
            Self::Reading {
                unicast: Unicast::Read,
                ..
            } | Self::Synced { .. }
        )
    }

    /// Whether the takeover is over: what differs from now on was changed by another client, or is desired anew.
    pub(super) fn is_audited(&self) -> bool {
        self.claim() == Claim::Audited
    }

    /// The schema arrived.
    pub(super) fn on_schema(&mut self, schema: Schema) {
        if let Self::Opened { small_read } = *self {
            *self = Self::Identifying {
                schema,
                small_read,
                named: None,
            };
        }
    }

    /// Every row of the small tables was read.
    pub(super) fn on_small_read(&mut self) {
        if let Self::Opened { small_read } | Self::Identifying { small_read, .. } = self {
            *small_read = true;
        }
    }

    /// The database names no switch of ours. Answers whether these names are new.
    pub(super) fn on_unidentified(&mut self, names: &[SwitchName]) -> bool {
        if let Self::Identifying { named, .. } = self
            && named.as_deref() != Some(names)
        {
            *named = Some(names.to_vec());
            return true;
        }
        false
    }

    /// The switch is one of ours.
    pub(super) fn on_identified(&mut self) {
        if let Self::Identifying { schema, .. } = self {
            *self = Self::Reading {
                schema: std::mem::take(schema),
                unicast: Unicast::NotAsked,
                claim: Claim::None,
            };
        }
    }

    /// Decides to ask for the unicast tables. If the answer is true, send the requests.
    #[must_use]
    pub(super) fn ask_unicast(&mut self) -> bool {
        if let Self::Reading { unicast, .. } = self
            && *unicast == Unicast::NotAsked
        {
            let (local, remote) = (false, false);
            *unicast = Unicast::Asked { local, remote };
            return true;
        }
        false
    }

    /// Every row of a unicast table was read. Answers whether that was the last of them.
    pub(super) fn on_unicast_read(&mut self, monitor: Monitor) -> bool {
        let Self::Reading { unicast, .. } = self else {
            return false;
        };
        if let Unicast::Asked { local, remote } = unicast {
            *local |= monitor == Monitor::Local;
            *remote |= monitor == Monitor::Remote;
            if *local && *remote {
                *unicast = Unicast::Read;
                return true;
            }
        }
        false
    }

    /// Every table was compared.
    pub(super) fn on_compared(&mut self) {
        if let Self::Reading {
            schema,
            unicast: Unicast::Read,
            claim,
        } = self
        {
            *self = Self::Synced {
                schema: std::mem::take(schema),
                claim: *claim,
            };
        }
    }

    /// The session may write from now on. Answers whether it is the first time.
    pub(super) fn begin_claim(&mut self) -> bool {
        self.advance_claim(Claim::None, Claim::Begun)
    }

    /// The switch has acknowledged every broadcast row. Answers whether that ends the claim.
    pub(super) fn conclude_claim(&mut self) -> bool {
        self.advance_claim(Claim::Begun, Claim::Claimed)
    }

    /// Nothing is left to write. Answers whether that ends the takeover.
    pub(super) fn conclude_audit(&mut self) -> bool {
        matches!(self, Self::Synced { .. }) && self.advance_claim(Claim::Claimed, Claim::Audited)
    }

    /// The session is over.
    pub(super) fn close(&mut self) {
        *self = Self::Closing;
    }

    fn claim(&self) -> Claim {
        match self {
            Self::Reading { claim, .. } | Self::Synced { claim, .. } => *claim,
            Self::Opened { .. } | Self::Identifying { .. } | Self::Closing => Claim::None,
        }
    }

    fn advance_claim(&mut self, from: Claim, to: Claim) -> bool {
        if let Self::Reading { claim, .. } | Self::Synced { claim, .. } = self
            && *claim == from
        {
            *claim = to;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::{Transition, assert_in_book};
    use proptest::prelude::*;

    fn reading() -> Progress {
        let mut progress = Progress::new();
        progress.on_schema(Schema::default());
        progress.on_small_read();
        progress.on_identified();
        progress
    }

    #[test]
    fn schema_and_small_tables_may_come_in_either_order() {
        let mut progress = Progress::new();
        progress.on_small_read();
        assert!(!progress.can_identify() && progress.schema().is_none());
        progress.on_schema(Schema::default());
        assert!(progress.can_identify());
        let mut progress = Progress::new();
        progress.on_schema(Schema::default());
        assert!(!progress.can_identify());
        progress.on_small_read();
        assert!(progress.can_identify() && !progress.is_identified());
    }

    #[test]
    fn names_that_are_none_of_ours_are_new_once() {
        let mut progress = Progress::new();
        progress.on_schema(Schema::default());
        assert!(progress.on_unidentified(&["x".into()]));
        assert!(!progress.on_unidentified(&["x".into()]));
        assert!(progress.on_unidentified(&[]));
    }

    #[test]
    fn the_tables_are_read_when_both_are() {
        let mut progress = reading();
        assert!(!progress.on_unicast_read(Monitor::Local), "never asked for");
        assert!(progress.ask_unicast() && !progress.ask_unicast());
        assert!(!progress.on_unicast_read(Monitor::Remote) && !progress.tables_read());
        assert!(progress.on_unicast_read(Monitor::Local) && progress.tables_read());
        progress.on_compared();
        assert_eq!(progress.phase(), Phase::Synced);
    }

    #[test]
    fn a_takeover_is_over_when_the_claim_is_acknowledged_and_everything_was_compared() {
        let mut progress = reading();
        assert!(progress.begin_claim() && !progress.begin_claim());
        assert!(progress.conclude_claim() && !progress.conclude_claim());
        assert!(!progress.conclude_audit(), "nothing was compared");
        assert!(progress.ask_unicast());
        progress.on_unicast_read(Monitor::Local);
        progress.on_unicast_read(Monitor::Remote);
        progress.on_compared();
        assert!(progress.conclude_audit() && progress.is_audited());
        progress.close();
        assert!(!progress.is_audited() && progress.schema().is_none());
    }

    #[test]
    fn the_book_shows_every_change_of_phase() {
        type Input = (&'static str, fn(&mut Progress));
        const INPUTS: [Input; 8] = [
            ("the schema arrives", |it| it.on_schema(Schema::default())),
            ("the small tables are read", Progress::on_small_read),
            ("the database names a configured switch", |it| {
                if it.can_identify() {
                    it.on_identified();
                }
            }),
            ("the unicast tables are requested", |it| {
                let _ = it.ask_unicast();
            }),
            ("the local MACs are read", |it| {
                let _ = it.on_unicast_read(Monitor::Local);
            }),
            ("the remote MACs are read", |it| {
                let _ = it.on_unicast_read(Monitor::Remote);
            }),
            ("every table is read and compared", Progress::on_compared),
            ("the session ends", Progress::close),
        ];
        let (mut all, mut at) = (vec![Progress::new()], 0);
        let mut transitions: Vec<Transition> = Vec::new();
        while let Some(from) = all.get(at).cloned() {
            at += 1;
            for (on, input) in INPUTS {
                let mut to = from.clone();
                input(&mut to);
                let transition = (from.phase().to_string(), on, to.phase().to_string());
                if transition.0 != transition.2 && !transitions.contains(&transition) {
                    transitions.push(transition);
                }
                if all.iter().all(|progress| format!("{progress:?}") != format!("{to:?}")) {
                    all.push(to);
                }
            }
        }
        assert_in_book(include_str!("../../../docs/src/session.md"), "phase", &transitions);
    }

    proptest! {
        #[test]
        fn a_session_never_goes_back(inputs in proptest::collection::vec(0u8..11, 0..60)) {
            let mut progress = Progress::new();
            let mut before = progress.phase();
            for input in inputs {
                match input {
                    0 => progress.on_schema(Schema::default()),
                    1 => progress.on_small_read(),
                    2 => drop(progress.on_unidentified(&[])),
                    3 if progress.can_identify() => progress.on_identified(),
                    4 => drop(progress.ask_unicast()),
                    5 => drop(progress.on_unicast_read(Monitor::Local)),
                    6 => drop(progress.on_unicast_read(Monitor::Remote)),
                    7 => progress.on_compared(),
                    8 => drop(progress.begin_claim()),
                    9 => drop(progress.conclude_claim()),
                    _ => drop(progress.conclude_audit()),
                }
                prop_assert!(progress.phase() >= before);
                prop_assert!(progress.schema().is_some() || progress.phase() == Phase::Opened);
                prop_assert!(!progress.tables_read() || progress.is_identified());
                before = progress.phase();
            }
        }
    }
}

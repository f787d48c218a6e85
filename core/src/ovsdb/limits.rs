//! Limits of tables into which we insert rows: those of the schema (`maxRows`, RFC 7047 section 3.2), and our own.

use std::fmt;

use crate::bounds::PROGRAMMED_ROWS;

/// A table into which we insert rows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Limited {
    /// `Logical_Switch`.
    LogicalSwitch,
    /// `Mcast_Macs_Remote`.
    Broadcast,
    /// `Physical_Locator`.
    Locator,
    /// `Ucast_Macs_Remote`.
    Unicast,
}

impl Limited {
    pub(crate) const ALL: [Self; 4] = [Self::LogicalSwitch, Self::Broadcast, Self::Locator, Self::Unicast];

    /// The name of the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LogicalSwitch => "Logical_Switch",
            Self::Broadcast => "Mcast_Macs_Remote",
            Self::Locator => "Physical_Locator",
            Self::Unicast => "Ucast_Macs_Remote",
        }
    }
}

/// The most rows that a table may have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Limit {
    pub(crate) rows: usize,
    /// It is ours: with more rows, no agent could read the table at the next takeover.
    ours: bool,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.ours { "Tandem's" } else { "the schema's" };
        write!(f, "{whose} limit of {} rows", self.rows)
    }
}

/// The limits of one switch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    theirs: [Option<usize>; Limited::ALL.len()],
    /// Remote MACs that we write at most.
    programmed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

impl Limits {
    /// Those of a schema that is not known.
    pub(crate) const NONE: Self = Self {
        theirs: [None; Limited::ALL.len()],
        programmed: PROGRAMMED_ROWS,
    };

    /// Those of a schema: `max_rows` answers the limit of a table.
    pub(super) fn new(max_rows: impl Fn(&str) -> Option<usize>) -> Self {
        Self {
            theirs: Limited::ALL.map(|table| max_rows(table.name())),
            ..Self::NONE
        }
    }

    /// The same, with so many remote MACs at most.
    pub(crate) fn programmed(self, programmed: usize) -> Self {
        Self { programmed, ..self }
    }

    /// The limit of a table.
    pub(crate) fn of(&self, table: Limited) -> Option<Limit> {
        let theirs = self.theirs.get(table as usize).copied().flatten();
        let theirs = theirs.map(|rows| Limit { rows, ours: false });
        let (rows, ours) = (self.programmed, true);
        let ours = (table == Limited::Unicast).then_some(Limit { rows, ours });
        theirs.into_iter().chain(ours).min()
    }
}

/// A number of rows for each of these tables.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Rows([usize; Limited::ALL.len()]);

impl Rows {
    /// The number of a table.
    pub(crate) fn of(&self, table: Limited) -> usize {
        self.0.get(table as usize).copied().unwrap_or_default()
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, table: Limited) {
        if let Some(rows) = self.0.get_mut(table as usize) {
            *rows += 1;
        }
    }

    /// Adds those of a transaction.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(rows, more)| *rows += more);
    }

    /// Takes those of a transaction away again.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(rows, less)| *rows -= less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_counts() {
        let limits = Limits::new(|table| (table != "Logical_Switch").then_some(1000));
        let unicast = limits.of(Limited::Unicast).expect("a limit");
        assert_eq!(unicast.to_string(), "the schema's limit of 1000 rows");
        assert_eq!(limits.of(Limited::LogicalSwitch), None);
        let ours = Limits::default().of(Limited::Unicast).expect("a limit");
        assert_eq!(ours.to_string(), format!("Tandem's limit of {PROGRAMMED_ROWS} rows"));
    }
}

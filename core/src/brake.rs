//! The brake: deletions that one change causes are held back if there are too many, until an operator confirms them.

use serde::{Deserialize, Serialize};

/// The bounds above which deletions are withheld: both must be exceeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Brake {
    /// Percent of the rows that there are.
    pub percent: usize,
    /// Rows.
    pub rows: usize,
}

impl Brake {
    /// The default of a configuration file.
    pub const DEFAULT: Self = Self { percent: 30, rows: 20 };

    /// Whether so many deletions among so many rows are withheld.
    pub const fn withholds(self, deletions: usize, rows: usize) -> bool {
        deletions > self.rows && deletions.saturating_mul(100) > rows.saturating_mul(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_withheld_above_both_bounds_only() {
        let brake = Brake::DEFAULT;
        assert!(!brake.withholds(20, 20), "few");
        assert!(!brake.withholds(30, 100), "a small part");
        assert!(brake.withholds(31, 100));
        assert!(brake.withholds(190, 190));
    }
}

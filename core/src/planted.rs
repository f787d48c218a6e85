//! The places of planted bugs, which the simulator must find.
//!
//! `planted!(self, Name)` asks whether the bug `Name` of `mutant::Mutant` was chosen. Without the feature `mutants` it is
//! `false`, and neither the bugs nor the choice exist.

use crate::configuration::SessionOptions;

/// Which bug is planted in a part of a session. In a plain build there is none, and this takes no room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "mutants")]
    mutant: Option<crate::mutant::Mutant>,
}

impl Planted {
    /// The bug that was chosen.
    #[cfg(feature = "mutants")]
    pub(crate) fn of(options: &SessionOptions) -> Self {
        Self { mutant: options.mutant }
    }

    /// No bug.
    #[cfg(not(feature = "mutants"))]
    pub(crate) fn of(_: &SessionOptions) -> Self {
        Self {}
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn mutant(self) -> Option<crate::mutant::Mutant> {
        self.mutant
    }
}

#[cfg(feature = "mutants")]
macro_rules! planted {
    ($machine:expr, $mutant:ident) => {
        $machine.mutant() == Some($crate::mutant::Mutant::$mutant)
    };
}

#[cfg(not(feature = "mutants"))]
macro_rules! planted {
    ($machine:expr, $mutant:ident) => {{
        let _ = &$machine;
        false
    }};
}

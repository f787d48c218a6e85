//! Where a bug is planted, for the simulator to find.
//!
//! `planted!(self, Name)` asks whether the bug `Name` of `mutant::Mutant` was chosen. Without the feature `mutants` it is
//! `false`, and neither the bugs nor the choice exist.

#[cfg(feature = "mutants")]
macro_rules! planted {
    ($machine:expr, $mutant:ident) => {
        $machine.mutant() == Some($crate::mutant::Mutant::$mutant)
    };
}

#[cfg(not(feature = "mutants"))]
macro_rules! planted {
    ($machine:expr, $mutant:ident) => {
        false
    };
}

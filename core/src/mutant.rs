//! Planted bugs, which the checks of the simulator must find. Never in a plain build.
//!
//! `SessionOptions::mutant` chooses one before the agent or the session is made; it applies to every session with that
//! configuration. Without it nothing differs. Each is at the `planted!` of its name. Most of them were bugs of other ToR
//! agents; a number such as 1439519 is that of the report at Launchpad.

use std::fmt;
use std::str::FromStr;

/// A planted bug.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mutant {
    /// Any broadcast row counts as right, wherever it points (1439519): after a takeover it points to a dead node.
    BroadcastNotChecked,
    /// Echoes of the switch stay unanswered once its unicast tables were asked for: it gives up.
    EchoStarvedByDump,
    /// Only a whole message counts as life (1464312): a connection on which a long one arrives slowly is closed.
    PartialNotLife,
    /// Every configuration counts as complete: rows that a later part of it wants are deleted first.
    DeleteBeforeComplete,
    /// Two rows of one MAC count as right if one of them is (1426513).
    DuplicatesNotFolded,
    /// A constraint violation is final (1462056): the loser of a race for a locator never writes its rows.
    LocatorRaceNotRetried,
    /// Transactions do not assert the lock: one that is in flight when the lock goes is applied all the same.
    LockNotAsserted,
    /// A session writes and exports while it still waits for the lock.
    WrittenWithoutLock,
    /// The session ignores that its lock was stolen, also when the switch repeats it: it continues and exports.
    StolenLockIgnored,
    /// A session that waits for the lock reads everything once and ignores later changes.
    WaiterDoesNotReadOn,
    /// No network gives way when networks swap their VNIs (1466731): each waits for the other forever.
    VniSwapDeadlock,
    /// A failed transaction is never tried again, and its rows are never written.
    FailureForgotten,
    /// A desired MAC that another client deletes stays deleted.
    DeletedMacNotPutBack,
    /// A connection that names no configured switch takes the lock and keeps it.
    ProbeClaims,
    /// When a session withdraws a route or ends, the route goes, although another session exports it too.
    LateRetractionWins,
    /// A connection that has been silent for 2T is not closed.
    SilentLineStays,
    /// Bindings to foreign logical switches are removed like our own.
    ForeignBindingDeleted,
    /// The number of transactions in flight has no bound.
    WindowUnbounded,
    /// A withdrawal by one client removes the paths of all clients: an old owner takes the new owner's routes away.
    RetractionTakesAll,
    /// A control node keeps the routes of a client whose stream has ended.
    LostClientKept,
    /// Every path that goes counts as a move: after five takeovers in three minutes, other routers freeze the MAC.
    SequenceRaised,
    /// Copies are held for a hundred times as long as is configured.
    HoldProlonged,
    /// A copy is held although a live owner has withdrawn the route.
    CopyOutlivesWithdrawal,
    /// A known MAC is not compared again when its tunnel end changes.
    TunnelEndNotExported,
    /// Publications into a network that the control node does not know yet are lost.
    DeferredLost,
    /// A subscription counts as complete at once: routes that the control node has not sent again yet are deleted.
    SweptBeforeComplete,
    /// Routes to the switch's own tunnel end are programmed like any other.
    OwnEndProgrammed,
    /// A control node sends to no client while one client does not take its data.
    SlowClientDelaysAll,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 28] = [
        Self::BroadcastNotChecked,
        Self::EchoStarvedByDump,
        Self::PartialNotLife,
        Self::DeleteBeforeComplete,
        Self::DuplicatesNotFolded,
        Self::LocatorRaceNotRetried,
        Self::LockNotAsserted,
        Self::WrittenWithoutLock,
        Self::StolenLockIgnored,
        Self::WaiterDoesNotReadOn,
        Self::VniSwapDeadlock,
        Self::FailureForgotten,
        Self::DeletedMacNotPutBack,
        Self::ProbeClaims,
        Self::LateRetractionWins,
        Self::SilentLineStays,
        Self::ForeignBindingDeleted,
        Self::WindowUnbounded,
        Self::RetractionTakesAll,
        Self::LostClientKept,
        Self::SequenceRaised,
        Self::HoldProlonged,
        Self::CopyOutlivesWithdrawal,
        Self::TunnelEndNotExported,
        Self::DeferredLost,
        Self::SweptBeforeComplete,
        Self::OwnEndProgrammed,
        Self::SlowClientDelaysAll,
    ];

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BroadcastNotChecked => "broadcast-not-checked",
            Self::EchoStarvedByDump => "echo-starved-by-dump",
            Self::PartialNotLife => "partial-not-life",
            Self::DeleteBeforeComplete => "delete-before-complete",
            Self::DuplicatesNotFolded => "duplicates-not-folded",
            Self::LocatorRaceNotRetried => "locator-race-not-retried",
            Self::LockNotAsserted => "lock-not-asserted",
            Self::WrittenWithoutLock => "written-without-lock",
            Self::StolenLockIgnored => "stolen-lock-ignored",
            Self::WaiterDoesNotReadOn => "waiter-does-not-read-on",
            Self::VniSwapDeadlock => "vni-swap-deadlock",
            Self::FailureForgotten => "failure-forgotten",
            Self::DeletedMacNotPutBack => "deleted-mac-not-put-back",
            Self::ProbeClaims => "probe-claims",
            Self::LateRetractionWins => "late-retraction-wins",
            Self::SilentLineStays => "silent-line-stays",
            Self::ForeignBindingDeleted => "foreign-binding-deleted",
            Self::WindowUnbounded => "window-unbounded",
            Self::RetractionTakesAll => "retraction-takes-all",
            Self::LostClientKept => "lost-client-kept",
            Self::SequenceRaised => "sequence-raised",
            Self::HoldProlonged => "hold-prolonged",
            Self::CopyOutlivesWithdrawal => "copy-outlives-withdrawal",
            Self::TunnelEndNotExported => "tunnel-end-not-exported",
            Self::DeferredLost => "deferred-lost",
            Self::SweptBeforeComplete => "swept-before-complete",
            Self::OwnEndProgrammed => "own-end-programmed",
            Self::SlowClientDelaysAll => "slow-client-delays-all",
        }
    }

    /// The check that must find it: "S1" to "S8", "sequence", or "L" for convergence once the faults are over.
    pub const fn caught_by(self) -> &'static str {
        match self {
            Self::LockNotAsserted | Self::WrittenWithoutLock => "S1",
            Self::BroadcastNotChecked | Self::ProbeClaims => "S2",
            Self::DuplicatesNotFolded
            | Self::LocatorRaceNotRetried
            | Self::StolenLockIgnored
            | Self::WaiterDoesNotReadOn
            | Self::FailureForgotten
            | Self::DeletedMacNotPutBack
            | Self::LateRetractionWins
            | Self::RetractionTakesAll
            | Self::CopyOutlivesWithdrawal
            | Self::TunnelEndNotExported
            | Self::OwnEndProgrammed => "S4",
            Self::EchoStarvedByDump | Self::PartialNotLife | Self::SilentLineStays => "S5",
            Self::WindowUnbounded => "S7",
            Self::LostClientKept | Self::HoldProlonged | Self::SlowClientDelaysAll | Self::DeferredLost => "S3",
            Self::SequenceRaised => "sequence",
            Self::DeleteBeforeComplete | Self::ForeignBindingDeleted | Self::SweptBeforeComplete => "S8",
            Self::VniSwapDeadlock => "L",
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No planted bug has this name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no planted bug is called {0:?}; there are {names}", names = Mutant::ALL.map(Mutant::name).join(", "))]
pub struct UnknownMutant(pub String);

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, UnknownMutant> {
        let known = Self::ALL.into_iter().find(|mutant| mutant.name() == name);
        known.ok_or_else(|| UnknownMutant(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_another_is_answered_with_the_names_there_are() {
        for mutant in Mutant::ALL {
            assert_eq!(mutant.to_string().parse(), Ok(mutant));
        }
        let error = "lock".parse::<Mutant>().expect_err("none of them").to_string();
        assert!(
            error.contains("\"lock\"") && error.contains("lock-not-asserted"),
            "{error}"
        );
    }
}

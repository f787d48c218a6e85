//! Planted bugs, which the checks of the simulator must find. Never in a plain build.
//!
//! `SessionOptions::mutant` chooses one before the agent or the session is made; it applies to every session with that
//! configuration. Without it nothing differs. Each is at the `planted!` of its name. Most of them were bugs of other ToR
//! agents; a number such as 1439519 is that of the report at Launchpad.

use std::fmt;
use std::str::FromStr;

macro_rules! mutants {
    ($($mutant:ident = $name:literal, $check:literal, $meaning:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Mutant {
            $(#[doc = $meaning] $mutant,)*
        }

        impl Mutant {
            /// Every planted bug.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$mutant,)*];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$mutant => $name,)* }
            }

            /// The check that must find it: "S1" to "S10", "sequence", "moves", "rest", "cause", or "L" for convergence once the faults are over.
            pub const fn caught_by(self) -> &'static str {
                match self { $(Self::$mutant => $check,)* }
            }

            /// The fault in one sentence, as the book prints it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$mutant => $meaning,)* }
            }
        }
    };
}

mutants! {
    BroadcastNotChecked = "broadcast-not-checked", "S2",
        "Any broadcast row counts as right, wherever it points (1439519): after a takeover it points to a dead node.";
    EchoStarvedByDump = "echo-starved-by-dump", "S5",
        "Echoes of the switch stay unanswered once its unicast tables were asked for: it gives up.";
    PartialNotLife = "partial-not-life", "S5",
        "Only a whole message counts as life (1464312): a connection on which a long one arrives slowly is closed.";
    DeleteBeforeComplete = "delete-before-complete", "S8",
        "Every configuration counts as complete: rows that a later part of it wants are deleted first.";
    DuplicatesNotFolded = "duplicates-not-folded", "S4",
        "Two rows of one MAC count as right if one of them is (1426513).";
    LocatorRaceNotRetried = "locator-race-not-retried", "S4",
        "A constraint violation is final (1462056): the loser of a race for a locator never writes its rows.";
    LockNotAsserted = "lock-not-asserted", "S1",
        "Transactions do not assert the lock: one that is in flight when the lock goes is applied all the same.";
    WrittenWithoutLock = "written-without-lock", "S1",
        "A session writes and exports while it still waits for the lock.";
    StolenLockIgnored = "stolen-lock-ignored", "S4",
        "The session ignores that its lock was stolen, also when the switch repeats it: it continues and exports.";
    WaiterDoesNotReadOn = "waiter-does-not-read-on", "S4",
        "A session that waits for the lock reads everything once and ignores later changes.";
    VniSwapDeadlock = "vni-swap-deadlock", "L",
        "No network gives way when networks swap their VNIs (1466731): each waits for the other forever.";
    FailureForgotten = "failure-forgotten", "S4",
        "A failed transaction is never tried again, and its rows are never written.";
    DeletedMacNotPutBack = "deleted-mac-not-put-back", "S4",
        "A desired MAC that another client deletes stays deleted.";
    ProbeClaims = "probe-claims", "S2",
        "A connection that names no configured switch takes the lock and keeps it.";
    LateRetractionWins = "late-retraction-wins", "S4",
        "When a session withdraws a route or ends, the route goes, although another session exports it too.";
    SilentLineStays = "silent-line-stays", "S5",
        "A connection that has been silent for 2T is not closed.";
    ForeignBindingDeleted = "foreign-binding-deleted", "S8",
        "Bindings to foreign logical switches are removed like our own.";
    WindowUnbounded = "window-unbounded", "S7",
        "The number of transactions in flight has no bound.";
    RetractionTakesAll = "retraction-takes-all", "S4",
        "A withdrawal by one client removes the paths of all clients: an old owner takes the new owner's routes away.";
    LostClientKept = "lost-client-kept", "S3",
        "A control node keeps the routes of a client whose stream has ended.";
    SequenceRaised = "sequence-raised", "sequence",
        "Every path that goes counts as a move: after five takeovers in three minutes, other routers freeze the MAC.";
    HoldProlonged = "hold-prolonged", "S3",
        "Copies are held for a hundred times as long as is configured.";
    CopyOutlivesWithdrawal = "copy-outlives-withdrawal", "S4",
        "A copy is held although a live owner has withdrawn the route.";
    TunnelEndNotExported = "tunnel-end-not-exported", "S4",
        "A known MAC is not compared again when its tunnel end changes.";
    DeferredLost = "deferred-lost", "S3",
        "Publications into a network that the control node does not know yet are lost.";
    SweptBeforeComplete = "swept-before-complete", "S8",
        "A subscription counts as complete at once: routes that the control node has not sent again yet are deleted.";
    OwnEndProgrammed = "own-end-programmed", "S4",
        "Routes to the switch's own tunnel end are programmed like any other.";
    SlowClientDelaysAll = "slow-client-delays-all", "moves",
        "A control node sends to no client while one client does not take its data.";
    NameNotChecked = "name-not-checked", "S9",
        "A control node admits any valid certificate under any name: another node takes the place of an agent.";
    TunnelEndNotChecked = "tunnel-end-not-checked", "S9",
        "A client may publish any tunnel end: it draws the frames of others to itself.";
    SwitchNotIdentified = "switch-not-identified", "S9",
        "A switch may show any valid certificate: a second box that has its name is programmed.";
    RepairsNotSlowed = "repairs-not-slowed", "S7",
        "What another program undoes is written again at once, as often as it happens.";
    KeepaliveForgotten = "keepalive-forgotten", "cause",
        "An end of an XMPP stream sends no keepalive: where no route changes, sessions end every 90 s.";
    MovesNotRaised = "moves-not-raised", "sequence",
        "A MAC that moves keeps the sequence that it has in its new place: the old place may win everywhere.";
    LowerSequenceWins = "lower-sequence-wins", "moves",
        "A control node prefers the path with the lower sequence: a MAC stays where it was.";
    CopyOutlivesMove = "copy-outlives-move", "moves",
        "A copy is held although a path to another tunnel end has arrived.";
    SequencesNeverForgotten = "sequences-never-forgotten", "rest",
        "The sequence of a route that went is remembered for ever: memory grows with each MAC that there ever was.";
    LockAskedLate = "lock-asked-late", "S2",
        "The lock is asked for 20 s after the session began.";
    ClaimAfterDump = "claim-after-dump", "S2",
        "The claim waits until the unicast tables were read.";
    WaiterClaimsLate = "waiter-claims-late", "S2",
        "A session that has waited for the lock claims only in the first half of every 20 s.";
    FirstLocatorCounts = "first-locator-counts", "S2",
        "A broadcast row counts as right if the first of its locators is: frames go to a second tunnel end as well.";
    WritingCountsAsLife = "writing-counts-as-life", "S5",
        "Each transaction that is sent starts the keepalive anew: a silent line stays while there is something to write.";
    BrakeWithholdsNothing = "brake-withholds-nothing", "S10",
        "Deletions are carried out although they are reported as withheld: one that loses its routes empties the others.";
    BrakeNeverReleases = "brake-never-releases", "S4",
        "What an operator has confirmed stays withheld: rows that are not desired stay in the switch for ever.";
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

//! The notices of a session to its agent: facts that the agent acts on, and nothing else.
//!
//! Events of the same moment go to logs, checks and metrics. A notice is made for the agent, so that a log word can
//! change without changing what an agent does.

use std::collections::{BTreeMap, BTreeSet};

use crate::close::CloseReason;
use crate::event::Route;
use crate::ids::{SwitchName, Uuid};
use crate::switch_identity::SwitchRow;

/// Something in a session that its agent acts on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The database named these switches, all of them configured; or what it has of them changed. The session writes
    /// nothing before the agent has cleared it.
    Identified {
        /// The switches.
        switches: BTreeMap<SwitchName, SwitchRow>,
    },
    /// The database names no configured switch.
    Unidentified {
        /// The names that it has, a bounded number of them.
        named: Vec<SwitchName>,
    },
    /// The session has no switch yet, and has received so many bytes.
    Received {
        /// All of them.
        bytes: usize,
    },
    /// The session holds the lock of its server, and is not cleared yet.
    Granted,
    /// The session may write from now on.
    MayWrite {
        /// It holds the lock; the switch may know none.
        locked: bool,
    },
    /// The switch has answered a probe of the agent.
    Alive {
        /// The number of the probe.
        probe: u64,
    },
    /// Every table was read.
    Read,
    /// After a takeover, what can be written has been written.
    Audited,
    /// An operator confirmed the deletions that the session withheld.
    Confirmed {
        /// How many; 0 if it withheld none, or may not write.
        deletions: usize,
        /// The networks of these rows.
        networks: BTreeSet<Uuid>,
    },
    /// The switch learned this route.
    Exported {
        /// The route.
        route: Route,
        /// The switch inserted the row while this session watched, and it was no route since: the host came just now. Any
        /// other row may be older than the rows of other switches: the network is configured again, or the locator was of
        /// another kind.
        just_learned: bool,
    },
    /// The switch removed this route.
    Withdrawn(Route),
    /// The session is over for this reason, and with it every route that it exported. Nothing follows.
    Closed(CloseReason),
}

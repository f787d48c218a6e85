//! The consequences of a recorded row.

use crate::ids::{Mac, Uuid};

/// The consequences of a change of a row. Logical switches are named by their row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::session) enum Touched {
    /// A logical switch came, went or changed.
    LogicalSwitch { row: Uuid, network: Option<Uuid> },
    /// A logical switch's broadcast row, or another of its remote multicast rows.
    Broadcast(Uuid),
    /// A locator or a set came or went.
    Locators,
    /// A locator got or lost a tunnel key of its own: rows that refer to it may have to refer to another.
    LocatorKeys,
    /// A remote unicast row; `None` for one whose MAC is none.
    Remote(Uuid, Option<Mac>),
    /// A row that the switch learned.
    Local(Uuid, Mac),
    /// The switch's own tunnel ends in a logical switch.
    LocalBroadcast(Uuid),
    /// The bindings of a port.
    Port(Uuid),
    /// Switches or ports came, went or were renamed.
    Ports,
    /// A switch or a port reports other faults.
    Faults,
    /// A `Manager` row.
    Manager,
}

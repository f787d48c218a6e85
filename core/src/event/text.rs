//! The text of an event of a session, after its word in the log.

use std::fmt;

use super::{Loss, What};
use crate::ids::{SwitchName, Uuid};
use crate::text::{self, count, short};

impl fmt::Display for What {
    /// The text after the word in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { from } => write!(f, "from {from}"),
            Self::Identified { switches, schema } => write!(f, "{} (schema {schema})", names(switches)),
            Self::Unidentified { named } if named.is_empty() => f.write_str("the database names no switch"),
            Self::Unidentified { named } => write!(f, "no switch of this name is configured: {}", names(named)),
            Self::Waiting => f.write_str("another client holds the lock; reading on"),
            Self::Locked => f.write_str("the lock is ours"),
            Self::Lockless { may_write: true, .. } => f.write_str("the switch knows no locks; writing without one"),
            Self::Lockless { managers, .. } => f.write_str(&lockless(*managers)),
            Self::Unfenced { model } => write!(f, "{model}; not writing"),
            Self::TunnelEndWrong {
                switch,
                vtep,
                tunnel_ips,
            } => {
                let ends = text::tunnel_ips(tunnel_ips);
                write!(
                    f,
                    "{switch} has {ends}, and vtep {vtep} is configured: no other switch reaches it"
                )
            }
            Self::TunnelEndRight { switch } => write!(f, "{switch} has the configured tunnel end"),
            Self::SwitchFaults { switch, port, faults } => {
                if let Some(port) = port {
                    write!(f, "port {port} of ")?;
                }
                match faults.as_slice() {
                    [] => write!(f, "{switch}: no fault any more"),
                    faults => write!(f, "{switch}: {}", faults.join(", ")),
                }
            }
            Self::Stolen => f.write_str("another client stole the lock; writes stopped"),
            Self::Claimed { rows } => write!(f, "{} repointed", count(*rows, "broadcast row", "broadcast rows")),
            Self::Read { local, remote } => {
                write!(f, "{local} local and {}", count(*remote, "remote row", "remote rows"))
            }
            Self::Audited { rows_written, left } => {
                let (rows, left) = (count(*rows_written, "row", "rows"), count(*left, "object", "objects"));
                write!(f, "{rows} written, {left} left")
            }
            Self::Exported(route) | Self::Withdrawn(route) => write!(f, "{route}"),
            Self::Retracted { routes } => f.write_str(&count(*routes, "route", "routes")),
            Self::Programmed { .. }
            | Self::TransactionRejected { .. }
            | Self::WritesStopped { .. }
            | Self::TableFull { .. }
            | Self::TableHasRoom { .. }
            | Self::WritesResumed { .. }
            | Self::Quarantined { .. }
            | Self::Repaired { .. }
            | Self::Reconfigured { .. }
            | Self::DeletionsWithheld { .. }
            | Self::DeletionsReleased { .. }
            | Self::DeletionsConfirmed { .. }
            | Self::Contested { .. }
            | Self::BindingReplaced { .. }
            | Self::VniTaken { .. } => self.text_of_rows(f),
            Self::TimersUnset { rows, target } => f.write_str(&timers_unset(*rows, target.as_deref())),
            Self::LockRefused { text } => write!(f, "{text}; reading on, and asking again each second"),
            Self::Echoed => f.write_str("nothing received for an interval; echo sent"),
            Self::Ignored { what } => write!(f, "{what} (the peer misbehaved)"),
            Self::Draining => f.write_str("waiting for the answers to its writes, then releasing the lock"),
            Self::HandingOver => f.write_str("releasing the lock for the other agent, once writes are answered"),
            Self::Closed { why } => write!(f, "{why}"),
        }
    }
}

impl What {
    /// The text of the events about rows and what the session writes.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other events have their text in `fmt`"
    )]
    fn text_of_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Programmed { lane, objects, rows } => {
                let (objects, rows) = (count(*objects, "object", "objects"), count(*rows, "row", "rows"));
                write!(f, "{lane}: {objects} in {rows}")
            }
            Self::TransactionRejected { lane, objects, text } => {
                write!(f, "{lane}: {}: {text}", count(*objects, "object", "objects"))
            }
            Self::WritesStopped { lane, reason } => write!(f, "{lane}: {NO_ROOM}: {reason}"),
            Self::TableFull { table, limit } => write!(f, "{table} is at {limit}; what does not fit waits"),
            Self::TableHasRoom { table } => write!(f, "nothing waits for room in {table} any more"),
            Self::WritesResumed { lane } => write!(f, "{lane}: the switch has room again"),
            Self::Quarantined { object, reason } => write!(f, "{object}: {reason}"),
            Self::Repaired { object } => write!(f, "{object} was changed by another client, and is as desired again"),
            Self::Reconfigured {
                change,
                bindings,
                logical_switches,
                macs,
            } => {
                let bindings = count(*bindings, "binding", "bindings");
                let logical_switches = count(*logical_switches, "logical switch", "logical switches");
                let macs = count(*macs, "MAC", "MACs");
                write!(f, "{bindings}, {logical_switches} and {macs} are no longer configured")?;
                change.iter().try_for_each(|change| write!(f, " ({change})"))
            }
            Self::DeletionsWithheld {
                loss,
                network,
                deletions,
                of,
            } => withheld(f, *loss, *network, *deletions, *of),
            Self::DeletionsReleased { loss } => {
                write!(f, "{loss} came back, or lacks little: nothing is withheld any more")
            }
            Self::DeletionsConfirmed { deletions } => {
                write!(
                    f,
                    "{} confirmed by the operator",
                    count(*deletions, "deletion", "deletions")
                )
            }
            Self::Contested {
                objects,
                repairs,
                object,
                found,
            } => {
                let counts = contested(*objects, *repairs);
                write!(
                    f,
                    "another program writes to the switch: {counts}; found last: {object} {found}"
                )
            }
            Self::BindingReplaced {
                switch,
                port,
                vlan,
                foreign,
            } => write!(
                f,
                "VLAN {vlan} of port {port} of {switch} was bound to {foreign}, which is not ours; replaced as configured",
                foreign = short(foreign.as_str())
            ),
            Self::VniTaken { network, vni, foreign } => write!(
                f,
                "VNI {vni} of {network} is in use by logical switch {}, which is not ours; remove it, or change one VNI",
                short(foreign.as_str())
            ),
            _ => Ok(()),
        }
    }
}

fn timers_unset(rows: usize, target: Option<&str>) -> String {
    let unset = "so max_backoff and inactivity_probe are not set";
    match target {
        None => format!("the switch dials {rows} Manager rows, {unset}; name the row in [manager] target"),
        Some(target) => format!("no Manager row has the [manager] target {}, {unset}", short(target)),
    }
}

fn withheld(f: &mut fmt::Formatter<'_>, loss: Loss, network: Option<Uuid>, deletions: usize, of: usize) -> fmt::Result {
    match loss {
        Loss::Configuration => write!(f, "the configuration lost {deletions} of {of} rows")?,
        Loss::Routes => write!(f, "routes of {deletions} of {of} MACs were withdrawn within a minute")?,
    }
    if let Some(network) = network {
        write!(f, " of network {network}")?;
    }
    f.write_str(match loss {
        Loss::Configuration => ": they stay until `tandem confirm`; all else goes on",
        Loss::Routes => ": their rows stay until the routes are back, or `tandem confirm`; all else goes on",
    })
}

/// The state of a lane of writes without room.
const NO_ROOM: &str = "the switch has no room, and is probed with single transactions";

fn lockless(managers: usize) -> String {
    format!("the switch knows no locks and has {managers} managers; not writing unless `sole_manager = true`")
}

fn contested(objects: usize, repairs: usize) -> String {
    let repairs = count(repairs, "repair", "repairs");
    format!(
        "{} changed again and again, {repairs}",
        count(objects, "object", "objects")
    )
}

fn names(switches: &[SwitchName]) -> String {
    let names: Vec<&str> = switches.iter().map(SwitchName::as_str).collect();
    names.join(", ")
}

//! The kinds of faults, without their particulars: to count by, to choose from.

use std::fmt;

use super::{Configure, DiskFault, Edit, Fault, Intrusion, TlsFault};

/// A kind of [`Fault`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    Crash,
    PowerLoss,
    Pause,
    Drain,
    Cut,
    Isolate,
    Slow,
    Jam,
    Reset,
    Reload,
    MoveVip,
    SplitVip,
    Reboot,
    Edit,
    Steal,
    Tls,
    Drift,
    TsnDeath,
    Configure,
    Intrude,
    Twin,
    Expire,
    Disk,
    Undo,
    Full,
    Maint,
}

impl Kind {
    /// Each of them, once.
    pub const ALL: [Self; 26] = [
        Self::Crash,
        Self::PowerLoss,
        Self::Pause,
        Self::Drain,
        Self::Cut,
        Self::Isolate,
        Self::Slow,
        Self::Jam,
        Self::Reset,
        Self::Reload,
        Self::MoveVip,
        Self::SplitVip,
        Self::Reboot,
        Self::Edit,
        Self::Steal,
        Self::Tls,
        Self::Drift,
        Self::TsnDeath,
        Self::Configure,
        Self::Intrude,
        Self::Twin,
        Self::Expire,
        Self::Disk,
        Self::Undo,
        Self::Full,
        Self::Maint,
    ];

    /// As a plan writes it, such as `power_loss`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power_loss",
            Self::Pause => "pause",
            Self::Drain => "drain",
            Self::Cut => "cut",
            Self::Isolate => "isolate",
            Self::Slow => "slow",
            Self::Jam => "jam",
            Self::Reset => "reset",
            Self::Reload => "reload",
            Self::MoveVip => "move_vip",
            Self::SplitVip => "split_vip",
            Self::Reboot => "reboot",
            Self::Edit => "edit",
            Self::Steal => "steal",
            Self::Tls => "tls",
            Self::Drift => "drift",
            Self::TsnDeath => "tsn_death",
            Self::Configure => "configure",
            Self::Intrude => "intrude",
            Self::Twin => "twin",
            Self::Expire => "expire",
            Self::Disk => "disk",
            Self::Undo => "undo",
            Self::Full => "full",
            Self::Maint => "maint",
        }
    }

    /// Whether it happens and is over, so that `for` means nothing.
    pub const fn is_momentary(self) -> bool {
        match self {
            Self::Reset | Self::Reload | Self::Edit | Self::Configure | Self::Disk => true,
            Self::Crash
            | Self::PowerLoss
            | Self::Pause
            | Self::Drain
            | Self::Cut
            | Self::Isolate
            | Self::Slow
            | Self::Jam
            | Self::MoveVip
            | Self::SplitVip
            | Self::Reboot
            | Self::Steal
            | Self::Tls
            | Self::Drift
            | Self::TsnDeath
            | Self::Intrude
            | Self::Twin
            | Self::Expire
            | Self::Undo
            | Self::Full
            | Self::Maint => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Fault {
    /// The kind of the fault.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Crash { .. } => Kind::Crash,
            Self::PowerLoss { .. } => Kind::PowerLoss,
            Self::Pause { .. } => Kind::Pause,
            Self::Drain { .. } => Kind::Drain,
            Self::Cut { .. } => Kind::Cut,
            Self::Isolate { .. } => Kind::Isolate,
            Self::Slow { .. } => Kind::Slow,
            Self::Jam { .. } => Kind::Jam,
            Self::Reset { .. } => Kind::Reset,
            Self::Reload { .. } => Kind::Reload,
            Self::MoveVip => Kind::MoveVip,
            Self::SplitVip => Kind::SplitVip,
            Self::Reboot { .. } => Kind::Reboot,
            Self::Edit { .. } => Kind::Edit,
            Self::Steal { .. } => Kind::Steal,
            Self::Tls { .. } => Kind::Tls,
            Self::Drift { .. } => Kind::Drift,
            Self::TsnDeath { .. } => Kind::TsnDeath,
            Self::Configure { .. } => Kind::Configure,
            Self::Intrude { .. } => Kind::Intrude,
            Self::Twin { .. } => Kind::Twin,
            Self::Expire { .. } => Kind::Expire,
            Self::Disk { .. } => Kind::Disk,
            Self::Undo { .. } => Kind::Undo,
            Self::Full { .. } => Kind::Full,
            Self::Maint { .. } => Kind::Maint,
        }
    }
}

impl TlsFault {
    /// Each of them, once.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Stalled, Self::Slow];
}

impl DiskFault {
    /// Each of them, once.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Torn, Self::Damaged, Self::Old];
}

impl Intrusion {
    /// Each of them, once.
    pub const ALL: [Self; 3] = [Self::TakenName, Self::UnknownName, Self::ForeignTunnelEnd];
}

impl Edit {
    /// Each of them, once.
    pub const ALL: [Self; 14] = [
        Self::DeleteBroadcast,
        Self::MisdirectBroadcast,
        Self::DuplicateBroadcast,
        Self::WidenBroadcast,
        Self::DeleteRemote,
        Self::DuplicateRemote,
        Self::MisdirectRemote,
        Self::StrayRemote,
        Self::ClearBindings,
        Self::MisbindPort,
        Self::WrongVni,
        Self::DeleteLogicalSwitch,
        Self::AddForeign,
        Self::MoveTunnelEnd,
    ];
}

impl Configure {
    /// Each of them, once.
    pub const ALL: [Self; 5] = [
        Self::AddNetwork,
        Self::RemoveNetwork,
        Self::SwapVnis,
        Self::Rebind,
        Self::LoseNetworks,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_once_and_in_order() {
        let mut sorted = Kind::ALL;
        sorted.sort();
        assert_eq!(sorted, Kind::ALL);
        assert!(Kind::ALL.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_kind_is_written_as_plans_write_it() {
        for fault in [
            Fault::MoveVip,
            Fault::TsnDeath {
                agent: "agent-a".into(),
            },
        ] {
            let table = toml::Table::try_from(&fault).expect("a table");
            assert_eq!(table["kind"].as_str(), Some(fault.kind().name()));
        }
    }
}

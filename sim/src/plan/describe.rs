//! Prints a plan for readers: every option, and every fault with its time, in about thirty lines.

use std::collections::BTreeMap;
use std::fmt;

use super::{
    Agent, Configure, DiskFault, Edit, Fault, Intrusion, Judgement, Kind, Network, Plan, Proxy, Role, Scheduled, Span,
    Switch, TlsFault, Topology, Workload,
};
use crate::socket::CheckKind;
use tandem_core::status::ServerModel;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            seed,
            duration,
            topology,
            network,
            agent,
            proxy,
            switch,
            workload,
            judgement,
            #[cfg(feature = "mutants")]
                mutant: _,
            faults,
        } = self;
        writeln!(f, "plan       {}, seed {seed}, {duration}", shown(name))?;
        describe_topology(f, topology)?;
        describe_network(f, network)?;
        describe_agent(f, agent)?;
        describe_proxy(f, proxy)?;
        describe_switch(f, switch, topology.targets)?;
        describe_workload(f, workload)?;
        describe_judgement(f, judgement)?;
        writeln!(f, "faults     {}{}", faults.len(), counts(faults))?;
        for (fault, number) in faults.iter().zip(1..) {
            writeln!(f, "{:>4} {fault}", format!("#{number}"))?;
        }
        Ok(())
    }
}

fn describe_topology(f: &mut fmt::Formatter<'_>, topology: &Topology) -> fmt::Result {
    writeln!(f, "nodes      {}", nodes(topology))?;
    writeln!(
        f,
        "networks   {} with {} remote MACs each, and {} local MACs of each switch",
        topology.networks, topology.remote_macs, topology.local_macs
    )
}

fn describe_network(f: &mut fmt::Formatter<'_>, network: &Network) -> fmt::Result {
    let [least, most] = network.latency;
    writeln!(
        f,
        "links      {least} to {most} one way, {} of 1000 pieces split",
        network.split_permille
    )
}

fn describe_agent(f: &mut fmt::Formatter<'_>, agent: &Agent) -> fmt::Result {
    writeln!(
        f,
        "agents     keepalive {}, configured after {}, TLS {}, Manager row {}, {} know no switch{}{}{}{}{}",
        unless_zero(agent.keepalive, "off"),
        agent.configured_after,
        agent.tls,
        if agent.manager { "tuned" } else { "left alone" },
        agent.strangers,
        if agent.pair { ", a pair" } else { "" },
        if agent.tsn_probe { ", services nodes probed" } else { "" },
        if agent.remember { ", remember" } else { "" },
        match agent.stale_hold {
            Span::ZERO => String::new(),
            hold => format!(", copies held for {hold}"),
        },
        match agent.brake_rows {
            0 => String::new(),
            rows => format!(", the brake at {rows} rows"),
        }
    )
}

fn describe_proxy(f: &mut fmt::Formatter<'_>, proxy: &Proxy) -> fmt::Result {
    writeln!(
        f,
        "checks     {} every {} (going {}, down {}), {} in time, fall {}, rise {}{}",
        check(proxy.check),
        proxy.inter,
        proxy.fastinter,
        proxy.downinter,
        proxy.timeout_check,
        proxy.fall,
        proxy.rise,
        if proxy.agent_check { ", and agent-check" } else { "" }
    )?;
    writeln!(
        f,
        "proxies    connect {}, client {}, server {}, {} retries{}, {}",
        proxy.timeout_connect,
        unless_zero(proxy.timeout_client, "no end"),
        unless_zero(proxy.timeout_server, "no end"),
        proxy.retries,
        if proxy.redispatch { " and redispatch" } else { "" },
        if proxy.shutdown_sessions {
            "sessions of a dead server end"
        } else {
            "sessions of a dead server stay"
        }
    )?;
    writeln!(
        f,
        "virtual IP adverts every {}, proxy tracked every {}",
        proxy.advert,
        unless_zero(proxy.track, "never")
    )
}

fn describe_switch(f: &mut fmt::Formatter<'_>, switch: &Switch, targets: usize) -> fmt::Result {
    writeln!(
        f,
        "switches   schema {}, {}, {targets} targets, back-off {}, probe {}{}",
        switch.schema,
        if switch.monitor_cond {
            "monitor_cond"
        } else {
            "plain monitor"
        },
        switch
            .max_backoff
            .map_or_else(|| "default".into(), |span| format!("up to {span}")),
        switch
            .inactivity_probe
            .map_or_else(|| "default".into(), |span| unless_zero(span, "off")),
        if switch.certificates {
            ", certificates with their names"
        } else {
            ""
        }
    )?;
    writeln!(
        f,
        "databases  {}{}{} foreign logical switches, a dump takes {} us a row{}{}{}{}",
        match switch.model {
            ServerModel::Standalone => String::new(),
            model @ (ServerModel::Clustered | ServerModel::Relay) => format!("{model}, "),
        },
        if switch.lockless { "without locks, " } else { "" },
        switch.foreign,
        switch.dump_us_per_row,
        switch
            .rows_per_transaction_max
            .map_or_else(String::new, |rows| format!(", transactions of {rows} rows")),
        match switch.other_managers {
            0 => String::new(),
            count => format!(", {count} other managers"),
        },
        if switch.sole_manager {
            ", written by the agents alone"
        } else {
            ""
        },
        if switch.drops_moved {
            ", moved MACs are dropped"
        } else {
            ""
        }
    )
}

fn describe_workload(f: &mut fmt::Formatter<'_>, workload: &Workload) -> fmt::Result {
    writeln!(
        f,
        "workload   {} local, {} remote, {} configuration changes an hour",
        workload.local_changes_per_h, workload.remote_changes_per_h, workload.configuration_changes_per_h
    )
}

fn describe_judgement(f: &mut fmt::Formatter<'_>, judgement: &Judgement) -> fmt::Result {
    let converge = judgement
        .converge
        .map_or_else(|| "what the timers allow".into(), |span| span.to_string());
    write!(f, "judgement  converges within {converge}")?;
    if !judgement.excuse.is_empty() {
        write!(f, ", excused {}", judgement.excuse.join(" "))?;
    }
    if let Some(check) = &judgement.must_fail {
        write!(f, ", must fail {check}")?;
    }
    writeln!(f)
}

/// `at 10s for 5s  crash agent-a`
impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasts = self.lasts.map_or(String::new(), |span| format!("for {span}"));
        write!(f, "at {:12} {lasts:16} {}", self.at.to_string(), self.fault)
    }
}

/// `crash agent-a`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Crash { node } | Self::PowerLoss { node } | Self::Pause { node } | Self::Isolate { node } => {
                write!(f, "{kind} {node}")
            }
            Self::Drain { agent } | Self::TsnDeath { agent } | Self::Maint { agent } => write!(f, "{kind} {agent}"),
            Self::Cut { from, to } => write!(f, "{kind} {from} -> {to}"),
            Self::Jam { from, to } => write!(f, "{kind} {from} - {to}"),
            Self::Slow { from, to, times } => write!(f, "{kind} {from} - {to}, {times} times"),
            Self::Reset { between, and } => write!(f, "{kind} {between} - {and}"),
            Self::Reload { proxy } => write!(f, "{kind} {proxy}"),
            Self::MoveVip | Self::SplitVip => write!(f, "{kind}"),
            Self::Reboot { switch, keeps_database } => {
                let database = if *keeps_database { "with" } else { "without" };
                write!(f, "{kind} {switch} {database} its database")
            }
            Self::Edit { switch, what } => write!(f, "{kind} {switch}: {what}"),
            Self::Steal { switch } => write!(f, "{kind} the lock of {switch}"),
            Self::Tls { agent, how } => write!(f, "{kind} of {agent} {how}"),
            Self::Drift { node, ppm } => write!(f, "{kind} {node} by {ppm} ppm"),
            Self::Configure { what } => write!(f, "{kind}: {what}"),
            Self::Disk { agent, how } => write!(f, "{kind} of {agent}: {how}"),
            Self::Undo { switch } => write!(f, "{kind} what is written to {switch}"),
            Self::Full { switch } => write!(f, "{kind} database of {switch}"),
            Self::Twin { switch } => write!(f, "{kind} of {switch}"),
            Self::Expire { switch } => write!(f, "{kind} the certificate of {switch}"),
            Self::Intrude { control, how } => write!(f, "{kind} at {control}: {how}"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
        })
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Old => "old",
        })
    }
}

impl fmt::Display for Intrusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TakenName => "taken name",
            Self::UnknownName => "unknown name",
            Self::ForeignTunnelEnd => "foreign tunnel end",
        })
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeleteBroadcast => "delete broadcast",
            Self::MisdirectBroadcast => "misdirect broadcast",
            Self::DuplicateBroadcast => "duplicate broadcast",
            Self::WidenBroadcast => "widen broadcast",
            Self::DeleteRemote => "delete remote",
            Self::DuplicateRemote => "duplicate remote",
            Self::MisdirectRemote => "misdirect remote",
            Self::StrayRemote => "stray remote",
            Self::ClearBindings => "clear bindings",
            Self::MisbindPort => "misbind port",
            Self::WrongVni => "wrong vni",
            Self::DeleteLogicalSwitch => "delete logical switch",
            Self::AddForeign => "add foreign",
            Self::MoveTunnelEnd => "move tunnel end",
        })
    }
}

impl fmt::Display for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddNetwork => "add network",
            Self::RemoveNetwork => "remove network",
            Self::SwapVnis => "swap vnis",
            Self::Rebind => "rebind",
            Self::LoseNetworks => "lose networks",
        })
    }
}

/// A name on one line: control characters in it must not reach the terminal.
pub fn shown(name: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_debug().to_string()
        } else {
            c.into()
        }
    };
    name.chars().map(shown).collect()
}

/// `tor1 tor2, agent-a agent-b, proxy-1`
fn nodes(topology: &Topology) -> String {
    let present = Role::ALL.into_iter().filter(|role| topology.count(*role) > 0);
    let names: Vec<_> = present.map(|role| topology.names(role).join(" ")).collect();
    names.join(", ")
}

/// `: crash 3, cut 2`
fn counts(faults: &[Scheduled]) -> String {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for fault in faults {
        *counts.entry(fault.fault.kind()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(kind, number)| format!("{kind} {number}")).collect();
    if counts.is_empty() {
        String::new()
    } else {
        format!(": {}", counts.join(", "))
    }
}

fn check(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::Connect => "connect",
        CheckKind::Echo => "echo",
        CheckKind::Tls => "TLS",
        CheckKind::Agent => "agent",
    }
}

fn unless_zero(span: Span, zero: &str) -> String {
    if span == Span::ZERO {
        zero.to_owned()
    } else {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_prints_on_one_page() {
        let plan = Plan::of_seed(1);
        insta::assert_snapshot!(plan.to_string());
    }

    #[test]
    fn a_name_prints_on_one_line() {
        let plan = Plan {
            name: "x\nok\u{1b}[2J ü".into(),
            ..Plan::of_seed(1)
        };
        assert!(
            plan.to_string().starts_with("plan       x\\nok\\u{1b}[2J ü, seed 1"),
            "{plan}"
        );
    }

    #[test]
    fn every_fault_prints_on_a_line_of_its_own() {
        for seed in 0..200 {
            let plan = Plan::of_seed(seed);
            assert_eq!(plan.to_string().lines().count(), 13 + plan.faults.len(), "seed {seed}");
        }
    }
}

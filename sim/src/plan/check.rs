//! Validates a plan: one sentence for each mistake.

use super::{Configure, Fault, Kind, Plan, Role, Scheduled, Span, Switch};
use crate::socket::CheckKind;
use crate::switch::SchemaVersion;

/// The names that [`super::Judgement`] may use: the checks of a run, and `error` for an event of that level.
pub const JUDGED: [&str; 15] = [
    "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "L", "sequence", "moves", "rest", "error",
];

/// The oldest and the newest first, as [`SchemaVersion::ALL`].
const SCHEMAS: [&str; 10] = [
    "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.4.1", "1.5.0", "1.5.1", "1.6.0", "1.7.0",
];

/// No time in a plan is longer.
const DAY: Span = Span::seconds(86_400);

/// The most rows of all switches together at the beginning. The simulator keeps several copies of each: in the
/// database, in the sessions of the agents, in the model, and as text on the links.
const ROWS: usize = 600_000;

/// A switch waits at least this long before it dials again, and nothing converges sooner.
const CONVERGE: Span = Span::seconds(1);

impl Plan {
    /// Whether the world can run it. Reports every mistake.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut wrong = Wrong::default();
        wrong.unless(!self.name.trim().is_empty(), "`name` is empty");
        wrong.within("duration", self.duration, Span::millis(1), DAY);
        self.check_topology(&mut wrong);
        self.check_network(&mut wrong);
        self.check_agent(&mut wrong);
        self.check_switch(&mut wrong);
        self.check_workload(&mut wrong);
        self.check_proxy(&mut wrong);
        self.check_judgement(&mut wrong);
        for (index, fault) in self.faults.iter().enumerate() {
            let mut of_fault = Wrong::default();
            self.check_fault(index, fault, &mut of_fault);
            let place = format!("fault {} (`{}` at {})", index + 1, fault.fault.kind(), fault.at);
            wrong.0.extend(of_fault.0.iter().map(|what| format!("{place}: {what}")));
        }
        if wrong.0.is_empty() { Ok(()) } else { Err(wrong.0) }
    }

    fn check_topology(&self, wrong: &mut Wrong) {
        let topology = &self.topology;
        wrong.within("topology.switches", topology.switches, 1, 6);
        wrong.within("topology.agents", topology.agents, 2, 26);
        wrong.within("topology.proxies", topology.proxies, 1, 2);
        wrong.within("topology.control_nodes", topology.control_nodes, 0, 3);
        wrong.within("topology.vrouters", topology.vrouters, 0, 2);
        wrong.within("topology.targets", topology.targets, 1, 2);
        wrong.within("topology.networks", topology.networks, 1, 1000);
        wrong.within("topology.remote_macs", topology.remote_macs, 0, 100_000);
        wrong.within("topology.local_macs", topology.local_macs, 0, 100_000);
        let of_network = topology
            .remote_macs
            .saturating_add(topology.local_macs)
            .saturating_add(1);
        let of_switch = topology.networks.saturating_mul(of_network);
        let rows = topology.switches.saturating_mul(of_switch);
        if rows > ROWS {
            wrong.add(format!(
                "`topology` makes {rows} rows, and may make {ROWS}: `switches` x `networks` x (`remote_macs` + \
                 `local_macs` + 1)"
            ));
        }
    }

    fn check_network(&self, wrong: &mut Wrong) {
        let [least, most] = self.network.latency;
        wrong.unless(least <= most, "`network.latency` is [least, most]");
        wrong.within("network.latency", most, Span::ZERO, Span::seconds(10));
        wrong.within("network.split_permille", self.network.split_permille, 0, 1000);
    }

    fn check_agent(&self, wrong: &mut Wrong) {
        let keepalive = self.agent.keepalive;
        if keepalive != Span::ZERO {
            wrong.within("agent.keepalive", keepalive, Span::seconds(1), DAY);
        }
        wrong.within("agent.configured_after", self.agent.configured_after, Span::ZERO, DAY);
        wrong.unless(
            self.agent.strangers < self.topology.agents,
            "`agent.strangers` leaves no agent that is configured for a switch",
        );
        wrong.within("agent.tls", self.agent.tls, Span::ZERO, Span::seconds(10));
        wrong.within("agent.stale_hold", self.agent.stale_hold, Span::ZERO, DAY);
        wrong.unless(
            self.agent.stale_hold == Span::ZERO || self.topology.control_nodes > 0,
            "copies of routes are held at control nodes: `agent.stale_hold` needs `topology.control_nodes`",
        );
    }

    fn check_switch(&self, wrong: &mut Wrong) {
        if self.switch.schema_version().is_none() {
            let known = SCHEMAS.join(", ");
            wrong.add(format!(
                "`switch.schema` is one of {known}, not `{}`",
                self.switch.schema
            ));
        }
        if let Some(backoff) = self.switch.max_backoff {
            wrong.within("switch.max_backoff", backoff, Span::seconds(1), DAY);
        }
        if let Some(probe) = self.switch.inactivity_probe.filter(|probe| *probe != Span::ZERO) {
            wrong.within("switch.inactivity_probe", probe, Span::seconds(1), DAY);
        }
        let of_manager = [self.switch.max_backoff, self.switch.inactivity_probe];
        let whole = of_manager.iter().flatten().all(|span| span.as_micros() % 1000 == 0);
        wrong.unless(
            whole,
            "a `Manager` row has whole milliseconds: `switch.max_backoff`, `switch.inactivity_probe`",
        );
        wrong.within("switch.dump_us_per_row", self.switch.dump_us_per_row, 0, 100_000);
        wrong.within("switch.foreign", self.switch.foreign, 0, 100);
        if let Some(rows) = self.switch.rows_per_transaction_max {
            wrong.within("switch.rows_per_transaction_max", rows, 1, 1000);
        }
        wrong.within("switch.other_managers", self.switch.other_managers, 0, 3);
    }

    fn check_workload(&self, wrong: &mut Wrong) {
        let workload = &self.workload;
        for (key, per_hour) in [
            ("workload.local_changes_per_h", workload.local_changes_per_h),
            ("workload.remote_changes_per_h", workload.remote_changes_per_h),
            (
                "workload.configuration_changes_per_h",
                workload.configuration_changes_per_h,
            ),
        ] {
            wrong.within(key, per_hour, 0, 3_600_000);
        }
    }

    fn check_proxy(&self, wrong: &mut Wrong) {
        let proxy = &self.proxy;
        wrong.unless(
            proxy.check != CheckKind::Agent,
            "`proxy.check` is `connect`, `echo` or `tls`; the answer of the agent is `agent_check`",
        );
        for (key, span) in [
            ("proxy.inter", proxy.inter),
            ("proxy.fastinter", proxy.fastinter),
            ("proxy.downinter", proxy.downinter),
            ("proxy.timeout_check", proxy.timeout_check),
            ("proxy.timeout_connect", proxy.timeout_connect),
        ] {
            wrong.within(key, span, Span::millis(1), DAY);
        }
        wrong.within("proxy.timeout_client", proxy.timeout_client, Span::ZERO, DAY);
        wrong.within("proxy.timeout_server", proxy.timeout_server, Span::ZERO, DAY);
        wrong.within("proxy.fall", proxy.fall, 1, 100);
        wrong.within("proxy.rise", proxy.rise, 1, 100);
        wrong.within("proxy.retries", proxy.retries, 0, 100);
        // VRRP version 3 counts in centiseconds, up to 4095.
        wrong.within("proxy.advert", proxy.advert, Span::millis(10), Span::millis(40_950));
        wrong.within("proxy.track", proxy.track, Span::ZERO, DAY);
    }

    fn check_judgement(&self, wrong: &mut Wrong) {
        let judgement = &self.judgement;
        for name in judgement.excuse.iter().chain(&judgement.must_fail) {
            if !JUDGED.contains(&name.as_str()) {
                wrong.add(format!("`judgement` names one of {}, not `{name}`", JUDGED.join(", ")));
            }
        }
        if let Some(name) = judgement
            .must_fail
            .as_ref()
            .filter(|name| judgement.excuse.contains(name))
        {
            wrong.add(format!(
                "`judgement` excuses `{name}` and demands that it fails: an excused check does not fail"
            ));
        }
        if let Some(converge) = judgement.converge {
            wrong.within("judgement.converge", converge, CONVERGE, DAY);
            wrong.unless(
                converge >= CONVERGE,
                "`judgement.converge`: a switch waits 1s before it dials again, so less is never enough",
            );
        }
    }

    fn check_fault(&self, index: usize, scheduled: &Scheduled, wrong: &mut Wrong) {
        let fault = &scheduled.fault;
        wrong.unless(scheduled.at < self.duration, "it begins when `duration` is over");
        if let Some(lasts) = scheduled.lasts {
            wrong.unless(!fault.kind().is_momentary(), "it is momentary: `for` means nothing");
            wrong.within("for", lasts, Span::micros(1), DAY);
        }
        let nodes = fault.nodes();
        for (name, role) in &nodes {
            self.check_node(name, *role, wrong);
        }
        if let [(from, _), (to, _)] = nodes.as_slice() {
            self.check_link(fault, from, to, wrong);
        }
        self.check_values(index, fault, wrong);
    }

    /// A fault names nodes that exist, and of the role that the fault needs.
    fn check_node(&self, name: &str, role: Option<Role>, wrong: &mut Wrong) {
        let found = self.topology.role(name);
        if found.is_none() {
            let nodes = self.topology.nodes().join(", ");
            wrong.add(format!("there is no `{name}`; there are {nodes}"));
        } else if let Some(role) = role.filter(|role| found != Some(*role)) {
            wrong.add(format!("`{name}` is no {}", role.name()));
        }
    }

    /// A fault between two nodes needs a link between them.
    fn check_link(&self, fault: &Fault, from: &str, to: &str, wrong: &mut Wrong) {
        wrong.unless(from != to, "it is between two different nodes");
        let roles = [from, to].map(|name| self.topology.role(name));
        if let [Some(one), Some(other)] = roles
            && from != to
            && !fault.concerns_link(one, other)
        {
            let proxies = if fault.kind() == Kind::Reset {
                "; proxies have no connection to reset"
            } else {
                ", and between the two proxies"
            };
            wrong.add(format!(
                "there is no link from `{from}` to `{to}`: there are links between a switch and a proxy, between a \
                 proxy and an agent, between an agent or a vRouter and a control node{proxies}"
            ));
        }
        wrong.unless(
            self.agent.pair || roles != [Some(Role::Agent); 2],
            "agents have no link to each other without `agent.pair = true`",
        );
    }

    /// The other keys of a fault.
    fn check_values(&self, index: usize, fault: &Fault, wrong: &mut Wrong) {
        match fault {
            Fault::MoveVip | Fault::SplitVip => {
                wrong.unless(
                    self.topology.proxies == 2,
                    "it needs two proxies: `topology.proxies = 2`",
                );
            }
            Fault::Slow { times, .. } => wrong.within("times", *times, 2, 1_000_000),
            Fault::Drift { ppm, .. } => {
                wrong.within("ppm", *ppm, -500_000, 500_000);
                wrong.unless(*ppm != 0, "`ppm` of 0 is no drift");
            }
            Fault::Configure {
                what: Configure::SwapVnis,
            } => {
                wrong.unless(
                    self.networks_before(index) >= 2,
                    "it needs two networks: `topology.networks = 2`",
                );
            }
            Fault::Crash { .. } | Fault::PowerLoss { .. } | Fault::Pause { .. } | Fault::Drain { .. } => {}
            Fault::Cut { .. } | Fault::Isolate { .. } | Fault::Jam { .. } | Fault::Reset { .. } => {}
            Fault::Reload { .. } | Fault::Reboot { .. } | Fault::Edit { .. } | Fault::Steal { .. } => {}
            Fault::Twin { .. } => {
                let twins = self.faults.iter().filter(|it| it.fault.kind() == Kind::Twin);
                wrong.unless(twins.count() == 1, "a world has one twin at most");
            }
            Fault::Disk { .. } => wrong.unless(
                self.agent.remember && self.topology.control_nodes > 0,
                "there is no such file without `agent.remember = true` and control nodes",
            ),
            Fault::Expire { .. } => wrong.unless(
                self.switch.certificates,
                "switches have certificates only with `switch.certificates = true`",
            ),
            Fault::Tls { .. } | Fault::TsnDeath { .. } | Fault::Intrude { .. } => {}
            Fault::Undo { .. } | Fault::Full { .. } | Fault::Maint { .. } => {}
            Fault::Configure {
                what: Configure::AddNetwork | Configure::RemoveNetwork | Configure::Rebind | Configure::LoseNetworks,
            } => {}
        }
    }

    /// The most networks that there can be when this fault strikes.
    fn networks_before(&self, index: usize) -> usize {
        let at = self.faults.get(index).map_or(Span::ZERO, |fault| fault.at);
        let add = |fault: &&Scheduled| {
            let adds = Fault::Configure {
                what: Configure::AddNetwork,
            };
            fault.at <= at && fault.fault == adds
        };
        self.topology.networks + self.faults.iter().filter(add).count()
    }
}

impl Switch {
    /// The version that `schema` names, if there was such a version.
    pub fn schema_version(&self) -> Option<SchemaVersion> {
        let mut versions = SCHEMAS.into_iter().zip(SchemaVersion::ALL);
        versions
            .find(|(name, _)| *name == self.schema)
            .map(|(_, version)| version)
    }
}

#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, what: String) {
        self.0.push(what);
    }

    fn unless(&mut self, right: bool, what: &str) {
        if !right {
            self.add(what.to_owned());
        }
    }

    fn within<T: Copy + PartialOrd + std::fmt::Display>(&mut self, key: &str, value: T, least: T, most: T) {
        if value < least || value > most {
            self.add(format!("`{key}` is {value}, and must be {least} to {most}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::Schema;

    const HEAD: &str = "name = \"x\"\nseed = 1\nduration = \"60s\"\n";

    fn check(rest: &str) -> Vec<String> {
        let plan = Plan::parse(&format!("{HEAD}{rest}")).expect("a plan");
        plan.check().err().unwrap_or_default()
    }

    #[test]
    fn every_version_of_the_schema_is_known_by_its_name() {
        for (name, version) in SCHEMAS.into_iter().zip(SchemaVersion::ALL) {
            assert_eq!(Schema::of(version).to_json()["version"], name);
        }
    }

    #[test]
    fn each_mistake_is_reported_in_a_sentence() {
        let wrong = [
            "[topology]\nswitches = 7\nagents = 1\n",
            "[network]\nlatency = [\"2ms\", \"1ms\"]\n",
            "[agent]\nkeepalive = \"500ms\"\n",
            "[switch]\nschema = \"1.8.0\"\nmax_backoff = \"1500us\"\n",
            "[proxy]\ncheck = \"agent\"\nfall = 0\n",
            "[topology]\nswitches = 6\nnetworks = 1000\nremote_macs = 100000\n",
            "[judgement]\nexcuse = [\"S2\", \"S12\"]\n",
            "[judgement]\nexcuse = [\"S2\"]\nmust_fail = \"S2\"\nconverge = \"1ms\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"crash\"\nnode = \"agent-c\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"drain\"\nagent = \"tor1\"\n",
            "[[fault]]\nat = \"60s\"\nkind = \"split_vip\"\n",
            "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"reset\"\nbetween = \"tor1\"\nand = \"tor1\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"cut\"\nfrom = \"tor1\"\nto = \"agent-a\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"jam\"\nfrom = \"agent-a\"\nto = \"agent-b\"\n",
            "[topology]\nproxies = 2\n[[fault]]\nat = \"1s\"\nkind = \"reset\"\nbetween = \"proxy-1\"\nand = \"proxy-2\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"drift\"\nnode = \"tor1\"\nppm = 600000\n",
        ];
        let reported: Vec<String> = wrong.into_iter().flat_map(check).collect();
        insta::assert_snapshot!(reported.join("\n"));
    }

    #[test]
    fn every_existing_link_can_be_cut_either_way() {
        let two = "[topology]\nproxies = 2\ncontrol_nodes = 1\nvrouters = 1\n";
        let lines = [
            ("tor1", "proxy-1"),
            ("proxy-2", "agent-a"),
            ("proxy-1", "proxy-2"),
            ("agent-a", "control-1"),
            ("control-1", "vrouter-1"),
        ];
        for (one, other) in lines {
            for (from, to) in [(one, other), (other, one)] {
                let cut = format!("[[fault]]\nat = \"1s\"\nkind = \"cut\"\nfrom = \"{from}\"\nto = \"{to}\"\n");
                assert_eq!(check(&format!("{two}{cut}")), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn swapping_vnis_needs_two_networks_by_then() {
        let one = "[topology]\nnetworks = 1\n";
        let add = "[[fault]]\nat = \"1s\"\nkind = \"configure\"\nwhat = \"add_network\"\n";
        let swap = "[[fault]]\nat = \"2s\"\nkind = \"configure\"\nwhat = \"swap_vnis\"\n";
        assert_eq!(check(&format!("{one}{swap}")).len(), 1);
        assert_eq!(check(&format!("{one}{swap}{add}")), Vec::<String>::new());
    }
}

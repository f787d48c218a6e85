//! A plan as text, to keep, to read and to edit.

use serde::Serialize;

use super::{Agent, Judgement, Network, Plan, Proxy, Switch, Topology, Workload};

impl Plan {
    /// As TOML that [`Plan::parse`] reads back to the same plan. Writes only what differs from the defaults.
    pub fn to_toml(&self) -> String {
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
        let mut text = lines(&Head {
            name,
            seed: *seed,
            duration,
        });
        section(&mut text, "topology", topology, &Topology::default());
        section(&mut text, "network", network, &Network::default());
        section(&mut text, "agent", agent, &Agent::default());
        section(&mut text, "proxy", proxy, &Proxy::default());
        section(&mut text, "switch", switch, &Switch::default());
        section(&mut text, "workload", workload, &Workload::default());
        section(&mut text, "judgement", judgement, &Judgement::default());
        for fault in faults {
            text += "\n[[fault]]\n";
            text += &lines(fault);
        }
        text
    }
}

#[derive(Serialize)]
struct Head<'a> {
    name: &'a str,
    seed: u64,
    duration: &'a super::Span,
}

/// Every value of a section takes one line, so a line that equals a line of the defaults is a default.
fn section<T: Serialize>(text: &mut String, name: &str, values: &T, default: &T) {
    let (values, default) = (lines(values), lines(default));
    let written: Vec<&str> = values
        .lines()
        .filter(|line| !default.lines().any(|same| same == *line))
        .collect();
    if !written.is_empty() {
        *text += &format!("\n[{name}]\n{}\n", written.join("\n"));
    }
}

fn lines<T: Serialize>(values: &T) -> String {
    toml::to_string(values).unwrap_or_else(|why| format!("# this cannot be written: {why}\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::plan::{Plan, Span};

    proptest! {
        #[test]
        fn a_plan_reads_what_it_writes(seed: u64) {
            let plan = Plan::of_seed(seed);
            prop_assert_eq!(&Plan::parse(&plan.to_toml()).expect("a plan"), &plan);
        }

        #[test]
        fn a_plan_keeps_any_name(name: String) {
            let plan = Plan { name, ..Plan::of_seed(1) };
            prop_assert_eq!(&Plan::parse(&plan.to_toml()).expect("a plan"), &plan);
        }
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_written() {
        let text = r#"name = "a crash"
seed = 7
duration = "1m"

[network]
latency = ["1ms", "2ms"]

[switch]
inactivity_probe = "1s"

[[fault]]
at = "10s"
for = "5s"
kind = "crash"
node = "agent-a"

[[fault]]
at = "20s"
kind = "slow"
from = "tor1"
to = "proxy-1"
times = 100
"#;
        let plan = Plan::parse(text).expect("a plan");
        assert_eq!(plan.to_toml(), text);
    }

    #[test]
    fn a_section_may_go_back_to_the_default() {
        let mut plan =
            Plan::parse("name = 'x'\nseed = 1\nduration = '1s'\n[agent]\nkeepalive = '1s'\n").expect("a plan");
        plan.agent.keepalive = Span::seconds(10);
        assert!(!plan.to_toml().contains("[agent]"));
    }
}

//! The report for a reader who has never seen a failover.

use std::fmt;

use super::Engine;
use super::report::{Party, Report, Trip};
use crate::commands::count;

/// See [`Report::story`].
struct Story<'a>(&'a Report);

impl Report {
    /// What the parts are, what happened, and what it cost.
    pub fn story(&self) -> impl fmt::Display {
        Story(self)
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            before, after, travels, ..
        } = self.0;
        self.parts(f)?;
        self.trip(f, "A MAC TRAVELS", &travels.before, before)?;
        self.timeline(f)?;
        self.trip(f, "ANOTHER MAC TRAVELS", &travels.after, after)?;
        self.cost(f)
    }
}

impl Story<'_> {
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            options,
            switches: [one, two],
            before,
            after,
            owns_other,
            ..
        } = self.0;
        let (one, two, macs) = (&one.name, &two.name, options.macs);
        let (owner, other) = (&before.name, &after.name);
        let (this, that, switch, proxy) = match options.engine {
            Engine::Embedded => (
                "Engine \"embedded\": Tandem's own switches and proxy.",
                "With --real: ovsdb-server and HAProxy.",
                "an emulated ovsdb-server",
                "an emulated HAProxy",
            ),
            Engine::Real => (
                "Engine \"real\": ovsdb-server and HAProxy.",
                "Without --real: Tandem's own switches and proxy.",
                "an ovsdb-server",
                "HAProxy",
            ),
        };
        let (owned, others) = match owns_other {
            true => (
                one.clone(),
                format!("owns {two} in the same way, and stands by for {one}."),
            ),
            false => (format!("{one} and {two}"), "stands by for both.".into()),
        };
        let switches = format!("{one}, {two}");
        write!(
            f,
            "\
{this} {that}

THE PARTS, on this machine only, with real TLS
  {switches:<13}  two switches, each {switch}: the database that decides
                 where a top-of-rack switch sends frames. {macs} remote MACs are in each: \"this
                 address is behind that tunnel end\".
  proxy          {proxy}. A switch dials it, and it passes the TLS connection to one
                 of two agents.
  {owner:<13}  owns {owned}: it holds the switch's lock, and is the only one that writes.
  {other:<13}  {others}
  control nodes  two, with the same inventory. They send both agents the configuration, and the
                 routes of the MACs that the switches of either have learned.
  broadcast row  points broadcast frames of the switch to the services node (TSN) of
                 the owner. In {one} now {}, of {owner}; that of {other} is {}.

",
            before.tsn, after.tsn
        )
    }

    fn trip(&self, f: &mut fmt::Formatter<'_>, title: &str, Trip { mac, ms }: &Trip, by: &Party) -> fmt::Result {
        let [one, two] = &self.0.switches;
        let (one, vtep, two, by) = (&one.name, &one.vtep, &two.name, &by.name);
        write!(
            f,
            "\
{title}, in ms since {one} learned it
       0.0  learned    {one} has {mac} among the MACs of its own hosts.
  {ms:>8.1}  installed  {two} has it behind {one} ({vtep}): {by} sent the route.

"
        )
    }

    fn timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            options,
            switches: [one, two],
            before,
            after,
            travels,
            impact,
            steps,
            ..
        } = self.0;
        let (owner, other, tsn) = (&before.name, &after.name, &after.tsn);
        let (one, two) = (&one.name, &two.name);
        let mut steps = vec![
            (
                0.0,
                format!("           {owner} is killed (SIGKILL). {one} loses it, waits, then dials again."),
            ),
            (
                impact.session,
                format!("session    {other} accepts the connection of {one}, through the proxy."),
            ),
            (
                steps.tls,
                "           TLS is up: each end has checked the other's certificate.".into(),
            ),
            (
                steps.locked,
                format!("           {other} holds the lock of {one}: from now on it may write."),
            ),
            (
                impact.broadcast,
                format!("broadcast  the database of {one} shows the broadcast row at {tsn}."),
            ),
            (steps.read, format!("           {other} has read every table of {one}.")),
            (
                impact.audited,
                format!(
                    "audited    {other} has compared all {} MACs: nothing differs.",
                    options.macs
                ),
            ),
        ];
        let mac = &travels.before.mac;
        for gap in &travels.gaps {
            let gone = format!("missing    {two} lost {mac}: control nodes retract the routes of {owner}.");
            let back = format!("restored   {two} has {mac} behind {one} again: {other} sent the route.");
            steps.extend([(gap.from, gone), (gap.to, back)]);
        }
        // Some times come from the database, others from the agents.
        steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        writeln!(f, "WHAT HAPPENED, in ms since the kill")?;
        for (at, what) in steps {
            writeln!(f, "  {at:>8.1}  {what}")?;
        }
        writeln!(f)
    }

    fn cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            options,
            switches: [one, two],
            before: Party { name: owner, tsn },
            travels,
            impact,
            broadcast_rows,
            rows_rewritten,
            ..
        } = self.0;
        let (one, two, mac) = (&one.name, &two.name, &travels.before.mac);
        let waits = match options.engine {
            Engine::Embedded => "ovsdb-server, emulated here",
            Engine::Real => "ovsdb-server itself",
        };
        let routes = match travels.gaps.is_empty() {
            true => format!("{two} had {mac} all the time."),
            false => format!(
                "for {:.0} ms {two} had no row for {mac}: it sent frames for it to a
                  services node, as for any address that it does not know.",
                travels.missing_ms()
            ),
        };
        let hint = match options.stale_hold {
            true => "Without --stale-hold the routes go with the agent, and come back with the other.",
            false => "With --stale-hold the agents hold copies of routes through the failover, and none is missing.",
        };
        write!(
            f,
            "\
WHAT IT COST
  rows rewritten  {rows_rewritten} in {one}, besides {}. The {} MACs stayed:
                  while no agent is connected, a switch keeps forwarding by its tables.
  broadcast       for {:.0} ms the broadcast row still named {tsn}. Where that services
                  node dies together with {owner}, the switch loses for that long its
                  broadcast frames, and frames for addresses that it does not know.
  routes          {routes}
  changes         for {:.0} ms no agent could change anything in {one}.

WHY ABOUT ONE SECOND
  A switch whose connection breaks waits for at least a second before it dials again: the
  reconnect back-off of {waits}, which no agent and no proxy can shorten.
  Tandem's own share is the {:.0} ms from the accepted session to the repointed broadcast row.

{hint}
",
            count(*broadcast_rows, "repointed broadcast row", "repointed broadcast rows"),
            options.macs,
            impact.broadcast,
            impact.audited,
            impact.broadcast - impact.session,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Gap, Impact, Options, Place, Steps, Travels};

    #[test]
    fn a_newcomer_reads_what_the_parts_are_what_happens_and_what_it_costs() {
        insta::assert_snapshot!(report().story());
    }

    #[test]
    fn and_which_parts_are_emulated() {
        let mut report = report();
        report.options.engine = Engine::Embedded;
        insta::assert_snapshot!(report.story());
    }

    #[test]
    fn the_story_shows_a_route_that_was_never_missing() {
        let mut report = report();
        report.options.stale_hold = true;
        report.travels.gaps.clear();
        let story = report.story().to_string();
        assert!(story.contains("tor2 had 02:00:00:00:00:01 all the time."), "{story}");
        assert!(!story.contains("missing "), "{story}");
    }

    #[test]
    fn one_agent_may_have_owned_both_switches() {
        let mut report = report();
        report.owns_other = false;
        let story = report.story().to_string();
        assert!(story.contains("owns tor1 and tor2: "), "{story}");
    }

    fn report() -> Report {
        let party = |name: &str, tsn: &str| Party {
            name: name.into(),
            tsn: tsn.into(),
        };
        let place = |name: &str, vtep: &str| Place {
            name: name.into(),
            vtep: vtep.into(),
        };
        let trip = |mac: &str, ms| Trip { mac: mac.into(), ms };
        Report {
            options: Options {
                engine: Engine::Real,
                macs: 1000,
                stale_hold: false,
            },
            switches: [place("tor1", "10.0.1.1"), place("tor2", "10.0.1.2")],
            before: party("agent-a", "10.0.0.11"),
            after: party("agent-b", "10.0.0.12"),
            owns_other: true,
            travels: Travels {
                before: trip("02:00:00:00:00:01", 24.26),
                gaps: vec![Gap { from: 9.5, to: 1060.5 }],
                after: trip("02:00:00:00:00:02", 22.0),
            },
            impact: Impact {
                session: 1003.04,
                broadcast: 1010.06,
                audited: 1050.0,
            },
            steps: Steps {
                tls: 1006.0,
                locked: 1008.0,
                read: 1030.0,
            },
            broadcast_rows: 1,
            rows_rewritten: 0,
        }
    }
}

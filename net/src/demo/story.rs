//! The report for somebody who has never seen a failover.

use std::fmt;

use super::Engine;
use super::report::{Party, Report};
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
        self.parts(f)?;
        self.timeline(f)?;
        self.cost(f)
    }
}

impl Story<'_> {
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            engine,
            macs,
            before,
            after,
            ..
        } = self.0;
        let (owner, other) = (&before.name, &after.name);
        let (this, that, switch, proxy) = match engine {
            Engine::Embedded => (
                "Engine \"embedded\": Tandem's own switch and proxy.",
                "With --real: ovsdb-server and HAProxy.",
                "an emulated ovsdb-server",
                "an emulated HAProxy",
            ),
            Engine::Real => (
                "Engine \"real\": ovsdb-server and HAProxy.",
                "Without --real: Tandem's own switch and proxy.",
                "ovsdb-server",
                "HAProxy",
            ),
        };
        write!(
            f,
            "\
{this} {that}

THE PARTS, on this machine only, with real TLS
  switch         {switch}: the database that tells a top-of-rack switch where to
                 send frames. {macs} remote MACs are in it: \"this address is behind that
                 tunnel end\".
  proxy          {proxy}. The switch dials it and is handed, by TLS, to one of two
                 agents.
  {owner:<13}  owns the switch: it holds the switch's lock, and is the only one that writes.
  {other:<13}  stands by, with the same configuration.
  broadcast row  tells the switch where frames for everybody go: to the services node (TSN)
                 of the owner. Now {}, of {owner}; that of {other} is {}.

",
            before.tsn, after.tsn
        )
    }

    fn timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            macs,
            before,
            after,
            impact,
            steps,
            ..
        } = self.0;
        let (owner, other, tsn) = (&before.name, &after.name, &after.tsn);
        let mut steps = [
            (
                0.0,
                format!("           {owner} is killed (SIGKILL). The switch loses it, waits, then dials again."),
            ),
            (
                impact.session,
                format!("session    {other} accepts the switch's connection, through the proxy."),
            ),
            (
                steps.tls,
                "           TLS is up: each end has checked the other's certificate.".into(),
            ),
            (
                steps.locked,
                format!("           {other} holds the switch's lock: from now on it may write."),
            ),
            (
                impact.broadcast,
                format!("broadcast  the switch's database shows the broadcast row at {tsn}."),
            ),
            (
                steps.read,
                format!("           {other} has read every table of the switch."),
            ),
            (
                impact.audited,
                format!("audited    {other} has compared all {macs} MACs: everything is as wanted."),
            ),
        ];
        // The broadcast row is seen by the database's eye, the other steps by the agent's own.
        steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        writeln!(f, "WHAT HAPPENED, in ms since the kill")?;
        for (at, what) in steps {
            writeln!(f, "  {at:>8.1}  {what}")?;
        }
        writeln!(f)
    }

    fn cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            engine,
            macs,
            before: Party { name: owner, tsn },
            impact,
            broadcast_rows,
            rows_rewritten,
            ..
        } = self.0;
        let waits = match engine {
            Engine::Embedded => "ovsdb-server, emulated here",
            Engine::Real => "ovsdb-server itself",
        };
        write!(
            f,
            "\
WHAT IT COST
  rows rewritten  {rows_rewritten}, besides {}. The {macs} MACs stayed: while
                  no agent is connected, a switch goes on forwarding to all that it knows.
  broadcast       for {:.0} ms the broadcast row still named {tsn}. Where that services
                  node dies together with {owner}, a switch loses that long the frames for
                  everybody, and those for addresses that it does not know.
  changes         for {:.0} ms nobody could tell the switch anything new.

WHY ABOUT ONE SECOND
  A switch whose connection breaks waits for at least a second before it dials again: the
  reconnect back-off of {waits}, which no agent and no proxy can shorten.
  Tandem's own share is the {:.0} ms from the accepted session to the repointed broadcast row.
",
            count(*broadcast_rows, "repointed broadcast row", "repointed broadcast rows"),
            impact.broadcast,
            impact.audited,
            impact.broadcast - impact.session,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Impact, Steps};

    #[test]
    fn a_newcomer_reads_what_the_parts_are_what_happens_and_what_it_costs() {
        let party = |name: &str, tsn: &str| Party {
            name: name.into(),
            tsn: tsn.into(),
        };
        let report = |engine| Report {
            engine,
            macs: 1000,
            before: party("agent-a", "10.0.0.11"),
            after: party("agent-b", "10.0.0.12"),
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
        };
        insta::assert_snapshot!(report(Engine::Real).story());
        insta::assert_snapshot!("and_which_parts_are_emulated", report(Engine::Embedded).story());
    }
}

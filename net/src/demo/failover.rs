//! The failover itself, with whichever parts.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tandem_core::ids::ConnId;
use tandem_core::status::{AgentStatus, SessionStatus};

use super::engine::{Engine, Parts};
use super::report::{Impact, Party, Report, Steps};
use super::watch::{self, Sight};
use super::{Failure, Interrupt, Progress};
use crate::lab::agent::RemoteMac;
use crate::lab::snapshot::{Difference, Row};
use crate::lab::switch::remote_mac;
use crate::lab::{Agent, Error, PairOptions, Result};

/// Starts the parts, waits until one agent owns the switch and everything is right, kills that agent and watches.
///
/// `tandem` is this program's file, which the agents run.
pub fn run(
    engine: Engine,
    tandem: &Path,
    macs: u32,
    interrupt: &Interrupt,
    progress: &Progress,
) -> std::result::Result<Report, Failure> {
    if let Some(what_to_do) = engine.missing() {
        return Err(Failure::Environment(what_to_do));
    }
    progress.step(format!(
        "Starting {}, and two agents with certificates of their own",
        engine.parts()
    ));
    let parts = engine
        .start(&options(tandem, macs))
        .map_err(|error| match interrupt.pressed() {
            true => Failure::Interrupted,
            false => Failure::Environment(format!("The parts of the demo cannot be started: {error}")),
        })?;
    let demo = Demo {
        engine,
        parts: &parts,
        macs,
        interrupt,
        progress,
    };
    demo.fail_over().map_err(|error| match interrupt.pressed() {
        true => Failure::Interrupted,
        false => Failure::Wrong {
            what: without_logs(&error),
            kept: parts.scratch().preserve().ok(),
        },
    })
}

fn options(tandem: &Path, macs: u32) -> PairOptions {
    /// So many tunnel ends are the remote MACs behind.
    const TUNNEL_ENDS: u8 = 16;
    let mut options = PairOptions::new(tandem);
    let tunnel_ends = (1..=TUNNEL_ENDS).map(|end| Ipv4Addr::new(10, 0, 9, end)).cycle();
    for network in &mut options.networks {
        network.remote_macs = (0..macs)
            .zip(tunnel_ends.clone())
            .map(|(number, vtep)| RemoteMac {
                mac: remote_mac(number),
                vtep,
            })
            .collect();
    }
    options
}

struct Demo<'a> {
    engine: Engine,
    parts: &'a Parts,
    macs: u32,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
}

impl Demo<'_> {
    fn fail_over(&self) -> Result<Report> {
        let [a, b] = self.parts.agents();
        let switch = self
            .parts
            .switch()
            .ok_or_else(|| Error::failed("find the switch", "the lab has none"))?;
        let owned = self.wait("an agent that owns the switch and has audited it", || {
            self.lives(a)?;
            self.lives(b)?;
            let found = [(a, b), (b, a)].into_iter().find(|(agent, _)| {
                session(agent).is_some_and(|session| {
                    let (done, macs) = (session.rows_remote, self.macs);
                    self.progress
                        .step(format!("Programming the switch: {done} of {macs} remote MACs"));
                    settled(&session) && done == macs as usize
                })
            });
            Ok(found)
        });
        let (owner, other) = owned?;
        let (before, after) = (party(owner), party(other));
        let sights = watch::broadcast_rows(&switch)?;
        self.see(&sights, &before)?;
        let found = switch.snapshot()?;

        self.progress
            .step(format!("Killing {}; {} takes over", before.name, after.name));
        let killed = Instant::now();
        owner.process.kill()?;
        let mut accepted = Accepted::default();
        let session = self.wait(
            &format!("{} to own the switch and to have audited it", after.name),
            || {
                self.lives(other)?;
                let asked = Instant::now();
                let session = session(other);
                Ok(session.inspect(|session| accepted.hear(asked, session)).filter(settled))
            },
        )?;
        let repointed = self.see(&sights, &after)?;
        let differences = switch.snapshot()?.since(&found);

        let rewritten = rewritten(&differences, [&before.tsn, &after.tsn]);
        if !rewritten.is_empty() {
            let what = format!("the takeover by {}", after.name);
            return Err(Error::failed(
                what,
                format!("it rewrote what was right, in {rewritten:?}"),
            ));
        }
        let ms = |at: Instant| at.saturating_duration_since(killed).as_secs_f64() * 1000.0;
        let session_ms = ms(accepted.at.unwrap_or(killed));
        let step = |ms: Option<f64>| session_ms + ms.unwrap_or_default();
        let takeover = session.takeover_ms;
        Ok(Report {
            engine: self.engine,
            macs: self.macs,
            before,
            after,
            impact: Impact {
                session: session_ms,
                broadcast: ms(repointed.at),
                audited: step(takeover.audited),
            },
            steps: Steps {
                tls: step(takeover.tls),
                locked: step(takeover.locked),
                read: step(takeover.read),
            },
            broadcast_rows: differences
                .iter()
                .filter(|difference| difference.table == "Mcast_Macs_Remote")
                .count(),
            rows_rewritten: rewritten.len(),
        })
    }

    /// Polls, unless Ctrl-C is pressed.
    fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        self.parts
            .scratch()
            .wait_until(what, self.patience(), || match self.interrupt.pressed() {
                true => Some(Err(Error::failed(format!("wait for {what}"), "Ctrl-C"))),
                false => condition().transpose(),
            })?
    }

    /// The first moment at which the database showed the broadcast rows at this agent's services node.
    fn see(&self, sights: &mpsc::Receiver<Sight>, agent: &Party) -> Result<Sight> {
        let what = format!("the broadcast row at {}, in the switch's database", agent.tsn);
        self.wait(&what, || Ok(sights.try_iter().find(|sight| sight.all_at(&agent.tsn))))
    }

    /// Generous: it guards against hanging, nothing else.
    fn patience(&self) -> Duration {
        Duration::from_secs(60 + u64::from(self.macs) / 100)
    }

    /// Fails if an agent that should run has ended.
    fn lives(&self, agent: &Agent) -> Result<()> {
        match agent.process.exited() {
            None => Ok(()),
            Some(status) => Err(Error::failed(format!("run {}", party(agent).name), status)),
        }
    }
}

fn party(agent: &Agent) -> Party {
    let section = &agent.options().agent;
    Party {
        name: section.name.clone(),
        tsn: section.tsn_ip.to_string(),
    }
}

/// The agent's newest session with the only switch; `None` also while it does not answer yet.
fn session(agent: &Agent) -> Option<SessionStatus> {
    let status: AgentStatus = serde_json::from_value(agent.status().ok()?).ok()?;
    status.switches.into_values().next()?.sessions.pop()
}

/// Whether the agent owns the switch, and everything there is as it is wanted.
fn settled(session: &SessionStatus) -> bool {
    let busy = session.pending + session.in_flight;
    session.ownership == "held" && session.takeover_ms.audited.is_some() && busy == 0
}

/// When a session was accepted, from its age in every status that was heard of it.
#[derive(Default)]
struct Accepted {
    conn: Option<ConnId>,
    at: Option<Instant>,
}

impl Accepted {
    /// The agent answered after it was asked: no answer is too late, and the latest is nearest to the truth.
    fn hear(&mut self, asked: Instant, session: &SessionStatus) {
        let at = asked.checked_sub(Duration::from_secs_f64(session.age_ms.max(0.0) / 1000.0));
        self.at = match self.conn.replace(session.conn) == Some(session.conn) {
            true => self.at.max(at),
            false => at,
        };
    }
}

/// The tables of rows that a takeover should have left alone.
fn rewritten(differences: &[Difference], services_nodes: [&str; 2]) -> Vec<String> {
    let expected = |difference: &&Difference| {
        let rows = [&difference.before, &difference.after].into_iter().flatten();
        match difference.table.as_str() {
            "Mcast_Macs_Remote" | "Physical_Locator_Set" => true,
            "Physical_Locator" => rows
                .map(|row| row.get("dst_ip").and_then(Value::as_str))
                .all(|ip| ip.is_some_and(|ip| services_nodes.contains(&ip))),
            "Manager" => match (&difference.before, &difference.after) {
                (Some(before), Some(after)) => configured(before) == configured(after),
                _ => false,
            },
            _ => false,
        }
    };
    let others = differences.iter().filter(|difference| !expected(difference));
    others.map(|difference| difference.table.clone()).collect()
}

/// A `Manager` row without what the server itself writes when a manager comes or goes.
fn configured(row: &Row) -> Row {
    let mut row = row.clone();
    row.retain(|column, _| !["_version", "is_connected", "status"].contains(&column.as_str()));
    row
}

/// A deadline shows the ends of all logs, which are kept in whole.
fn without_logs(error: &Error) -> String {
    match error {
        Error::Deadline { what, seconds, .. } => format!("Waited {seconds} s in vain for {what}"),
        other => other.to_string(),
    }
}

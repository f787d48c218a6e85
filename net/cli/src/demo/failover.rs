//! The demo itself, with whichever parts.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use tandem_core::status::SessionStatus;

use super::engine::Parts;
use super::owner::{Accepted, has_heard, is_settled, session, status};
use super::report::{Gap, Impact, Party, Place, Report, Route, Steps, Travels, Trip};
use super::untouched::rewritten;
use super::watch::{self, BroadcastRows, Eye, Routes};
use super::{Failure, Interrupt, Options, Progress};
use tandem_lab::agent::RemoteMac;
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Error, PairOptions, Remote, Result, pair};

/// Of a host that speaks before the failure, and of one that speaks afterwards.
const HOSTS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// How many of them there are.
const SWITCHES: u8 = 2;
const CONTROL_NODES: u8 = 2;

/// Starts the parts, waits until both switches are owned and everything is right, lets a MAC travel from one to the
/// other, kills the agent of the first, watches, and lets another MAC travel.
///
/// `tandem` is this program's file, which agents and control nodes run.
pub fn run(
    options: Options,
    tandem: &Path,
    interrupt: &Interrupt,
    progress: &Progress,
) -> std::result::Result<Report, Failure> {
    if let Some(what_to_do) = options.engine.missing() {
        return Err(Failure::Environment(what_to_do));
    }
    progress.step(format!(
        "Starting {}, two control nodes, and two agents, with certificates of their own",
        options.engine.parts()
    ));
    let lab = lab(options, tandem);
    let parts = options.engine.start(&lab).map_err(|error| match interrupt.pressed() {
        true => Failure::Interrupted,
        false => Failure::Environment(format!("The parts of the demo cannot be started: {error}")),
    })?;
    let demo = Demo {
        options,
        parts: &parts,
        logical_switch: lab.networks.first().map(pair::logical_switch).unwrap_or_default(),
        seen: Cell::default(),
        killed: Cell::default(),
        interrupt,
        progress,
    };
    demo.fail_over().map_err(|error| match interrupt.pressed() {
        true => Failure::Interrupted,
        false => Failure::Wrong {
            what: without_logs(&error),
            route: demo.seen.get(),
            kept: parts.scratch().preserve().ok(),
        },
    })
}

fn lab(options: Options, tandem: &Path) -> PairOptions {
    /// So many tunnel ends are the remote MACs behind.
    const TUNNEL_ENDS: u8 = 16;
    let mut lab = PairOptions::new(tandem);
    lab.switches = SWITCHES;
    lab.control_nodes = CONTROL_NODES;
    let tunnel_ends = (1..=TUNNEL_ENDS).map(|end| Ipv4Addr::new(10, 0, 9, end)).cycle();
    for network in &mut lab.networks {
        network.remote_macs = (0..options.macs)
            .zip(tunnel_ends.clone())
            .map(|(number, vtep)| RemoteMac {
                mac: remote_mac(number),
                vtep,
            })
            .collect();
    }
    if options.stale_hold {
        // As the book recommends.
        lab.peer = true;
        lab.more = toml::toml! { failover = { stale_hold = "300s" } };
    }
    lab
}

struct Demo<'a> {
    options: Options,
    parts: &'a Parts,
    /// That of the only network.
    logical_switch: String,
    /// What was seen so far.
    seen: Cell<Route>,
    /// Which agent is dead, as it should be.
    killed: Cell<Option<usize>>,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
}

impl Demo<'_> {
    fn fail_over(&self) -> Result<Report> {
        let places = [1, 2].map(|number| Place {
            name: pair::switch_name(number),
            vtep: pair::tunnel_ip(number).to_string(),
        });
        let [one, two] = self
            .parts
            .switches()
            .try_into()
            .map_err(|_| Error::failed("find two switches", "the lab has others"))?;
        let [index, second] = self.wait("agents that own both switches and have audited them", || {
            Ok(self.owners(&places))
        })?;
        let (owner, other) = match self.parts.agents() {
            [a, b] if index == 0 => (a, b),
            [a, b] => (b, a),
        };
        let (before, after) = (party(owner), party(other));
        let mut broadcast = watch::broadcast_rows(&one)?;
        self.see(&mut broadcast, &before)?;
        let mut routes = watch::routes(&two, &HOSTS)?;
        let first_trip = self.travel(HOSTS[0], &places, &one, &mut routes)?;
        self.saw(|route| route.before = true);
        let found = one.snapshot()?;

        self.progress
            .step(format!("Killing {}; {} takes over", before.name, after.name));
        let killed = Instant::now();
        owner.process.kill()?;
        self.killed.set(Some(index));
        let mut accepted = Accepted::default();
        let what = format!("{} to own {} and to have audited it", after.name, places[0].name);
        let session = self.wait(&what, || {
            let asked = Instant::now();
            let session = status(other).and_then(|status| session(&status, &places[0].name).cloned());
            Ok(session
                .inspect(|session| accepted.hear(asked, session))
                .filter(is_settled))
        })?;
        let repointed = self.see(&mut broadcast, &after)?;
        let differences = one.snapshot()?.since(&found);
        let rewritten = rewritten(&differences, [&before.tsn, &after.tsn]);
        if !rewritten.is_empty() {
            let what = format!("the takeover by {}", after.name);
            return Err(Error::failed(
                what,
                format!("it rewrote what was right, in {rewritten:?}"),
            ));
        }

        let second_trip = self.travel(HOSTS[1], &places, &one, &mut routes)?;
        self.saw(|route| route.after = true);
        // What was said of the first MAC came before what was said of the second.
        let is_there = |routes: &Routes| watch::is_behind(routes, HOSTS[0], &places[0].vtep);
        self.wait(&format!("{} to be in {} again", HOSTS[0], places[1].name), || {
            Ok(routes.now()?.is_some_and(is_there).then_some(()))
        })?;

        let ms = |at: Instant| at.saturating_duration_since(killed).as_secs_f64() * 1000.0;
        let session_ms = ms(accepted.at.unwrap_or(killed));
        let step = |ms: Option<f64>| session_ms + ms.unwrap_or_default();
        let takeover = session.takeover_ms;
        let gaps = routes.gaps(killed, is_there).into_iter();
        Ok(Report {
            options: self.options,
            switches: places,
            before,
            after,
            owns_other: second != index,
            travels: Travels {
                before: first_trip,
                gaps: gaps
                    .map(|[from, to]| Gap {
                        from: ms(from),
                        to: ms(to),
                    })
                    .collect(),
                after: second_trip,
            },
            impact: Impact {
                session: session_ms,
                broadcast: ms(repointed),
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

    /// Which agent owns each switch and has nothing left to do, if all control nodes have told both agents everything.
    fn owners(&self, switches: &[Place; 2]) -> Option<[usize; 2]> {
        let statuses = self.parts.agents().each_ref().map(status);
        let sessions = |switch: &Place| {
            let session = |agent: &Option<_>| session(agent.as_ref()?, &switch.name).cloned();
            statuses.each_ref().map(session)
        };
        let sessions = switches.each_ref().map(sessions);
        let macs = self.options.macs as usize;
        let done = |session: &SessionStatus| session.rows_remote.min(macs);
        let programmed = sessions
            .iter()
            .map(|of| of.iter().flatten().map(done).max().unwrap_or(0));
        self.progress.step(format!(
            "Programming the switches: {} of {} remote MACs",
            programmed.sum::<usize>(),
            macs * switches.len()
        ));
        let heard = |status: &Option<_>| status.as_ref().is_some_and(|it| has_heard(it, CONTROL_NODES.into()));
        if !statuses.iter().all(heard) {
            return None;
        }
        let owner = |of: &[Option<SessionStatus>; 2]| {
            let owns = |session: &SessionStatus| is_settled(session) && session.rows_remote == macs;
            of.iter().position(|session| session.as_ref().is_some_and(owns))
        };
        let [one, two] = sessions.each_ref().map(owner);
        Some([one?, two?])
    }

    /// A host speaks behind one switch; waits until the other knows where it is.
    fn travel(&self, mac: &str, [from, to]: &[Place; 2], switch: &Remote, routes: &mut Eye<Routes>) -> Result<Trip> {
        let (one, two, vtep) = (&from.name, &to.name, &from.vtep);
        self.progress
            .step(format!("A host speaks behind {one}: {mac} is on its way to {two}"));
        // It may have arrived before the switch's answer is here.
        let learned = Instant::now();
        switch.learn(&self.logical_switch, mac, vtep)?;
        let what = format!("{mac}, which {one} has learned, to be in Ucast_Macs_Remote of {two} behind {vtep}");
        let arrived = self.wait(&what, || routes.first(|routes| watch::is_behind(routes, mac, vtep)))?;
        Ok(Trip {
            mac: mac.into(),
            ms: arrived.saturating_duration_since(learned).as_secs_f64() * 1000.0,
        })
    }

    /// The first moment at which the database showed the broadcast rows at this agent's services node.
    fn see(&self, broadcast: &mut Eye<BroadcastRows>, agent: &Party) -> Result<Instant> {
        let what = format!("the broadcast row at {}, in the switch's database", agent.tsn);
        self.wait(&what, || broadcast.first(|rows| watch::all_at(rows, &agent.tsn)))
    }

    fn saw(&self, what: impl FnOnce(&mut Route)) {
        let mut seen = self.seen.get();
        what(&mut seen);
        self.seen.set(seen);
    }

    /// Polls, unless Ctrl-C is pressed, or something ends that should run.
    fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        self.parts.scratch().wait_until(what, self.patience(), || {
            if self.interrupt.pressed() {
                return Some(Err(Error::failed(format!("wait for {what}"), "Ctrl-C")));
            }
            self.all_live().and_then(|()| condition()).transpose()
        })?
    }

    /// Generous: it guards against hanging, nothing else.
    fn patience(&self) -> Duration {
        Duration::from_secs(60 + u64::from(self.options.macs) / 100)
    }

    /// Fails if an agent or a control node that should run has ended.
    fn all_live(&self) -> Result<()> {
        let agents = self.parts.agents().iter().enumerate();
        let agents = agents
            .filter(|(index, _)| self.killed.get() != Some(*index))
            .map(|(_, agent)| (&agent.options().agent.name, &agent.process));
        let nodes = self.parts.control_nodes().iter();
        let nodes = nodes.map(|node| (&node.options().control.name, &node.process));
        for (name, process) in agents.chain(nodes) {
            if let Some(status) = process.exited() {
                return Err(Error::failed(format!("run {name}"), status));
            }
        }
        Ok(())
    }
}

fn party(agent: &Agent) -> Party {
    let section = &agent.options().agent;
    Party {
        name: section.name.clone(),
        tsn: section.tsn_ip.to_string(),
    }
}

/// A deadline shows the ends of all logs, which are kept in whole.
fn without_logs(error: &Error) -> String {
    match error {
        Error::Deadline { what, seconds, .. } => format!("Waited {seconds} s in vain for {what}"),
        other => other.to_string(),
    }
}

//! The demo itself, with real or emulated parts.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use tandem_core::status::SessionStatus;

use super::engine::Parts;
use super::owner::{Accepted, has_all_routes, is_complete, session, status};
use super::report::{Gap, Impact, Party, Place, Report, Route, Steps, Travels, Trip};
use super::untouched::rewritten;
use super::watch::{self, BroadcastRows, Routes, Watch};
use super::{Failure, Interrupt, Options, Progress};
use tandem_lab::agent::RemoteMac;
use tandem_lab::snapshot::Difference;
use tandem_lab::switch::remote_mac;
use tandem_lab::{Agent, Error, PairOptions, Remote, Result, pair};

/// The MAC of a host that appears before the failure, and of one that appears afterwards.
const HOSTS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// The number of each.
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
    /// Tunnel ends that the remote MACs are behind.
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
    /// The logical switch of the only network.
    logical_switch: String,
    /// What was seen of the routes so far.
    seen: Cell<Route>,
    /// Which agent was killed.
    killed: Cell<Option<usize>>,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
}

/// What the demo watches, and what it found before the kill.
struct Scene {
    places: [Place; 2],
    switches: [Remote; 2],
    /// Which agent owns each switch.
    owners: [usize; 2],
    /// The agent that is killed, and the other one.
    before: Party,
    after: Party,
    /// The broadcast rows of the first switch.
    broadcast: Watch<BroadcastRows>,
    /// Where the second switch sends frames for the hosts.
    routes: Watch<Routes>,
}

/// When the steps of the takeover were seen.
struct Takeover {
    killed: Instant,
    accepted: Instant,
    repointed: Instant,
    /// The session of the new owner, at its end.
    session: SessionStatus,
}

impl Takeover {
    /// Milliseconds since the kill.
    fn ms(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.killed).as_secs_f64() * 1000.0
    }

    /// The same of a step of the session, which counts from its start.
    fn step(&self, ms: Option<f64>) -> f64 {
        self.ms(self.accepted) + ms.unwrap_or_default()
    }
}

impl Demo<'_> {
    fn fail_over(&self) -> Result<Report> {
        let mut scene = self.scene()?;
        let first_trip = self.travel(HOSTS[0], &mut scene)?;
        self.saw(|route| route.before = true);
        let found = scene.switches[0].snapshot()?;

        let takeover = self.kill_the_owner(&mut scene)?;
        let differences = scene.switches[0].snapshot()?.since(&found);
        left_alone(&differences, &scene)?;

        let second_trip = self.travel(HOSTS[1], &mut scene)?;
        self.saw(|route| route.after = true);
        self.wait_for_the_first_host(&mut scene)?;
        Ok(self.report(scene, &takeover, [first_trip, second_trip], &differences))
    }

    /// Waits until both switches are owned and complete, and begins to watch them.
    fn scene(&self) -> Result<Scene> {
        let places = [1, 2].map(|number| Place {
            name: pair::switch_name(number),
            vtep: pair::tunnel_ip(number).to_string(),
        });
        let switches: [Remote; 2] = self
            .parts
            .switches()
            .try_into()
            .map_err(|_| Error::failed("find two switches", "the lab has others"))?;
        let what = "agents that own both switches and have audited them";
        let owners = self.wait(what, || Ok(self.owners(&places)))?;
        let [before, after] = [owners[0], 1 - owners[0]].map(|index| party(&self.parts.agents()[index]));
        let mut scene = Scene {
            broadcast: watch::broadcast_rows(&switches[0])?,
            routes: watch::routes(&switches[1], &HOSTS)?,
            places,
            switches,
            owners,
            before,
            after,
        };
        self.repointed(&mut scene.broadcast, &scene.before)?;
        Ok(scene)
    }

    /// Kills the owner of the first switch, and waits until the other agent has taken it over.
    fn kill_the_owner(&self, scene: &mut Scene) -> Result<Takeover> {
        let (index, switch) = (scene.owners[0], &scene.places[0].name);
        let (before, after) = (&scene.before.name, &scene.after.name);
        self.progress.step(format!("Killing {before}; {after} takes over"));
        let [owner, other] = [index, 1 - index].map(|index| &self.parts.agents()[index]);
        let killed = Instant::now();
        owner.process.kill()?;
        self.killed.set(Some(index));
        let mut accepted = Accepted::default();
        let what = format!("{after} to own {switch} and to have audited it");
        let session = self.wait(&what, || {
            let requested = Instant::now();
            let session = status(other).and_then(|status| session(&status, switch).cloned());
            Ok(session
                .inspect(|session| accepted.observe(requested, session))
                .filter(is_complete))
        })?;
        Ok(Takeover {
            killed,
            accepted: accepted.at.unwrap_or(killed),
            repointed: self.repointed(&mut scene.broadcast, &scene.after)?,
            session,
        })
    }

    /// The route of the second host was sent after that of the first: now the first must be there, too.
    fn wait_for_the_first_host(&self, scene: &mut Scene) -> Result<()> {
        let Scene { places, routes, .. } = scene;
        let what = format!("{} to be in {} again", HOSTS[0], places[1].name);
        self.wait(&what, || {
            let there = routes.now()?.is_some_and(|routes| first_host_is_there(routes, places));
            Ok(there.then_some(()))
        })
    }

    fn report(&self, scene: Scene, takeover: &Takeover, trips: [Trip; 2], differences: &[Difference]) -> Report {
        let gaps = scene
            .routes
            .gaps(takeover.killed, |routes| first_host_is_there(routes, &scene.places));
        let [before, after] = trips;
        let steps = takeover.session.takeover_ms;
        let broadcast_rows = differences.iter().filter(|it| it.table == "Mcast_Macs_Remote");
        Report {
            options: self.options,
            owns_other: scene.owners[1] != scene.owners[0],
            travels: Travels {
                before,
                gaps: gaps
                    .into_iter()
                    .map(|[from, to]| Gap {
                        from: takeover.ms(from),
                        to: takeover.ms(to),
                    })
                    .collect(),
                after,
            },
            impact: Impact {
                session: takeover.ms(takeover.accepted),
                broadcast: takeover.ms(takeover.repointed),
                audited: takeover.step(steps.audited),
            },
            steps: Steps {
                tls: takeover.step(steps.tls),
                locked: takeover.step(steps.locked),
                read: takeover.step(steps.read),
            },
            broadcast_rows: broadcast_rows.count(),
            rows_rewritten: rewritten(differences, services_nodes(&scene)).len(),
            switches: scene.places,
            before: scene.before,
            after: scene.after,
        }
    }

    /// Which agent owns each switch and has nothing left to do, if both agents have every route of all control nodes.
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
        let has_routes = |status: &Option<_>| {
            status
                .as_ref()
                .is_some_and(|it| has_all_routes(it, CONTROL_NODES.into()))
        };
        if !statuses.iter().all(has_routes) {
            return None;
        }
        let owner = |of: &[Option<SessionStatus>; 2]| {
            let owns = |session: &SessionStatus| is_complete(session) && session.rows_remote == macs;
            of.iter().position(|session| session.as_ref().is_some_and(owns))
        };
        let [one, two] = sessions.each_ref().map(owner);
        Some([one?, two?])
    }

    /// A host sends its first frame behind the first switch; waits until the other has its MAC.
    fn travel(&self, mac: &str, scene: &mut Scene) -> Result<Trip> {
        let [from, to] = &scene.places;
        let (one, two, vtep) = (&from.name, &to.name, &from.vtep);
        self.progress
            .step(format!("A host appears behind {one}: {mac} is on its way to {two}"));
        // It may have arrived before the switch's answer is here.
        let learned = Instant::now();
        scene.switches[0].learn(&self.logical_switch, mac, vtep)?;
        let what = format!("{mac}, which {one} has learned, to be in Ucast_Macs_Remote of {two} behind {vtep}");
        let routes = &mut scene.routes;
        let arrived = self.wait(&what, || routes.first(|routes| watch::is_behind(routes, mac, vtep)))?;
        Ok(Trip {
            mac: mac.into(),
            ms: arrived.saturating_duration_since(learned).as_secs_f64() * 1000.0,
        })
    }

    /// The first moment at which the database showed the broadcast rows at this agent's services node.
    fn repointed(&self, broadcast: &mut Watch<BroadcastRows>, agent: &Party) -> Result<Instant> {
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

fn first_host_is_there(routes: &Routes, places: &[Place; 2]) -> bool {
    watch::is_behind(routes, HOSTS[0], &places[0].vtep)
}

fn services_nodes(scene: &Scene) -> [&str; 2] {
    [&scene.before.tsn, &scene.after.tsn]
}

/// Fails if the takeover rewrote rows that were right.
fn left_alone(differences: &[Difference], scene: &Scene) -> Result<()> {
    let rewritten = rewritten(differences, services_nodes(scene));
    if rewritten.is_empty() {
        return Ok(());
    }
    let what = format!("the takeover by {}", scene.after.name);
    Err(Error::failed(
        what,
        format!("it rewrote rows that were right, in {rewritten:?}"),
    ))
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
        Error::Deadline { what, seconds, .. } => format!("Gave up after {seconds} s of waiting for {what}"),
        other => other.to_string(),
    }
}

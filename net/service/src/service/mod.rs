//! The agent as a process: its ports, its signals, its files, and the machine in the middle. So is the control node, in
//! [`control`].

pub mod control;
mod handle;
mod ports;
mod watchdog;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_core::Generation;
use tandem_core::agent::Agent;
use tandem_core::agent::pair::Word;
use tandem_core::bounds::ANNOUNCE;
use tandem_core::configuration::Configuration;
use tandem_core::health::Grade;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;
use tracing::{error, info, warn};

use crate::config::{self, AgentConfig, LoadError, Peer, Problems};
use crate::driver::agent::{Arrived, Driver};
use crate::driver::env::TokioEnv;
use crate::driver::message::Message;
use crate::health::Announcements;
use crate::listen::{ListenOptions, Listener};
use crate::metrics::Counters;
use crate::peer;
use crate::tls::{Acceptor, TlsError};
use crate::xmpp::TcpDialer;
use handle::Handle;

/// How often the certificate files are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// How long proxies have for hearing of a drain: a little less than the agent waits for that at most, so that whoever did
/// not is named before it goes on, and is gone perhaps.
const HEARD: Duration = ANNOUNCE.saturating_sub(Duration::from_millis(100));

/// Problems of a file that the log names one by one.
const PROBLEMS: usize = 10;

/// Runs the agent until it is drained.
///
/// # Errors
/// A port cannot be opened, or the agent's task died by a bug: then nothing was handed over.
pub async fn run(path: PathBuf, mut config: AgentConfig, acceptor: Arc<Acceptor>) -> io::Result<()> {
    let env = TokioEnv::begin();
    let generation = first_generation();
    let configuration = Arc::new(config.configuration.clone());
    let agent = Agent::new(Arc::clone(&configuration), generation);
    let uplinks = config.uplink_options(generation.0);
    let agent = match &uplinks {
        Some(uplinks) => agent.with_uplinks(uplinks.clone()),
        None => agent,
    };
    let agent = match &config.peer {
        Some(_) => agent.with_peer(),
        None => agent,
    };
    let uplink_tls = config.uplink_tls().map(watch::Sender::new);
    let dialer = TcpDialer::new(uplink_tls.as_ref().map(watch::Sender::subscribe)).map_err(io::Error::other)?;
    let (driver, messages, mut grade) = Driver::new(env, agent, dialer);
    let words = driver.words();
    let mut signals = Signals::catch()?;
    let handle = Arc::new(Handle {
        messages: messages.clone(),
        grade: grade.clone(),
        steps: driver.steps(),
    });
    let counters = Arc::new(Counters::default());
    let announcements = Arc::new(Announcements::default());
    ports::open_health(&config.listen, &handle, &announcements)?;
    ports::open_http("[listen] http", config.listen.http, &handle, &counters)?;
    let (arrivals, arriving) = mpsc::channel(1);
    let mut running = tokio::spawn(driver.run(arriving));
    counters.certificate("agent", acceptor.not_after());
    tokio::spawn(announce(grade.clone(), announcements, messages.clone()));
    if let Some(probe) = config.probe.clone() {
        tokio::spawn(probe.run(messages.clone()));
    }
    let name = config.configuration.session.agent.clone();
    let peer_acceptor = match config.peer.clone() {
        Some(peer) => Some(open_peer(peer, &name, words, &messages, &counters)?),
        None => None,
    };
    match &uplinks {
        Some(uplinks) => {
            let nodes = &uplinks.nodes;
            info!(target: "tandem", "Started: agent {name} waits for what control nodes tell: {nodes:?}");
            watchdog::ready();
        }
        None => drop(messages.send(Message::Configure(configuration)).await),
    }
    tokio::spawn(watchdog::feed(Arc::clone(&handle)));
    let mut look = tokio::time::interval(CERTIFICATES);
    // Until the agent has been fit: a switch that came earlier would find nobody who could claim it.
    let mut closed = Some(arrivals);
    loop {
        tokio::select! {
            ended = &mut running => {
                ended.map_err(io::Error::other)?;
                break;
            }
            Ok(_) = grade.wait_for(|grade| *grade == Grade::Fit), if closed.is_some() => {
                if let Some(arrivals) = closed.take() {
                    open_door(&config, &acceptor, &counters, env, arrivals)?;
                }
                info!(target: "tandem", "Started: agent {name} at {}", config.listen.ovsdb);
                watchdog::ready();
            }
            _ = signals.reload.recv() => {
                let read = reload(&path, &mut config, &acceptor, &counters).await;
                if let (Some(current), Some(new)) = (&uplink_tls, config.uplink_tls()) {
                    current.send_replace(new);
                }
                // What is wanted comes from one place.
                if let Some(configuration) = read.filter(|_| uplinks.is_none()) {
                    let _ = messages.send(Message::Configure(configuration)).await;
                }
            }
            _ = look.tick() => {
                let peer = peer_acceptor.iter().map(|acceptor| (acceptor, "peer"));
                for (acceptor, whose) in std::iter::once((&acceptor, "agent")).chain(peer) {
                    if acceptor.changed() {
                        let outcome = acceptor.reload().map_err(|error| match whose {
                            "peer" => error.with_ca_of(whose),
                            _ => error,
                        });
                        reload_certificates(&outcome, acceptor, &counters, whose);
                    }
                }
            }
            _ = signals.drain.recv() => drain(&messages).await,
            _ = signals.interrupt.recv() => drain(&messages).await,
        }
    }
    info!(target: "tandem", "Stopped: every switch is let go");
    Ok(())
}

/// Opens the port for switches.
fn open_door(
    config: &AgentConfig,
    acceptor: &Arc<Acceptor>,
    counters: &Counters,
    env: TokioEnv,
    arrivals: mpsc::Sender<Arrived<TlsStream<TcpStream>>>,
) -> io::Result<()> {
    let options = ListenOptions {
        proxy_protocol: config.listen.proxy_protocol,
        ..ListenOptions::default()
    };
    let mut listener = Listener::bind(config.listen.ovsdb, Arc::clone(acceptor), options)?;
    counters.opened(listener.counters());
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let arrived = Arrived {
                stream: accepted.stream,
                peer: accepted.peer,
                accepted_at: env.time(accepted.accepted_at),
            };
            if arrivals.send(arrived).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Opens the port for the other agent of the pair, and dials it.
fn open_peer(
    peer: Peer,
    name: &str,
    words: watch::Receiver<Option<Word>>,
    messages: &mpsc::Sender<Message>,
    counters: &Counters,
) -> io::Result<Arc<Acceptor>> {
    let acceptor = Arc::new(Acceptor::load(&peer.tls).map_err(|error| io::Error::other(error.with_ca_of("peer")))?);
    counters.certificate("peer", acceptor.not_after());
    peer::listen(peer.listen, Arc::clone(&acceptor), name.into(), messages.clone())?;
    tokio::spawn(peer::dial(peer, name.into(), words));
    Ok(acceptor)
}

fn first_generation() -> Generation {
    generation_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Generations of an earlier life of this agent are lower: it had fewer sessions than microseconds.
fn generation_at(since_1970: Duration) -> Generation {
    Generation(u64::try_from(since_1970.as_micros()).unwrap_or_default())
}

struct Signals {
    reload: Signal,
    drain: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            drain: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn drain(messages: &mpsc::Sender<Message>) {
    watchdog::stopping();
    let _ = messages.send(Message::Drain).await;
}

/// When the agent drains, waits until every proxy has heard of it.
async fn announce(
    mut grade: watch::Receiver<Grade>,
    announcements: Arc<Announcements>,
    messages: mpsc::Sender<Message>,
) {
    if grade.wait_for(|grade| *grade == Grade::Draining).await.is_err() {
        return;
    }
    if let Err(untold) = announcements.everyone_told(Grade::Draining, HEARD).await {
        warn!(target: "tandem", "Draining: {untold:?} did not ask in {HEARD:?}; going on");
    }
    let _ = messages.send(Message::Announced).await;
}

/// Reads the configuration again, and answers it. What is wrong with it changes nothing.
async fn reload(
    path: &Path,
    config: &mut AgentConfig,
    acceptor: &Acceptor,
    counters: &Counters,
) -> Option<Arc<Configuration>> {
    let new = read_again(config::load(path))?;
    // All or nothing: with wrong certificates the rest of the file stays out, too.
    if !reload_certificates(&acceptor.replace(&new.tls), acceptor, counters, "agent") {
        return None;
    }
    for name in config.reload(new) {
        warn!(target: "tandem", "Reload: {name} changes with a new start only");
    }
    info!(target: "tandem", "Reload: {} is read", path.display());
    Some(Arc::new(config.configuration.clone()))
}

/// What was read again; the log says what is wrong with it.
fn read_again<T>(loaded: Result<T, LoadError>) -> Option<T> {
    match loaded {
        Ok(read) => return Some(read),
        Err(LoadError::Wrong(problems)) => complain(&problems),
        Err(problem @ LoadError::Unreadable { .. }) => {
            error!(target: "tandem", "Reload: {problem}; everything stays as it was");
        }
    }
    None
}

fn complain(problems: &Problems) {
    for problem in problems.iter().take(PROBLEMS) {
        let (file, at, message) = (problem.file(), problem.location(), problem.message());
        error!(target: "tandem", "Reload: {file}:{}:{}: {message}", at.line, at.column);
    }
    let count = problems.iter().count();
    error!(target: "tandem", "Reload: {count} problems; everything stays as it was; `tandem check` shows them");
}

/// Says what became of the certificates. Answers whether they are right.
fn reload_certificates(
    outcome: &Result<bool, TlsError>,
    acceptor: &Acceptor,
    counters: &Counters,
    whose: &str,
) -> bool {
    match outcome {
        Ok(true) => {
            counters.certificate(whose, acceptor.not_after());
            info!(target: "tandem", "Reload: new certificates; open sessions keep theirs");
        }
        Ok(false) => {}
        Err(problem) => warn!(target: "tandem", "Reload: {problem}; everything stays as it was"),
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_life_with_a_thousand_sessions_numbers_them_lower_than_the_next_life() {
        let born = Duration::from_secs(1_800_000_000);
        let last_session = generation_at(born).0 + 1000;
        assert!(last_session < generation_at(born + Duration::from_millis(100)).0);
    }

    #[test]
    fn generations_are_exact_in_json_readers_that_know_only_floating_point() {
        let in_a_century = generation_at(Duration::from_secs(5_000_000_000));
        assert!(in_a_century.0 < 1 << 53);
    }
}

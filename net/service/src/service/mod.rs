//! The agent as a process: its ports, its signals, its files, and the machine in the middle. The control node as a
//! process is in [`control`].

mod certificates;
pub mod control;
mod handle;
mod ports;
mod reload;
mod watchdog;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_core::Generation;
use tandem_core::agent::{Agent, PeerReport};
use tandem_core::bounds::ANNOUNCE;
use tandem_core::health::Grade;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;

use crate::config::AgentConfig;
use crate::driver::agent::{Arrived, Driver};
use crate::driver::env::TokioEnv;
use crate::driver::log;
use crate::driver::message::Message;
use crate::event::ServiceEvent;
use crate::files;
use crate::health::{Announcements, Looks};
use crate::listen::{ListenOptions, Listener};
use crate::logging;
use crate::memory::Memory;
use crate::metrics::Counters;
use crate::own_name;
use crate::peer;
use crate::tls::{Acceptor, Peers, Settings};
use crate::xmpp::TcpDialer;
use certificates::{AGENT, CONTROL_CA, PEER};
use handle::Handle;

/// How often the certificate files are checked for changes.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// How long a drain waits for proxies to poll: a little less than the agent's own limit, so that the log names those that
/// did not before the drain continues.
const FETCHED: Duration = ANNOUNCE.saturating_sub(Duration::from_millis(100));

/// Runs the agent until it is drained.
///
/// # Errors
/// A port cannot be opened, or the agent's task panicked: then no switch was handed over.
pub async fn run(path: PathBuf, config: AgentConfig, acceptor: Arc<Acceptor>) -> io::Result<()> {
    let env = TokioEnv::begin();
    let uplink_tls = config.uplink_tls().map(watch::Sender::new);
    let dialer = TcpDialer::new(uplink_tls.as_ref().map(watch::Sender::subscribe)).map_err(io::Error::other)?;
    let (driver, messages, mut grade) = Driver::new(env, machine(&config), dialer.clone());
    let memory = config.uplinks.as_ref().and_then(Memory::of);
    let driver = match &memory {
        Some(memory) => driver.with_keeper(memory.clone().keep(log::event)),
        None => driver,
    };
    let words = driver.reports();
    let mut pins = driver.pins();
    files::raise_limit();
    let mut signals = Signals::catch()?;
    let handle = Arc::new(Handle {
        messages: messages.clone(),
        grade: grade.clone(),
        steps: driver.steps(),
        looks: Looks::default(),
    });
    let (arrivals, arriving) = mpsc::channel(1);
    let counters = Arc::new(Counters::of(&config.configuration.session.agent));
    counters.timed(driver.timings());
    let mut process = Process {
        path,
        config,
        env,
        acceptor,
        peer_acceptor: None,
        uplink_tls,
        dialer,
        watch: certificates::Watch::default(),
        counters,
        messages,
        arrivals: Some(arrivals),
    };
    process.open_ports(&handle)?;
    process.open_peer(words)?;
    process.start_probe();
    // Before the first dial: what is remembered decides which control nodes are outdated.
    process.configure(memory).await;
    let mut running = tokio::spawn(driver.run(arriving));
    tokio::spawn(watchdog::feed(handle));
    let mut look = tokio::time::interval(CERTIFICATES);
    loop {
        tokio::select! {
            ended = &mut running => {
                ended.map_err(io::Error::other)?;
                break;
            }
            Ok(_) = grade.wait_for(|grade| grade.may_own()), if process.arrivals.is_some() => {
                process.open_to_switches()?;
            }
            Ok(()) = pins.changed() => process.acceptor.pin(pins.borrow_and_update().clone()),
            _ = signals.reload.recv() => process.reload().await,
            _ = look.tick() => process.look_at_certificates(),
            _ = signals.drain.recv() => process.drain().await,
            _ = signals.interrupt.recv() => process.drain().await,
            _ = signals.log.recv() => log_debug_lines(),
        }
    }
    log::event(&ServiceEvent::Stopped {
        done: "all switches are released",
    });
    Ok(())
}

/// The agent's machine, as configured.
fn machine(config: &AgentConfig) -> Agent {
    let generation = first_generation();
    let agent = Agent::new(Arc::new(config.configuration.clone()), generation);
    let agent = match config.uplink_options(generation.0) {
        Some(uplinks) => agent.with_uplinks(uplinks),
        None => agent,
    };
    match &config.peer {
        Some(_) => agent.with_peer(),
        None => agent,
    }
}

/// The parts of a running agent besides its task.
struct Process {
    path: PathBuf,
    config: AgentConfig,
    env: TokioEnv,
    acceptor: Arc<Acceptor>,
    /// For the port of the link to the other agent of the pair.
    peer_acceptor: Option<Arc<Acceptor>>,
    /// The TLS settings of streams to control nodes, if they use TLS.
    uplink_tls: Option<watch::Sender<Settings>>,
    /// Shares its certificates with the agent's task.
    dialer: TcpDialer,
    watch: certificates::Watch,
    counters: Arc<Counters>,
    messages: mpsc::Sender<Message>,
    /// Until the agent is configured: before that no session could claim a switch, so none is accepted.
    arrivals: Option<mpsc::Sender<Arrived<TlsStream<TcpStream>>>>,
}

impl Process {
    /// Opens the ports for proxies, status and metrics.
    fn open_ports(&self, handle: &Arc<Handle>) -> io::Result<()> {
        self.counters.reloaded(Ok(Vec::new()), SystemTime::now());
        let announcements = Arc::new(Announcements::default());
        ports::open_health(&self.config.listen, handle, &announcements)?;
        ports::open_http("[listen] http", self.config.listen.http, handle, &self.counters)?;
        certificates::measure(&self.counters, AGENT, &self.acceptor);
        ports::open_orders("[listen] orders", &self.config.listen.orders, self.name(), handle)?;
        tokio::spawn(announce(handle.grade.clone(), announcements, self.messages.clone()));
        Ok(())
    }

    /// Opens the link to the other agent of the pair, if configured: listens, and dials.
    fn open_peer(&mut self, words: watch::Receiver<Option<PeerReport>>) -> io::Result<()> {
        let Some(peer) = self.config.peer.clone() else {
            return Ok(());
        };
        let name = self.name().to_owned();
        let acceptor = Arc::new(Acceptor::load_for(Peers::Pair, &peer.tls).map_err(io::Error::other)?);
        certificates::measure(&self.counters, PEER, &acceptor);
        let identities = peer::Identities {
            own: name.clone(),
            peer: peer.certificates.clone(),
        };
        peer::listen(peer.listen, Arc::clone(&acceptor), identities, self.messages.clone())?;
        tokio::spawn(peer::dial(peer, name, words));
        self.peer_acceptor = Some(acceptor);
        Ok(())
    }

    fn start_probe(&self) {
        if let Some(probe) = self.config.probe.clone() {
            tokio::spawn(probe.run(self.messages.clone()));
        }
    }

    /// Sends the agent its configuration, unless control nodes do.
    async fn configure(&self, memory: Option<Memory>) {
        match &self.config.uplinks {
            Some(uplinks) => {
                let read = memory.map(|memory| memory.read(&self.config.configuration.session));
                let (content, event) = read.unwrap_or_default();
                event.iter().for_each(log::event);
                if let Some((configuration, revision)) = content {
                    let _ = self.messages.send(Message::Remembered(configuration, revision)).await;
                }
                log::event(&ServiceEvent::AwaitingConfiguration {
                    agent: self.name().to_owned(),
                    nodes: uplinks.nodes.clone(),
                });
                watchdog::ready();
            }
            None => self.send_configuration().await,
        }
    }

    async fn send_configuration(&self) {
        let configuration = Arc::new(self.config.configuration.clone());
        let _ = self.messages.send(Message::Configure(configuration)).await;
    }

    /// Opens the port for switches.
    fn open_to_switches(&mut self) -> io::Result<()> {
        let Some(arrivals) = self.arrivals.take() else {
            return Ok(());
        };
        let options = ListenOptions {
            proxy_protocol: self.config.listen.proxy_protocol,
            ..ListenOptions::default()
        };
        let listener = Listener::bind(self.config.listen.ovsdb, Arc::clone(&self.acceptor), options)?;
        self.counters.opened(listener.counters());
        tokio::spawn(notify_failed(listener.failed(), self.messages.clone()));
        tokio::spawn(accept(listener, self.env, arrivals));
        log::event(&ServiceEvent::Serving {
            what: "agent",
            name: self.name().to_owned(),
            address: self.config.listen.ovsdb,
        });
        watchdog::ready();
        Ok(())
    }

    /// Reads the configuration file again. An invalid file changes nothing.
    async fn reload(&mut self) {
        watchdog::reloading();
        let outcome = reload::agent(&self.path, &mut self.config, &self.acceptor, &self.counters);
        let is_successful = outcome.is_ok();
        self.counters.reloaded(outcome, SystemTime::now());
        watchdog::reloaded(is_successful);
        if !is_successful {
            return;
        }
        if let (Some(current), Some(new)) = (&self.uplink_tls, self.config.uplink_tls()) {
            current.send_replace(new);
        }
        // The networks come from one source: this file, or control nodes.
        if self.config.uplinks.is_none() {
            self.send_configuration().await;
        }
    }

    /// Reads the certificates whose files have changed, and logs what is wrong with those in force.
    fn look_at_certificates(&mut self) {
        let acceptors = [(Some(&self.acceptor), AGENT), (self.peer_acceptor.as_ref(), PEER)];
        let mut findings = Vec::new();
        for (acceptor, names) in acceptors {
            let Some(acceptor) = acceptor else { continue };
            if acceptor.changed() {
                // The log has the reason; the old ones stay in force.
                let _ = reload::certificates(&acceptor.reload(), acceptor, &self.counters, names);
            }
            findings.extend(acceptor.findings());
        }
        if let Some(connector) = self.dialer.refresh() {
            self.counters.certificate(CONTROL_CA, connector.authorities_not_after());
            findings.extend(connector.findings());
        }
        self.watch.look(findings, Instant::now());
        let misnamed = own_name::agent(&self.config, &self.acceptor.certificate());
        self.watch.look_at_names(misnamed);
    }

    async fn drain(&self) {
        watchdog::stopping();
        let _ = self.messages.send(Message::Drain).await;
    }

    fn name(&self) -> &str {
        &self.config.configuration.session.agent
    }
}

/// Accepts switches until the agent is gone.
/// Notifies the agent of failed handshakes, until the listener or the agent is gone.
async fn notify_failed(mut failed: watch::Receiver<u64>, agent: mpsc::Sender<Message>) {
    while failed.changed().await.is_ok() {
        if agent.send(Message::HandshakeFailed).await.is_err() {
            return;
        }
    }
}

async fn accept(mut listener: Listener, env: TokioEnv, arrivals: mpsc::Sender<Arrived<TlsStream<TcpStream>>>) {
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
}

fn first_generation() -> Generation {
    generation_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Generations of an earlier process of this agent are lower: it had fewer sessions than microseconds.
fn generation_at(since_1970: Duration) -> Generation {
    Generation(u64::try_from(since_1970.as_micros()).unwrap_or_default())
}

/// Signals that end a process unless they are caught, and have no meaning here: USR2, STKFLT, IO, PWR, the timers, and
/// those of real time.
const IGNORED: [i32; 7] = [12, 14, 16, 26, 27, 29, 30];
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// SIGUSR1: debug lines on, or off again.
fn log_debug_lines() {
    if let Some(directives) = logging::toggle_debug() {
        log::event(&ServiceEvent::LogLevelChanged { directives });
    }
}

struct Signals {
    reload: Signal,
    drain: Signal,
    interrupt: Signal,
    log: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        for number in IGNORED.into_iter().chain(REAL_TIME) {
            // Caught for as long as the process runs.
            drop(signal(SignalKind::from_raw(number))?);
        }
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            drain: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            log: signal(SignalKind::user_defined1())?,
        })
    }
}

/// Whenever the agent drains, waits until each proxy has polled it.
async fn announce(
    mut grade: watch::Receiver<Grade>,
    announcements: Arc<Announcements>,
    messages: mpsc::Sender<Message>,
) {
    while grade.wait_for(|grade| *grade == Grade::Draining).await.is_ok() {
        if let Err(pending) = announcements.wait_for(Grade::Draining, FETCHED).await {
            log::event(&ServiceEvent::AnnouncementMissed {
                proxies: format!("{pending:?}"),
                after: FETCHED,
            });
        }
        let _ = messages.send(Message::Announced).await;
        if grade.wait_for(|grade| *grade != Grade::Draining).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_process_with_a_thousand_sessions_numbers_them_lower_than_the_next_process() {
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

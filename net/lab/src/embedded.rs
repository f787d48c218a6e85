//! A pair that needs no program but Tandem: its switches and its proxy are the simulator's models, on real sockets.
//!
//! They are tasks of this process and die with it. Agents and control nodes are processes all the same, for they are to be
//! killed.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::mpsc as channel;
use std::time::Duration;

use tandem_core::event::LogEvent;
use tandem_core::{ConnId, Time};
use tandem_sim::device::{self, Device, Physical};
use tandem_sim::plan;
use tandem_sim::proxy::{self, Proxy};
use tandem_sim::socket::Actor;
use tandem_sim::switch::{self, SchemaVersion};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::agent::Agent;
use super::control::ControlNode;
use super::haproxy::{Backend, Listen};
use super::pair::{self, PairOptions};
use super::pki::{Credentials, Pki};
use super::port::Loopback;
use super::remote::Remote;
use super::scratch::Scratch;
use super::{Error, Result};
use crate::actor::{Audience, Driver, Note, Tls};
use tandem_net::driver::env::TokioEnv;
use tandem_net::tls::{Acceptor, Connector, Settings};

/// As [`Pair`](super::Pair): two agents, a proxy, switches and control nodes, wired together on loopback addresses of their own.
pub struct EmbeddedPair {
    /// Where each switch, `tor1`, `tor2` ..., takes clients.
    pub switches: Vec<Remote>,
    /// `agent-a` and `agent-b`.
    pub agents: [Agent; 2],
    /// `control-1`, `control-2` ...
    pub control_nodes: Vec<ControlNode>,
    /// The folder of their files.
    pub scratch: Scratch,
    _models: Runtime,
    _loopback: Loopback,
}

/// Each switch has an address of its own, from this part of the loopback network on.
const SWITCHES: u8 = 100;

/// Where a switch takes clients.
const CLIENTS: u16 = 6659;

/// Guards against hanging.
const PATIENCE: Duration = Duration::from_secs(30);

impl EmbeddedPair {
    /// Starts control nodes, the agents, the proxy, then the switches; waits until all of them listen, not for a takeover.
    ///
    /// Of the options, the models know neither `schema` nor `proxy_protocol` nor `relays` nor `namespaces`.
    pub fn start(options: &PairOptions) -> Result<Self> {
        let scratch = Scratch::without_shell(&options.binary)?;
        let loopback = Loopback::claim()?;
        let pki = Pki::new(scratch.folder("pki")?)?;
        let models = Runtime::new().map_err(Error::io("start a runtime"))?;
        let control_nodes: Vec<ControlNode> = (1..=options.control_nodes)
            .map(|number| {
                let mut node = pair::control_node(options, number, &loopback, &pki)?;
                node.tether = Some(options.binary.clone());
                ControlNode::start(&scratch, &options.binary, node)
            })
            .collect::<Result<_>>()?;
        let start = |index: usize| {
            let mut agent = pair::agent(options, index, &loopback, &pki)?;
            agent.tether = Some(options.binary.clone());
            Agent::start(&scratch, &options.binary, agent)
        };
        let agents = [start(0)?, start(1)?];
        if options.serves {
            // A model starts faster than an agent.
            pair::wait_for_configuration(&scratch, &control_nodes, &agents)?;
        }
        let listens = pair::proxy(options, None, &loopback, &agents).listens;
        run(
            &models,
            &scratch,
            "proxy",
            Proxy::new(SEED, proxy_options(&listens)),
            None,
        )?;
        let managers: Vec<device::Manager> = listens.iter().map(|listen| manager(options, listen)).collect();
        let start = |number: u8| {
            let name = pair::switch_name(number);
            let at = SocketAddrV4::new(loopback.address(SWITCHES + number), loopback.port(CLIENTS));
            let device = device(number, at, managers.clone());
            run(&models, &scratch, &name, device, Some(tls(pki.issue(&name)?)?))?;
            Ok(Remote::Tcp(at.into()))
        };
        let switches = (1..=options.switches).map(start).collect::<Result<_>>()?;
        Ok(Self {
            switches,
            agents,
            control_nodes,
            scratch,
            _models: models,
            _loopback: loopback,
        })
    }
}

/// Decides uuids, and which tenth of a second the first health check is in.
const SEED: u64 = 1;

/// Set as the lab sets HAProxy.
fn proxy_options(listens: &[Listen]) -> proxy::Options {
    let server = |backend: &Backend| {
        let at = |port| SocketAddrV4::new(backend.address, port);
        proxy::Server {
            name: backend.name.clone(),
            at: at(backend.ovsdb),
            check_at: at(backend.health),
            agent_check_at: backend.agent_check.map(at),
            backup: backend.backup,
        }
    };
    let listen = |listen: &Listen| proxy::Listen {
        at: v4(listen.bind),
        servers: listen.backends.iter().map(server).collect(),
    };
    proxy::Options {
        proxy: plan::Proxy::default(),
        listens: listens.iter().map(listen).collect(),
        hard_stop_after: Duration::ZERO,
    }
}

fn manager(options: &PairOptions, listen: &Listen) -> device::Manager {
    device::Manager {
        target: format!("ssl:{}", listen.bind),
        max_backoff: options.max_backoff_ms,
        inactivity_probe: options.inactivity_probe_ms,
    }
}

fn device(number: u8, clients: SocketAddrV4, managers: Vec<device::Manager>) -> Device {
    let mut options = device::Options::new(switch::Options::new(SchemaVersion::V1_7_0));
    options.startup.physical = Some(Physical {
        name: pair::switch_name(number),
        tunnel_ip: pair::tunnel_ip(number).to_string(),
        ports: vec!["eth1".into(), "eth2".into()],
    });
    options.startup.managers = managers;
    options.remotes = vec![format!("ptcp:{}:{}", clients.port(), clients.ip())];
    Device::new(SEED + u64::from(number), options)
}

fn tls(credentials: Credentials) -> Result<Tls> {
    let settings = Settings {
        certificate: credentials.certificate,
        private_key: credentials.private_key,
        ca: credentials.ca,
        crl: None,
        allow_x509_v1: false,
        pins: Vec::new(),
    };
    let failed = |error| Error::failed("read certificates", error);
    Ok(Tls {
        acceptor: Acceptor::load(&settings).map_err(failed)?,
        connector: Connector::load(&settings).map_err(failed)?,
    })
}

/// Runs a model, with a log in a folder of its name, and waits until it listens.
fn run<A>(models: &Runtime, scratch: &Scratch, name: &str, actor: A, tls: Option<Tls>) -> Result<()>
where
    A: Actor + Send + 'static,
    A::Command: Send + 'static,
    Log: Audience<A>,
{
    let file = scratch.folder(name)?.join(format!("{name}.log"));
    let (listens, receiver) = channel::channel();
    let log = Log {
        file: File::create(&file).map_err(Error::io(format!("create {}", file.display())))?,
        listens,
    };
    let _inside = models.enter();
    let driver = Driver::new(TokioEnv::begin(), actor, log, tls);
    models.spawn(async move {
        // It receives no commands, and runs for as long as the sender is held.
        let (_commands, inbox) = mpsc::channel(1);
        driver.run(inbox).await;
    });
    let what = || format!("start {name}");
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(Error::failed(what(), why)),
        Err(error) => Err(Error::failed(what(), error)),
    }
}

/// Writes the log, and reports when the model listens.
struct Log {
    file: File,
    listens: channel::Sender<std::result::Result<(), String>>,
}

impl Log {
    fn write(&mut self, now: Time, what: impl fmt::Display) {
        let seconds = now.since(Time::ORIGIN).as_secs_f64();
        // A disk that is full is no reason to stop.
        let _ = writeln!(self.file, "{seconds:.6} {what}");
    }

    fn note(&mut self, now: Time, note: &Note) {
        self.write(now, note);
        // Only the first is waited for.
        let _ = match note {
            Note::Bound { .. } => self.listens.send(Ok(())),
            Note::CannotListen { .. } => self.listens.send(Err(note.to_string())),
            Note::ConnectionFailed { .. } | Note::Overflowed { .. } | Note::Unsupported { .. } => Ok(()),
        };
    }
}

impl Audience<Device> for Log {
    fn happened(&mut self, now: Time, event: device::Event) {
        self.write(now, format_args!("{}: {event}", event.word()));
    }

    fn noted(&mut self, now: Time, note: Note) {
        self.note(now, &note);
    }

    fn dials_tls(&self, device: &Device, conn: ConnId) -> bool {
        device.is_tls(conn)
    }

    fn takes_tls(&self, device: &Device, at: SocketAddrV4) -> bool {
        device.is_tls_at(at)
    }
}

impl Audience<Proxy> for Log {
    fn happened(&mut self, now: Time, event: proxy::Event) {
        self.write(now, format_args!("{}: {event}", event.word()));
    }

    fn noted(&mut self, now: Time, note: Note) {
        self.note(now, &note);
    }

    fn dials_tls(&self, _proxy: &Proxy, _conn: ConnId) -> bool {
        false
    }

    fn takes_tls(&self, _proxy: &Proxy, _at: SocketAddrV4) -> bool {
        false
    }
}

/// Everything of a lab has such an address.
fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => SocketAddrV4::new(Ipv4Addr::LOCALHOST, address.port()),
    }
}

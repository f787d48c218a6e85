//! A wedged worker: one session never gives its thread back.
//!
//! The agents are the production driver, machines and health ports in this process, on plain TCP, behind a real HAProxy
//! and a real switch. What stands in for the wedge is a stream that blocks the thread that reads from it: to the rest of
//! the agent that is the same as an endless loop or a deadlock in the session's machine.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Blocking};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, SystemTime};

use tandem_core::agent::Agent;
use tandem_core::configuration::{Configuration, Network, SessionOptions, Switch as SwitchConfiguration};
use tandem_core::health::Grade;
use tandem_core::{Generation, Peer};
use tandem_lab::haproxy::{Backend, Haproxy, HaproxyOptions, Listen};
use tandem_lab::port::Loopback;
use tandem_lab::scratch::Scratch;
use tandem_lab::switch::{Manager, PhysicalSwitch, Switch, SwitchOptions, remote_mac};
use tandem_net::driver::agent::{Arrived, Driver};
use tandem_net::driver::env::{Env, TokioEnv};
use tandem_net::driver::message::Message;
use tandem_net::driver::steps::Steps;
use tandem_net::health::{Announcements, Pulse, STEP, serve_on_a_thread};
use tandem_net::xmpp::TcpDialer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::pair::{LONG, TSN, between, changed, delete_remote_mac, remote, vtep};
use crate::watch::Watch;

#[test]
fn the_proxy_cuts_a_wedged_agent_off_and_the_switch_goes_to_the_other() {
    let scratch = Scratch::new().expect("a folder");
    let loopback = Loopback::claim().expect("addresses");
    let agents = [0, 1].map(|index| InProcess::start(index, loopback.address(11 + index)));
    let bind = SocketAddr::from((loopback.address(1), 6640));
    let listen = Listen {
        name: "ovsdb".into(),
        bind,
        backends: agents.iter().map(InProcess::backend).collect(),
    };
    let options = HaproxyOptions {
        listens: vec![listen],
        ..HaproxyOptions::default()
    };
    let haproxy = Haproxy::start(&scratch, "haproxy", options).expect("a proxy");
    let switch = SwitchOptions {
        physical_switches: vec![PhysicalSwitch {
            name: "tor1".into(),
            tunnel_ip: "10.0.1.1".into(),
            ports: vec!["eth1".into()],
        }],
        managers: vec![Manager::new(format!("tcp:{bind}"))],
        ..SwitchOptions::default()
    };
    let switch = Switch::start(&scratch, "tor1", switch).expect("a switch");
    let wait = |what: &str, condition: &dyn Fn() -> bool| {
        let done = scratch.wait_until(what, LONG, || condition().then_some(()));
        done.unwrap_or_else(|error| panic!("{error}"));
    };
    let is_shown = |agent: usize, status: &str| {
        let servers = haproxy.servers().expect("servers");
        servers[agent].status.starts_with(status)
    };
    wait("everything on the switch", &|| remote(&switch).len() == MACS as usize);
    wait("both agents up", &|| is_shown(0, "UP") && is_shown(1, "UP"));
    let watch = Watch::start(&switch);
    let owner = usize::from(watch.ends() != [TSN[0]]);
    let other = 1 - owner;
    assert!(agents[owner].answers(LONG) && agents[other].answers(LONG));
    let before = switch.snapshot().expect("a snapshot");

    let wedged = SystemTime::now();
    agents[owner].wedge.set(true);
    // Something for the session to read.
    delete_remote_mac(&switch, &remote_mac(0));
    wait("the health port to fall silent", &|| !agents[owner].answers(CHECK));
    let seen = SystemTime::now();
    wait("the proxy to take it down", &|| is_shown(owner, "DOWN"));
    let down = SystemTime::now();
    let repointed = watch.until(&scratch, TSN[other]);
    println!(
        "worker wedged: health port silent after {}, proxy shows DOWN after {}, broadcast after {}",
        between(wedged, seen),
        between(wedged, down),
        between(wedged, repointed)
    );
    wait("the row to be put back", &|| remote(&switch).len() == MACS as usize);
    assert!(is_shown(owner, "DOWN") && agents[other].answers(LONG));

    // When the session goes on it finds that it is over.
    let rest = switch.snapshot().expect("a snapshot");
    agents[owner].wedge.set(false);
    wait("the agent to be up again", &|| is_shown(owner, "UP"));
    thread::sleep(QUIET);
    assert!(changed(&switch, &rest).is_empty(), "{:?}", changed(&switch, &rest));
    assert_eq!(watch.ends(), [TSN[owner], TSN[other]]);
    let touched = changed(&switch, &before);
    let rows = touched.iter().filter(|row| row.table == "Ucast_Macs_Remote");
    assert_eq!(
        rows.count(),
        2,
        "the row that was deleted, and the one in its place: {touched:?}"
    );
}

const MACS: u32 = 20;

/// As long as a proxy waits (`timeout check`).
const CHECK: Duration = Duration::from_millis(300);

/// A switch that goes back to the first agent does so within its back-off of a second.
const QUIET: Duration = Duration::from_secs(2);

/// A ToR agent without TLS, with a runtime of its own.
struct InProcess {
    name: String,
    address: Ipv4Addr,
    wedge: Arc<Wedge>,
    runtime: Option<Runtime>,
}

impl InProcess {
    fn start(index: u8, address: Ipv4Addr) -> Self {
        let name = ["agent-a", "agent-b"][usize::from(index)].to_owned();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let wedge = Arc::new(Wedge::default());
        let env = runtime.block_on(async { TokioEnv::begin() });
        let configuration = Arc::new(configuration(&name, TSN[usize::from(index)]));
        let agent = Agent::new(Arc::clone(&configuration), Generation(0));
        let (driver, messages, grade) = Driver::new(env, agent, TcpDialer::in_clear());
        let (arrivals, arriving) = mpsc::channel(1);
        let listen = |port| runtime.block_on(TcpListener::bind((address, port))).expect("a port");
        let ovsdb = listen(6640);
        let [health, check] = [6650, 6651].map(|port| {
            let port = std::net::TcpListener::bind((address, port)).expect("a port");
            port.set_nonblocking(true).expect("set");
            Some(port)
        });
        let worker = Arc::new(Worker {
            grade,
            steps: driver.steps(),
        });
        serve_on_a_thread(health, check, worker, Arc::new(Announcements::default())).expect("health ports");
        runtime.spawn(driver.run(arriving));
        let stuck = Arc::clone(&wedge);
        runtime.spawn(async move {
            while let Ok((stream, peer)) = ovsdb.accept().await {
                let arrived = Arrived {
                    stream: Wedging(stream, Arc::clone(&stuck)),
                    peer: Peer {
                        address: peer,
                        proxied: None,
                        certificate: None,
                    },
                    accepted_at: env.now(),
                };
                if arrivals.send(arrived).await.is_err() {
                    return;
                }
            }
        });
        let configured = messages.blocking_send(Message::Configure(configuration));
        configured.expect("an agent");
        Self {
            name,
            address,
            wedge,
            runtime: Some(runtime),
        }
    }

    fn backend(&self) -> Backend {
        Backend {
            name: self.name.clone(),
            address: self.address,
            ovsdb: 6640,
            health: 6650,
            agent_check: Some(6651),
            backup: false,
        }
    }

    /// Whether its health port answers an echo.
    fn answers(&self, within: Duration) -> bool {
        let mut stream = Blocking::connect((self.address, 6650)).expect("connected");
        stream.set_read_timeout(Some(within)).expect("set");
        stream
            .write_all(br#"{"method":"echo","params":[],"id":"h"}"#)
            .expect("sent");
        matches!(stream.read(&mut [0; 64]), Ok(1..))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.wedge.set(false);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn configuration(name: &str, tsn: &str) -> Configuration {
    let blue = "6f1c0d0e-0000-4000-8000-000000000001".parse().expect("a UUID");
    let network = Network {
        name: "blue".into(),
        vni: tandem_core::Vni::new(5001).expect("a VNI"),
        remote_macs: (0..MACS)
            .map(|n| (remote_mac(n).parse().expect("a MAC"), vtep(n)))
            .collect(),
    };
    let switch = SwitchConfiguration {
        ports: BTreeMap::from([("eth1".into(), BTreeMap::from([(10, blue)]))]),
        ..SwitchConfiguration::default()
    };
    Configuration {
        session: SessionOptions::new(name, tsn.parse().expect("an address")),
        networks: BTreeMap::from([(blue, network)]),
        switches: BTreeMap::from([("tor1".into(), switch)]),
    }
}

/// Looks at the agent's task, as the service does.
struct Worker {
    grade: watch::Receiver<Grade>,
    steps: Steps<TokioEnv>,
}

impl Pulse for Worker {
    fn grade(&self) -> Option<Grade> {
        (self.steps.longest() < STEP).then(|| *self.grade.borrow())
    }
}

/// While it is set, a thread that passes waits.
#[derive(Default)]
struct Wedge(Mutex<bool>, Condvar);

impl Wedge {
    fn set(&self, wedged: bool) {
        *self.0.lock().expect("not poisoned") = wedged;
        self.1.notify_all();
    }

    fn pass(&self) {
        let wedged = self.0.lock().expect("not poisoned");
        let _free = self.1.wait_while(wedged, |wedged| *wedged).expect("not poisoned");
    }
}

/// A stream that blocks the thread of its reader while it is wedged.
struct Wedging(TcpStream, Arc<Wedge>);

impl AsyncRead for Wedging {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.1.pass();
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Wedging {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

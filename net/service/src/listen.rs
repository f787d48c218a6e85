//! The listener for switches: accept, PROXY header and TLS, bounded in number and time.

mod refusals;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tandem_core::{Peer, Time};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::server::TlsStream;

pub use refusals::Counters;

use crate::admission::{Admission, Number, Places, Verdict};
use crate::driver::env::{Env, TokioEnv};
use crate::files;
use crate::proxy_protocol::{self, HeaderError};
use crate::tls::{Acceptor, Cause, Refusal};
use refusals::Refusals;

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Whether each connection must begin with a PROXY v2 header. Without this option, a header is refused.
    pub proxy_protocol: bool,
    /// The time from accept to the end of the handshake.
    pub handshake_deadline: Duration,
    /// The number of connections in the handshake. Beyond it, the oldest that is silent is closed for a new one. By default,
    /// a thousand of one address have places, but all of them have no more than a quarter of the files of the process.
    pub half_open_max: usize,
    /// For how long a connection is kept that sends nothing, when there are so many. One that has sent something is kept
    /// for half of the handshake's time.
    pub silence: Duration,
    /// Silence after which the kernel probes a connection; it gives up after three more of these.
    pub tcp_keepalive: Duration,
    /// The longest time that sent bytes may stay unacknowledged (TCP_USER_TIMEOUT).
    pub tcp_user_timeout: Duration,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            proxy_protocol: false,
            handshake_deadline: Duration::from_secs(10),
            half_open_max: half_open(files::limit()),
            silence: Duration::from_millis(500),
            tcp_keepalive: Duration::from_secs(10),
            tcp_user_timeout: Duration::from_secs(20),
        }
    }
}

/// Places for handshakes, with so many files that the process may open.
fn half_open(files: usize) -> usize {
    (files / 4).clamp(16, 1536)
}

/// An accepted connection with a verified certificate.
#[derive(Debug)]
pub struct Accepted {
    /// The plaintext stream.
    pub stream: TlsStream<TcpStream>,
    /// The peer, including its certificate.
    pub peer: Peer,
    /// When the connection was accepted.
    pub accepted_at: Instant,
    /// How long PROXY header and TLS took after that.
    pub tls: Duration,
}

/// Accepts connections until it is dropped. That closes the port and each unfinished handshake; sessions continue.
#[derive(Debug)]
pub struct Listener {
    accepted: mpsc::Receiver<Accepted>,
    address: SocketAddr,
    counters: Arc<Counters>,
    failed: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Opens the port. The error names the address. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, acceptor: Arc<Acceptor>, options: ListenOptions) -> io::Result<Self> {
        let listener =
            open(address).map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))?;
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        let refusals = Refusals::default();
        let counters = Arc::clone(&refusals.counters);
        let places = Places::new(options.half_open_max, options.silence, options.handshake_deadline / 2);
        let failed = refusals.failed.subscribe();
        let door = Door {
            admission: Mutex::new(Admission::new(places)),
            env: TokioEnv::begin(),
            acceptor,
            options,
            refusals,
            sender,
        };
        let task = tokio::spawn(serve(listener, Arc::new(door)));
        Ok(Self {
            accepted,
            address,
            counters,
            failed,
            task,
        })
    }

    /// The next verified connection; cancel-safe. `None` only if the accept loop has ended.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }

    /// The bound address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes with each handshake that failed for a reason that may be ours.
    pub fn failed(&self) -> watch::Receiver<u64> {
        self.failed.clone()
    }

    /// Counters of accepted and refused connections.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connections that may wait in the kernel: a thousand switches may connect at once.
const BACKLOG_CONNECTIONS: u32 = 1024;

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_CONNECTIONS)
}

struct Door {
    acceptor: Arc<Acceptor>,
    options: ListenOptions,
    refusals: Refusals,
    sender: mpsc::Sender<Accepted>,
    env: TokioEnv,
    admission: Mutex<Admission>,
}

async fn serve(listener: TcpListener, door: Arc<Door>) {
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut handshakes = Handshakes::default();
    let mut pause = SHORTEST;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = handshakes.one_less(&door) => continue,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = SHORTEST;
                handshakes.begin(&door, stream, address).await;
            }
            // Mostly EMFILE: the connection stays in the backlog, so an immediate retry would spin.
            Err(error) => {
                let what = format!("cannot accept: {error}");
                let address = SocketAddr::from(([0, 0, 0, 0], 0));
                door.refusals.note(address, &Refusal::new(Cause::Accept, what));
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}

/// The handshakes of a port. Dropping it ends all of them.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    by_number: BTreeMap<Number, (AbortHandle, SocketAddr)>,
}

impl Handshakes {
    /// Begins a handshake when there is a place for it, perhaps that of another.
    async fn begin(&mut self, door: &Arc<Door>, stream: TcpStream, address: SocketAddr) {
        let (number, instead_of) = loop {
            // Also verified connections that nothing has taken yet are bounded.
            let may_arrive = self.tasks.len() < door.options.half_open_max * 2;
            let until = match may_arrive.then(|| door.admission().arrive(door.env.now(), address.ip())) {
                Some(Verdict::Admitted { number, instead_of }) => break (number, instead_of),
                Some(Verdict::Wait { until }) => Some(until),
                None => None,
            };
            tokio::select! {
                () = wait(&door.env, until) => {}
                () = self.one_less(door) => {}
            }
        };
        if let Some((handshake, address)) = instead_of.and_then(|number| self.by_number.remove(&number)) {
            handshake.abort();
            let max = door.options.half_open_max;
            let what = format!("{max} handshakes are in progress; this one is closed for a newer connection");
            door.refusals.note(address, &Refusal::new(Cause::HalfOpen, what));
        }
        let door = Arc::clone(door);
        let handshake = self.tasks.spawn(async move {
            door.admit(stream, address, number).await;
            door.admission().leave(number);
        });
        self.by_number.insert(number, (handshake, address));
    }

    /// Waits until a handshake is over.
    async fn one_less(&mut self, door: &Door) {
        if self.tasks.join_next().await.is_none() {
            return std::future::pending().await;
        }
        self.by_number.retain(|number, (handshake, _)| {
            let is_open = !handshake.is_finished();
            if !is_open {
                door.admission().leave(*number);
            }
            is_open
        });
    }
}

/// Waits until then, or for ever.
async fn wait(env: &TokioEnv, until: Option<Time>) {
    match until {
        Some(until) => env.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// How far a handshake is.
struct Stage {
    waits_for: &'static str,
    /// The client, once its proxy has named it.
    from: SocketAddr,
}

impl Door {
    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn admit(&self, stream: TcpStream, address: SocketAddr, number: Number) {
        let accepted_at = Instant::now();
        let deadline = accepted_at + self.options.handshake_deadline;
        let mut stage = Stage {
            waits_for: "anything",
            from: address,
        };
        let handshake = self.handshake(stream, (address, number), &mut stage);
        let result = timeout_at(deadline, handshake).await;
        let result = result.unwrap_or_else(|_| {
            let what = format!(
                "the handshake took longer than {:?}; waited for {}",
                self.options.handshake_deadline, stage.waits_for
            );
            Err(Refusal::new(Cause::Deadline, what))
        });
        match result {
            Ok((stream, peer)) => {
                let tls = accepted_at.elapsed();
                self.admission().prove(self.env.now(), number);
                self.refusals.counters.count_accepted();
                let accepted = Accepted {
                    stream,
                    peer,
                    accepted_at,
                    tls,
                };
                // Fails only while the listener is being dropped.
                let _closed = self.sender.send(accepted).await;
            }
            Err(refusal) => self.refusals.note(stage.from, &refusal),
        }
    }

    /// Waits for the first bytes of a connection, or its end: the next read returns either.
    async fn first_bytes(&self, stream: &TcpStream, number: Number) {
        let _ = stream.peek(&mut [0]).await;
        self.admission().sent(number);
    }

    async fn handshake(
        &self,
        mut stream: TcpStream,
        (address, number): (SocketAddr, Number),
        stage: &mut Stage,
    ) -> Result<(TlsStream<TcpStream>, Peer), Refusal> {
        prepare(&stream, &self.options)
            .map_err(|error| Refusal::new(Cause::Closed, format!("the connection failed immediately: {error}")))?;
        self.first_bytes(&stream, number).await;
        let mut proxied = None;
        if self.options.proxy_protocol {
            stage.waits_for = "the PROXY header";
            let header = proxy_protocol::read(&mut stream).await;
            proxied = header.map_err(|error| no_header(&error))?.source;
        }
        stage.waits_for = "TLS";
        if let Some(client) = proxied {
            stage.from = client;
            self.admission().locate(number, client.ip());
            self.first_bytes(&stream, number).await;
        }
        let (stream, certificate) = self.acceptor.accept(stream).await?;
        let peer = Peer {
            address,
            proxied,
            certificate: Some(certificate),
        };
        Ok((stream, peer))
    }
}

fn no_header(error: &HeaderError) -> Refusal {
    let cause = match error {
        HeaderError::Closed { silent: true } => Cause::Probe,
        _ => Cause::ProxyRequired,
    };
    Refusal::new(cause, error.to_string())
}

fn prepare(stream: &TcpStream, options: &ListenOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(options.tcp_keepalive)
        .with_interval(options.tcp_keepalive)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(options.tcp_user_timeout))
}

//! The control node as a process.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_core::control::{ControlStatus, Inventory};
use tandem_core::health::Grade;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::{CERTIFICATES, Signals, ports, read_again, reload_certificates, watchdog};
use crate::config::LoadError;
use crate::driver::control::{Driver, Message};
use crate::driver::env::TokioEnv;
use crate::health::Pulse;
use crate::http::StatusSource;
use crate::metrics::Counters;
use crate::tls::{Acceptor, Settings};
use crate::xmpp::{self, TcpAcceptor};

/// Everything that `tandem control` reads from its file.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// What it calls itself.
    pub name: String,
    /// Where agents dial in.
    pub listen: SocketAddr,
    /// Their streams are in clear without it.
    pub tls: Option<Settings>,
    /// `/status` and `/metrics`; `None` is off.
    pub http: Option<SocketAddr>,
    /// What it tells.
    pub inventory: Inventory,
}

/// Runs a control node until it is told to go. `load` reads its file again.
///
/// # Errors
/// A port cannot be opened, or the control node's task died by a bug.
pub async fn run(
    path: PathBuf,
    mut config: ControlConfig,
    acceptor: Option<Arc<Acceptor>>,
    load: impl Fn(&std::path::Path) -> Result<ControlConfig, LoadError>,
) -> io::Result<()> {
    let (driver, messages) = Driver::new(TokioEnv::begin(), &config.name, TcpAcceptor(acceptor.clone()));
    let mut signals = Signals::catch()?;
    let handle = Arc::new(Handle(messages.clone()));
    let counters = Arc::new(Counters::default());
    ports::open_http(config.http, &handle, &counters)?;
    let listener = xmpp::open(config.listen)?;
    let (arrivals, arriving) = mpsc::channel(1);
    let mut running = tokio::spawn(driver.run(arriving));
    // Nobody is told of a world in which there is nothing.
    let _ = messages
        .send(Message::Configure(Arc::new(config.inventory.clone())))
        .await;
    let accepting = tokio::spawn(xmpp::accept(listener, arrivals));
    if let Some(acceptor) = &acceptor {
        counters.certificate("control", acceptor.not_after());
    }
    info!(target: "tandem", "Started: control node {} at {}", config.name, config.listen);
    watchdog::ready();
    tokio::spawn(watchdog::feed(Arc::clone(&handle)));
    let mut look = tokio::time::interval(CERTIFICATES);
    loop {
        tokio::select! {
            ended = &mut running => {
                ended.map_err(io::Error::other)?;
                break;
            }
            _ = signals.reload.recv() => {
                let Some(new) = read_again(load(&path)) else { continue };
                if !reload(&mut config, new, acceptor.as_deref(), &counters) {
                    continue;
                }
                info!(target: "tandem", "Reload: {} is read", path.display());
                let _ = messages.send(Message::Configure(Arc::new(config.inventory.clone()))).await;
            }
            _ = look.tick() => if let Some(acceptor) = acceptor.as_deref().filter(|acceptor| acceptor.changed()) {
                reload_certificates(&acceptor.reload(), acceptor, &counters, "control");
            },
            _ = signals.drain.recv() => stop(&messages).await,
            _ = signals.interrupt.recv() => stop(&messages).await,
        }
    }
    accepting.abort();
    info!(target: "tandem", "Stopped: every client was told");
    Ok(())
}

async fn stop(messages: &mpsc::Sender<Message>) {
    watchdog::stopping();
    let _ = messages.send(Message::Stop).await;
}

/// Takes over what a running control node can take. With wrong certificates, or a lower revision than the one in force,
/// it is nothing.
fn reload(config: &mut ControlConfig, new: ControlConfig, acceptor: Option<&Acceptor>, counters: &Counters) -> bool {
    if let (Some(acceptor), Some(tls)) = (acceptor, &new.tls)
        && !reload_certificates(&acceptor.replace(tls), acceptor, counters, "control")
    {
        return false;
    }
    for (name, differs) in [
        ("name", new.name != config.name),
        ("listen", new.listen != config.listen),
        ("http", new.http != config.http),
        ("[tls]", new.tls.is_some() != config.tls.is_some()),
    ] {
        if differs {
            warn!(target: "tandem", "Reload: {name} changes with a new start only");
        }
    }
    config.inventory = new.inventory;
    true
}

/// Asks the control node's task; whoever asks brings the deadline.
struct Handle(mpsc::Sender<Message>);

impl StatusSource for Handle {
    type Status = ControlStatus;

    async fn status(&self) -> Option<ControlStatus> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Message::Status(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Pulse for Handle {
    async fn grade(&self) -> Option<Grade> {
        self.status().await.map(|_| Grade::Fit)
    }
}

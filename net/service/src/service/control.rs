//! The control node as a process.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tandem_core::agent::{Answer, Order};
use tandem_core::control::ControlStatus;
use tokio::sync::{mpsc, oneshot};

use super::certificates::{self, CONTROL};
use super::{CERTIFICATES, Signals, log_debug_lines, ports, reload, watchdog};
use crate::config::{self, ControlConfig};
use crate::driver::control::{Driver, Message};
use crate::driver::env::TokioEnv;
use crate::driver::log;
use crate::event::ServiceEvent;
use crate::files;
use crate::http::StatusSource;
use crate::metrics::Counters;
use crate::orders::Obeys;
use crate::own_name;
use crate::process::Outcome;
use crate::tls::Acceptor;
use crate::xmpp::{self, TcpAcceptor};

/// Runs a control node until it is stopped.
///
/// # Errors
/// A port cannot be opened, or the control node's task panicked.
pub async fn run(path: PathBuf, mut config: ControlConfig, acceptor: Option<Arc<Acceptor>>) -> io::Result<()> {
    let secure = TcpAcceptor::new(acceptor.clone());
    let (driver, messages) = Driver::new(TokioEnv::begin(), &config.name, secure.clone());
    files::raise_limit();
    let mut signals = Signals::catch()?;
    let handle = Arc::new(Handle(messages.clone()));
    let counters = Arc::new(Counters::of(&config.name));
    counters.reloaded(Ok(Vec::new()), SystemTime::now());
    counters.opened(secure.counters());
    ports::open_http("[control] http", config.http, &handle, &counters)?;
    ports::open_orders("[control] orders", &config.orders, &config.name, &handle)?;
    let listener = xmpp::open(config.listen)
        .map_err(|error| io::Error::new(error.kind(), format!("[control] listen: {error}")))?;
    let (arrivals, arriving) = mpsc::channel(1);
    let mut running = tokio::spawn(driver.run(arriving));
    // Sent before any client can connect, so that no client receives an empty configuration.
    let _ = messages
        .send(Message::Configure(Arc::new(config.inventory.clone())))
        .await;
    let accepting = tokio::spawn(xmpp::accept(listener, arrivals, secure));
    if let Some(acceptor) = &acceptor {
        certificates::measure(&counters, CONTROL, acceptor);
    }
    log::event(&ServiceEvent::Serving {
        what: "control node",
        name: config.name.clone(),
        address: config.listen,
    });
    watchdog::ready();
    tokio::spawn(watchdog::feed(Arc::clone(&handle)));
    let mut watch = certificates::Watch::default();
    let mut look = tokio::time::interval(CERTIFICATES);
    loop {
        tokio::select! {
            ended = &mut running => {
                ended.map_err(io::Error::other)?;
                break;
            }
            _ = signals.reload.recv() => {
                watchdog::reloading();
                let new = reload::read(config::load_control(&path));
                let outcome = new.and_then(|new| take_over(&mut config, new, acceptor.as_deref(), &counters));
                let is_successful = outcome.is_ok();
                counters.reloaded(outcome, SystemTime::now());
                watchdog::reloaded(is_successful);
                if !is_successful {
                    continue;
                }
                log::event(&reload::done(&path));
                let _ = messages.send(Message::Configure(Arc::new(config.inventory.clone()))).await;
            }
            _ = look.tick() => if let Some(acceptor) = acceptor.as_deref() {
                if acceptor.changed() {
                    // The log has the reason; the old ones stay in force.
                    let _ = reload::certificates(&acceptor.reload(), acceptor, &counters, CONTROL);
                }
                watch.look(acceptor.findings(), Instant::now());
                watch.look_at_names(own_name::control(&config, &acceptor.certificate()));
            },
            _ = signals.drain.recv() => stop(&messages).await,
            _ = signals.interrupt.recv() => stop(&messages).await,
            _ = signals.log.recv() => log_debug_lines(),
        }
    }
    accepting.abort();
    log::event(&ServiceEvent::Stopped {
        done: "all clients were notified",
    });
    Ok(())
}

async fn stop(messages: &mpsc::Sender<Message>) {
    watchdog::stopping();
    let _ = messages.send(Message::Stop).await;
}

/// Applies what can change without a restart; with invalid certificates, nothing.
fn take_over(
    config: &mut ControlConfig,
    new: ControlConfig,
    acceptor: Option<&Acceptor>,
    counters: &Counters,
) -> Outcome {
    if let (Some(acceptor), Some(tls)) = (acceptor, &new.tls) {
        reload::certificates(&acceptor.replace(tls), acceptor, counters, CONTROL)?;
    }
    Ok(reload::restart_required(config.reload(new)))
}

/// Asks the control node's task; the caller sets the deadline.
struct Handle(mpsc::Sender<Message>);

impl Obeys for Handle {
    /// Its orders are those of every process: none is left for the control node itself.
    async fn obey(&self, _: Order) -> Option<Answer> {
        let why = "this is a control node: it takes `log-level` alone; give the order to an agent";
        Some(Answer::refused(why))
    }
}

impl StatusSource for Handle {
    type Status = ControlStatus;

    async fn status(&self) -> Option<ControlStatus> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Message::Status(answer)).await.ok()?;
        answered.await.ok()
    }
}

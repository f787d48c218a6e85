//! Probes the services node, and notifies the agent when its state changes.

mod http;

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tandem_core::agent::Streak;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::driver::log::{self, DriverEvent};
use crate::driver::message::Message;

pub use http::Url;

/// The probe of a services node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The kind of probe.
    pub how: How,
    /// The time from the start of one probe to the start of the next; probes never overlap.
    pub interval: Duration,
    /// The deadline of one probe.
    pub timeout: Duration,
    /// The services node counts as dead after this many consecutive failures.
    pub fall: u32,
    /// The services node counts as alive after this many consecutive successes.
    pub rise: u32,
}

/// The kind of probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum How {
    /// Connects, and closes the connection.
    Tcp(SocketAddr),
    /// Requests a URL; any status of success passes.
    Http(Url),
    /// Runs a program, and checks its exit status: its absolute path, then its arguments.
    Command(Vec<String>),
}

impl Probe {
    /// Probes until the agent is gone, and notifies it of each change.
    pub async fn run(self, agent: mpsc::Sender<Message>) {
        let mut streak = Streak::new(self.fall, self.rise);
        let mut tick = interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = agent.closed() => return,
            }
            let probed = self.once().await;
            if let Some(alive) = streak.probed(probed.is_ok()) {
                log::event(&match probed {
                    Ok(()) => DriverEvent::TsnUp,
                    Err(why) => DriverEvent::TsnDown { why },
                });
                if agent.send(Message::Tsn { alive }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// One probe. The error is the reason of its failure.
    async fn once(&self) -> Result<(), String> {
        let probe = async {
            match &self.how {
                How::Tcp(address) => {
                    let connected = TcpStream::connect(address).await;
                    connected.map(drop).map_err(|error| format!("{address}: {error}"))
                }
                How::Http(url) => url.probe().await,
                How::Command(words) => run(words).await,
            }
        };
        match timeout(self.timeout, probe).await {
            Ok(done) => done,
            Err(_) => Err(format!("a probe took longer than {:?}", self.timeout)),
        }
    }
}

/// Runs a program to its end. If this future is dropped before, the program is killed together with its children.
async fn run(words: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = words else {
        return Err("no program is configured".into());
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut group = Group(child.map_err(|error| format!("cannot run {program}: {error}"))?);
    match group.0.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {}", ended(status))),
        Err(error) => Err(format!("cannot wait for {program}: {error}")),
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// A process that leads its own process group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // It has an id until its end was waited for; until then no other process can have that id.
        if let Some(Ok(leader)) = self.0.id().map(i32::try_from) {
            let _gone_already = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests;

//! The health ports on their own thread and runtime: a worker that hangs must not block the ports that report it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use super::{Announcements, Pulse, serve_agent_check, serve_echo};

/// Serves the health port and the agent check, as far as configured, until the process ends.
///
/// # Errors
/// The thread, its runtime or its ports cannot be opened.
pub fn serve_on_a_thread(
    health: Option<TcpListener>,
    agent_check: Option<TcpListener>,
    pulse: Arc<impl Pulse>,
    announcements: Arc<Announcements>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ports = {
        let _inside = runtime.enter();
        [health, agent_check].map(|port| port.map(tokio::net::TcpListener::from_std).transpose())
    };
    let [health, agent_check] = ports;
    let (health, agent_check) = (health?, agent_check?);
    let serve = async move {
        if let Some(port) = health {
            tokio::spawn(serve_echo(port, Arc::clone(&pulse)));
        }
        if let Some(port) = agent_check {
            tokio::spawn(serve_agent_check(port, pulse, announcements));
        }
        std::future::pending::<()>().await;
    };
    let thread = std::thread::Builder::new().name("health".into());
    thread.spawn(move || runtime.block_on(serve)).map(drop)
}

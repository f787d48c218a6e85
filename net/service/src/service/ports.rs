//! Opens the small ports: health, agent check, HTTP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::handle::Handle;
use crate::config::{Listen, Orders};
use crate::health::{self, Announcements};
use crate::http::{self, StatusSource};
use crate::metrics::Counters;
use crate::orders::{self, Obeys};

/// Opens the health port and the agent check, if configured. The error names the port.
pub(super) fn open_health(listen: &Listen, handle: &Arc<Handle>, announcements: &Arc<Announcements>) -> io::Result<()> {
    let health = bind("[listen] health", listen.health)?;
    let agent_check = bind("[listen] agent_check", listen.agent_check)?;
    health::serve_on_a_thread(health, agent_check, Arc::clone(handle), Arc::clone(announcements))
}

/// Opens `/status` and `/metrics`, if configured. The error names the key that the caller passes.
pub(super) fn open_http(
    key: &str,
    http: Option<SocketAddr>,
    source: &Arc<impl StatusSource>,
    counters: &Arc<Counters>,
) -> io::Result<()> {
    if let Some(port) = bind(key, http)? {
        let port = tokio::net::TcpListener::from_std(port)?;
        tokio::spawn(http::serve(port, Arc::clone(source), Arc::clone(counters)));
    }
    Ok(())
}

/// Opens the socket for orders, if configured, or if systemd gave the process a runtime directory. The error names the key
/// that the caller passes.
pub(super) fn open_orders(key: &str, configured: &Orders, name: &str, handle: &Arc<impl Obeys>) -> io::Result<()> {
    let path = match configured {
        Orders::At(path) => Some(path.clone()),
        Orders::Off => None,
        Orders::Default => orders::default_path(name, std::env::var("RUNTIME_DIRECTORY").ok().as_deref()),
    };
    if let Some(path) = path {
        let named = |error: io::Error| {
            let at = path.display();
            io::Error::new(error.kind(), format!("{key} at {at}: {error}"))
        };
        tokio::spawn(orders::serve(orders::bind(&path).map_err(named)?, Arc::clone(handle)));
    }
    Ok(())
}

fn bind(key: &str, address: Option<SocketAddr>) -> io::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{key} at {address}: {error}"));
    let port = TcpListener::bind(address).map_err(named)?;
    port.set_nonblocking(true)?;
    Ok(Some(port))
}

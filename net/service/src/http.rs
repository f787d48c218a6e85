//! `/status`, `/metrics` and `/health` over HTTP/1.1, without authentication: for loopback.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tandem_core::control::ControlStatus;
use tandem_core::health::Grade;
use tandem_core::status::AgentStatus;
use tokio::net::TcpListener;
use tracing::debug;

use crate::logging;
use crate::metrics::{self, Counters, Measured};
use crate::ports::{self, Limits};
use crate::process::ProcessStatus;

/// The source of the status: the worker that handles the sessions.
pub trait StatusSource: Send + Sync + 'static {
    /// Its kind of status.
    type Status: Status;

    /// The status from the worker; `None` if the worker is gone. The caller sets the deadline.
    fn status(&self) -> impl Future<Output = Option<Self::Status>> + Send;
}

/// The status of a process, for operators.
pub trait Status: Measured + Serialize + Send {
    /// Whether the process can do its work, and the word for its state.
    fn health(&self) -> (bool, String);

    /// What is not yet as configured.
    fn pending(&self) -> usize;
}

impl Status for AgentStatus {
    fn health(&self) -> (bool, String) {
        (self.grade == Grade::Fit, self.grade.to_string())
    }

    /// Objects of switches.
    fn pending(&self) -> usize {
        let sessions = self.switches.values().flat_map(|switch| &switch.sessions);
        sessions.map(|session| session.pending + session.in_flight).sum()
    }
}

impl Status for ControlStatus {
    /// A control node that answers is healthy: it does not start without an inventory.
    fn health(&self) -> (bool, String) {
        (true, Grade::Fit.to_string())
    }

    /// Clients.
    fn pending(&self) -> usize {
        let clients = self.clients.values();
        clients.filter(|client| client.configured == Some(false)).count()
    }
}

/// The longest time that the worker may take to return its status.
pub const STATUS: Duration = Duration::from_secs(1);

/// One request per connection. A client on loopback that needs longer has stopped.
const LIMITS: Limits = Limits {
    connections: 32,
    time: Duration::from_secs(15),
};

/// The longest time that a client may take to send the header of its request.
const HEADER: Duration = Duration::from_secs(5);

/// The largest header of a request, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Serves for as long as it is polled.
///
/// `/status` returns the status as JSON. `/health` returns `fit` with 200, or another grade with 503. If the worker does
/// not answer, both return 503; `/metrics` still returns `tandem_worker_up 0`, which a failed scrape would hide.
pub async fn serve(listener: TcpListener, source: Arc<impl StatusSource>, counters: Arc<Counters>) {
    let service = TowerToHyperService::new(router(source, counters));
    ports::serve("http", listener, LIMITS, |stream, peer| {
        let service = service.clone();
        async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .max_buf_size(HEADER_BYTES_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%peer, %error, "an HTTP request ended early");
            }
        }
    })
    .await;
}

fn router<S: StatusSource>(source: Arc<S>, counters: Arc<Counters>) -> Router {
    Router::new()
        .route("/status", get(status::<S>))
        .route("/metrics", get(scrape::<S>))
        .route("/health", get(health::<S>))
        .fallback((StatusCode::NOT_FOUND, "not found; try /status, /metrics or /health\n"))
        .with_state(Shared { source, counters })
}

struct Shared<S> {
    source: Arc<S>,
    counters: Arc<Counters>,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            counters: Arc::clone(&self.counters),
        }
    }
}

/// One object: the process, and its machine.
#[derive(Serialize)]
struct Served<S> {
    #[serde(flatten)]
    process: ProcessStatus,
    #[serde(flatten)]
    status: S,
}

async fn status<S: StatusSource>(State(shared): State<Shared<S>>) -> Response {
    let status = ask(&*shared.source).await;
    // The log has a line for each change that a status shows.
    logging::flush().await;
    match status {
        Some(status) => {
            let process = shared.counters.process(status.pending(), SystemTime::now());
            Json(Served { process, status }).into_response()
        }
        None => no_answer(),
    }
}

async fn health<S: StatusSource>(State(shared): State<Shared<S>>) -> Response {
    match ask(&*shared.source).await.map(|status| status.health()) {
        Some((true, word)) => format!("{word}\n").into_response(),
        Some((false, word)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{word}\n")).into_response(),
        None => no_answer(),
    }
}

async fn scrape<S: StatusSource>(State(shared): State<Shared<S>>) -> Response {
    let status = ask(&*shared.source).await;
    let rendered = metrics::render(status.as_ref(), &shared.counters, SystemTime::now());
    match metrics::process().and_then(|process| Ok(process + &rendered?)) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ask<S: StatusSource>(source: &S) -> Option<S::Status> {
    tokio::time::timeout(STATUS, source.status()).await.ok().flatten()
}

fn no_answer() -> Response {
    let text = "the worker does not answer: it hangs, or is overloaded\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::samples;

    /// `None` is a worker that never answers.
    struct Worker(Option<AgentStatus>);

    impl StatusSource for Worker {
        type Status = AgentStatus;

        async fn status(&self) -> Option<AgentStatus> {
            match &self.0 {
                Some(status) => Some(status.clone()),
                None => std::future::pending().await,
            }
        }
    }

    async fn server(status: Option<AgentStatus>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(serve(listener, Arc::new(Worker(status)), Arc::default()));
        address
    }

    async fn send(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        // A reset ends the answer just as an orderly close does.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).expect("text")
    }

    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let answer = send(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn status_is_the_agents_status_as_json() {
        let (line, body) = get(server(Some(samples::busy())).await, "/status").await;
        assert_eq!(line, "HTTP/1.1 200 OK");
        let status: AgentStatus = serde_json::from_str(&body).expect("a status");
        assert_eq!(status, samples::busy());
        let process: ProcessStatus = serde_json::from_str(&body).expect("a process");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!((process.format, process.version.as_str()), (1, version));
        assert!(process.now_unix_s > 1.7e9 && process.reload.is_none(), "{process:?}");
    }

    #[tokio::test]
    async fn metrics_and_health_follow_the_worker() {
        let address = server(Some(samples::busy())).await;
        let (line, body) = get(address, "/metrics").await;
        assert_eq!(line, "HTTP/1.1 200 OK");
        assert!(
            body.contains("tandem_worker_up 1.0\n") && body.ends_with("# EOF\n"),
            "{body}"
        );
        assert_eq!(
            get(address, "/health").await,
            ("HTTP/1.1 200 OK".into(), "fit\n".into())
        );

        let mut draining = samples::busy();
        draining.grade = Grade::Draining;
        let (line, body) = get(server(Some(draining)).await, "/health").await;
        assert_eq!(
            (line.as_str(), body.as_str()),
            ("HTTP/1.1 503 Service Unavailable", "draining\n")
        );
    }

    #[tokio::test]
    async fn without_an_answer_of_the_worker_status_and_health_are_503_and_metrics_show_it() {
        let address = server(None).await;
        for path in ["/status", "/health"] {
            let (line, body) = get(address, path).await;
            assert_eq!(line, "HTTP/1.1 503 Service Unavailable", "{path}");
            assert!(body.contains("does not answer"), "{path}: {body}");
        }
        let (line, body) = get(address, "/metrics").await;
        assert_eq!(line, "HTTP/1.1 200 OK");
        assert!(body.contains("tandem_worker_up 0.0\n"), "{body}");
    }

    #[tokio::test]
    async fn other_paths_methods_and_headers_without_end_are_refused() {
        let address = server(Some(samples::busy())).await;
        assert_eq!(get(address, "/").await.0, "HTTP/1.1 404 Not Found");
        let posted = send(
            address,
            b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
        let endless = format!("GET /status HTTP/1.1\r\nX: {}", "x".repeat(HEADER_BYTES_MAX));
        let refused = send(address, endless.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    }

    #[tokio::test]
    async fn silent_clients_do_not_lock_others_out() {
        let address = server(Some(samples::busy())).await;
        let mut silent = Vec::new();
        for _ in 0..LIMITS.connections * 2 {
            silent.push(TcpStream::connect(address).await.expect("connected"));
        }
        assert_eq!(get(address, "/health").await.1, "fit\n");
    }
}

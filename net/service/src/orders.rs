//! Orders of an operator over a local socket: one order a line, one answer a line, each a JSON object.
//!
//! The socket belongs to the user of the process, with mode 0600; others are refused, except root.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_core::SwitchName;
use tandem_core::agent::{Answer, Order};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::driver::log;
use crate::event::ServiceEvent;
use crate::logging;

/// An order as it is sent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Log from this level on; without one, as configured.
    LogLevel {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        #[serde(default)]
        level: Option<String>,
    },
    /// Hand every switch over, and take none.
    Drain {},
    /// Take switches again.
    Resume {},
    /// Move one switch to the other agent.
    Release {
        /// The switch.
        switch: SwitchName,
    },
    /// Delete what is withheld.
    Confirm {
        /// The switch; without one, all.
        #[serde(default)]
        switch: Option<SwitchName>,
    },
    /// Try objects in quarantine now.
    Retry {
        /// The switch; without one, all.
        #[serde(default)]
        switch: Option<SwitchName>,
    },
}

/// The format of orders, which an order may name (`format`); one that names none has the first. It grows when an order of an
/// older `tandem ctl` would mean something else. An answer has the format of its order.
const FORMAT: u64 = 1;

impl Request {
    /// Reads an order; the error is the answer. A member that is not known is an error: half an order is none.
    fn read(line: &[u8]) -> Result<Self, String> {
        let not_an_order = |error: serde_json::Error| format!("not an order: {error}");
        let mut members: serde_json::Map<_, _> = serde_json::from_slice(line).map_err(not_an_order)?;
        match members.remove("format").map(|format| (format.as_u64(), format)) {
            None | Some((Some(FORMAT), _)) => serde_json::from_value(members.into()).map_err(not_an_order),
            Some((_, other)) => Err(format!(
                "the order has format {other}, and this agent reads format {FORMAT}: use the `tandem` of the agent's version"
            )),
        }
    }
}

/// Carries orders out.
pub(crate) trait Obeys: Send + Sync + 'static {
    /// The answer; `None` if the worker is gone.
    fn obey(&self, order: Order) -> impl Future<Output = Option<Answer>> + Send;
}

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 8;
/// Time for one order, and its answer: moving a switch takes up to 15 s.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of one order.
const LINE_BYTES_MAX: u64 = 4096;

/// The socket of an agent or a control node of this name whose unit has a runtime directory.
pub fn default_path(name: &str, runtime_directory: Option<&str>) -> Option<PathBuf> {
    // systemd lists several directories with colons.
    let folder = runtime_directory?
        .split(':')
        .next()
        .filter(|folder| !folder.is_empty())?;
    Some(Path::new(folder).join(format!("{}.sock", name.replace('/', "_"))))
}

/// Opens the socket. It replaces one of a process that has ended.
///
/// # Errors
/// A process listens there, something else than a socket is there, or the folder cannot be written.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "something else than a socket is there, and stays",
        ));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process takes orders there",
        ));
    }
    // Bound in a folder of its own, so that no other user can connect before the mode is set.
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    // Left by a process of the same number that was killed at this point, as in a container that was restarted.
    let _ = fs::remove_dir_all(&folder);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = || {
        let inside = folder.join("s");
        let listener = UnixListener::bind(&inside)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    };
    let listener = bound();
    let _ = fs::remove_dir_all(&folder);
    listener
}

/// Takes orders while it is polled.
pub(crate) async fn serve(listener: UnixListener, agent: Arc<impl Obeys>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    let _place = place;
                    // An operator who closes early needs no answer.
                    let _ = converse(stream, &*agent).await;
                });
            }
            Err(error) => {
                let problem = error.to_string();
                log::event(&ServiceEvent::AcceptFailed {
                    port: "orders",
                    problem,
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, agent: &impl Obeys) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    let is_allowed = user == 0 || user == nix::unistd::geteuid().as_raw();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(LINE_BYTES_MAX);
        let read = timeout(TIME, bounded.read_until(b'\n', &mut line)).await;
        if read.map_err(io::Error::from)?? == 0 {
            return Ok(());
        }
        let answer = match Request::read(&line) {
            _ if !is_allowed => Answer::refused("only root and the user of the process may give orders"),
            Err(why) => Answer::refused(why),
            Ok(request) => {
                let order = serde_json::to_string(&request).unwrap_or_default();
                let obeyed = timeout(TIME, obey(request, agent)).await;
                let answer = obeyed.unwrap_or_else(|_| Answer::refused("the worker does not answer"));
                log::event(&ServiceEvent::Ordered {
                    order,
                    user,
                    answer: answer.clone(),
                });
                answer
            }
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        timeout(TIME, writer.write_all(&text))
            .await
            .map_err(io::Error::from)??;
        if line.last() != Some(&b'\n') || !is_allowed {
            // A close with unread bytes would reset the connection, and the answer would be lost.
            let mut rest = reader.take(LINE_BYTES_MAX * 16);
            let _ = timeout(TIME, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
            return Ok(());
        }
    }
}

async fn obey(request: Request, agent: &impl Obeys) -> Answer {
    let order = match request {
        Request::LogLevel { level } => return log_from(level.as_deref()),
        Request::Drain {} => Order::Drain,
        Request::Resume {} => Order::Resume,
        Request::Release { switch } => Order::Release { switch },
        Request::Confirm { switch } => Order::Confirm { switch },
        Request::Retry { switch } => Order::Retry { switch },
    };
    let gone = || Answer::refused("the worker has ended");
    agent.obey(order).await.unwrap_or_else(gone)
}

fn log_from(level: Option<&str>) -> Answer {
    let Ok(level) = level.map(str::parse).transpose() else {
        return Answer::refused("a level is error, warn, info, debug or trace");
    };
    match logging::set_level(level) {
        Some(directives) => Answer::done(format!("the log has {directives}")),
        None => Answer::refused("this process does not log"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Answers with the order.
    struct Echo;

    impl Obeys for Echo {
        async fn obey(&self, order: Order) -> Option<Answer> {
            Some(Answer::done(format!("{order:?}")))
        }
    }

    /// The answers to these lines over one connection.
    async fn answers(lines: &str) -> Vec<Answer> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sock");
        tokio::spawn(serve(bind(&path).expect("bound"), Arc::new(Echo)));
        let mut stream = UnixStream::connect(&path).await.expect("connected");
        stream.write_all(lines.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answers");
        let parse = |line| serde_json::from_str(line).expect("an answer");
        text.lines().map(parse).collect()
    }

    #[tokio::test]
    async fn each_line_is_an_order_with_an_answer() {
        let lines = "{\"order\":\"drain\"}\n{\"order\":\"release\",\"switch\":\"tor1\"}\n{\"order\":\"retry\"}\n";
        let texts: Vec<String> = answers(lines).await.into_iter().map(|answer| answer.text).collect();
        assert_eq!(
            texts,
            ["Drain", "Release { switch: \"tor1\" }", "Retry { switch: None }"]
        );
    }

    /// What `tandem ctl` of the previous version sent, each line followed by the answer of an agent of that version.
    const PREVIOUS: &str = include_str!("../tests/previous/orders.txt");

    #[tokio::test]
    async fn orders_and_answers_are_those_of_the_previous_version() {
        let lines: Vec<&str> = PREVIOUS.lines().collect();
        let orders: Vec<&str> = lines.iter().step_by(2).copied().collect();
        assert_eq!(orders.len(), 7);
        for order in &orders {
            let request = Request::read(order.as_bytes()).expect("an order");
            let sent = serde_json::to_string(&request).expect("JSON");
            assert_eq!(sent, **order, "an agent of the previous version reads it");
        }
        for answer in lines.iter().skip(1).step_by(2) {
            let read: Answer = serde_json::from_str(answer).expect("an answer");
            let sent = serde_json::to_string(&read).expect("JSON");
            assert_eq!(sent, **answer, "a `tandem ctl` of the previous version reads it");
        }
        let answers = answers(&format!("{}\n", orders.join("\n"))).await;
        assert_eq!(answers.len(), orders.len());
        let refused = answers.iter().filter(|answer| answer.text.contains("not an order"));
        assert_eq!(refused.count(), 0, "{answers:?}");
    }

    #[tokio::test]
    async fn an_order_of_a_later_format_is_refused_for_that() {
        let lines = "{\"format\":1,\"order\":\"drain\"}\n{\"format\":2,\"order\":\"drain\",\"new\":1}\n";
        let texts: Vec<String> = answers(lines).await.into_iter().map(|answer| answer.text).collect();
        let later = "the order has format 2, and this agent reads format 1: use the `tandem` of the agent's version";
        assert_eq!(texts, ["Drain", later]);
    }

    #[tokio::test]
    async fn what_is_no_order_is_refused_and_lines_are_bounded() {
        let long = "x".repeat(10_000);
        for line in [
            "GET / HTTP/1.1",
            "{\"order\":\"reboot\"}",
            "{\"order\":\"log-level\",\"level\":\"loud\"}",
            &long,
        ] {
            let answers = answers(line).await;
            assert_eq!(
                answers.first().map(|answer| answer.ok),
                Some(false),
                "{line}: {answers:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_socket_is_the_users_alone_and_replaces_that_of_a_dead_process_but_no_living_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.sock");
        let first = bind(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(
            bind(&path).map(drop).map_err(|error| error.kind()),
            Err(ErrorKind::AddrInUse)
        );
        drop(first);
        bind(&path).expect("bound again");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn the_default_socket_is_in_the_runtime_directory_under_the_name_of_the_process() {
        let path = |folder| default_path("agent-a", folder).map(|path| path.display().to_string());
        assert_eq!(
            path(Some("/run/tandem/agent:/run/other")),
            Some("/run/tandem/agent/agent-a.sock".into())
        );
        assert_eq!((path(None), path(Some(""))), (None, None));
    }

    proptest! {
        /// The lines are those of the previous version, damaged in one place.
        #[test]
        fn a_damaged_order_is_refused_or_another_whole_one(
            line in 0..7_usize,
            at in any::<prop::sample::Index>(),
            len in 0..8_usize,
            put: Vec<u8>,
        ) {
            let order = PREVIOUS.lines().step_by(2).nth(line).expect("an order").as_bytes();
            let (head, tail) = order.split_at(at.index(order.len()));
            let damaged = [head, &put, tail.get(len..).unwrap_or_default()].concat();
            if let Ok(request) = Request::read(&damaged) {
                let sent = serde_json::to_vec(&request).expect("JSON");
                prop_assert_eq!(Request::read(&sent), Ok(request));
            }
        }
    }

    #[tokio::test]
    async fn a_file_at_the_place_of_the_socket_stays_and_a_folder_of_a_killed_process_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agent.toml");
        fs::write(&file, "[agent]").expect("written");
        let error = bind(&file).map(drop).expect_err("a file");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).expect("there"), "[agent]");
        let left = folder.path().join(format!(".a.sock.{}", std::process::id()));
        fs::create_dir(&left).expect("created");
        bind(&folder.path().join("a.sock")).expect("bound");
        assert!(!left.exists());
    }
}

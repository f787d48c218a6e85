//! The file in which an agent remembers its last complete configuration from control nodes.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_core::configuration::{Configuration, SessionOptions};
use tandem_core::remembered::Remembered;
use tokio::sync::watch;

use crate::config::Uplinks;
use crate::durable;
use crate::event::ServiceEvent;

/// The name of the file within the state directory.
const NAME: &str = "remembered-configuration";

/// The pause before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// A configuration to keep, and its revision.
type Content = (Arc<Configuration>, Option<u64>);

/// The file.
#[derive(Clone, Debug)]
pub struct Memory {
    file: PathBuf,
}

/// Where configurations are handed over to be written; only the newest is.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Option<watch::Sender<Option<Content>>>);

impl Memory {
    /// The file of an agent, unless it is switched off, or there is no place for it: neither `[control] state` nor the state
    /// directory of a systemd service.
    pub fn of(uplinks: &Uplinks) -> Option<Self> {
        let of_service = || {
            let folders = std::env::var_os("STATE_DIRECTORY")?;
            std::env::split_paths(&folders).next().filter(|it| it.is_absolute())
        };
        let folder = uplinks.state.clone().or_else(of_service);
        folder.filter(|_| uplinks.remember).map(Self::in_folder)
    }

    /// The file in a folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let file = folder.into().join(NAME);
        Self { file }
    }

    /// The configuration that was written last. A file that cannot be used is reported and ignored.
    pub fn read(&self, session: &SessionOptions) -> (Option<Content>, Option<ServiceEvent>) {
        let read = std::fs::read(&self.file).map_err(|why| (why.kind(), why.to_string()));
        let decoded = read.and_then(|bytes| {
            Remembered::decode(&bytes, &session.agent).map_err(|why| (ErrorKind::InvalidData, why.to_string()))
        });
        match decoded {
            Ok(remembered) => {
                let revision = remembered.revision;
                let configuration = remembered.configuration(session.clone());
                (Some((Arc::new(configuration), revision)), None)
            }
            Err((ErrorKind::NotFound, _)) => (None, None),
            Err((_, problem)) => {
                let file = self.file.display().to_string();
                (None, Some(ServiceEvent::MemoryUnusable { file, problem }))
            }
        }
    }

    fn write(&self, (configuration, revision): &Content) -> io::Result<()> {
        durable::replace(&self.file, &Remembered::new(configuration, *revision).encode())
    }

    /// Writes what is handed over, in threads that may block. What cannot be written is tried again: a full disk has room
    /// later, and the next configuration may be months away.
    pub fn keep(self, report: impl Fn(&ServiceEvent) + Send + 'static) -> Keeper {
        self.keep_trying(AGAIN, report)
    }

    fn keep_trying(self, again: Duration, report: impl Fn(&ServiceEvent) + Send + 'static) -> Keeper {
        let (keeper, mut newest) = watch::channel(None);
        tokio::spawn(async move {
            let mut failure: Option<String> = None;
            loop {
                tokio::select! {
                    changed = newest.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(again), if failure.is_some() => {}
                }
                let content: Option<Content> = newest.borrow_and_update().clone();
                let (Some(content), memory) = (content, self.clone()) else {
                    continue;
                };
                let written = tokio::task::spawn_blocking(move || memory.write(&content)).await;
                let file = self.file.display().to_string();
                match written.map_err(io::Error::other).flatten() {
                    Ok(()) if failure.take().is_some() => report(&ServiceEvent::MemoryWritten { file }),
                    Ok(()) => {}
                    Err(why) => {
                        let problem = why.to_string();
                        // A failure that repeats is reported once.
                        if failure.replace(problem.clone()).as_ref() != Some(&problem) {
                            report(&ServiceEvent::MemoryFailed { file, problem });
                        }
                    }
                }
            }
        });
        Keeper(Some(keeper))
    }
}

impl Keeper {
    /// Hands a configuration over. Without a file it is dropped.
    pub fn hand_over(&self, configuration: Arc<Configuration>, revision: Option<u64>) {
        if let Some(keeper) = &self.0 {
            keeper.send_replace(Some((configuration, revision)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;

    fn configuration() -> Arc<Configuration> {
        Arc::new(Configuration {
            session: SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST),
            networks: BTreeMap::new(),
            switches: BTreeMap::from([("tor1".into(), tandem_core::configuration::Switch::default())]),
        })
    }

    #[tokio::test]
    async fn the_newest_configuration_is_written_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::in_folder(folder.path());
        let session = configuration().session.clone();
        assert!(
            matches!(memory.read(&session), (None, None)),
            "nothing is remembered, and nothing is wrong"
        );
        let keeper = memory.clone().keep(|event| panic!("{event}"));
        for revision in 1..=7 {
            keeper.hand_over(configuration(), Some(revision));
        }
        while memory.read(&session).0.is_none_or(|(_, revision)| revision != Some(7)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(memory.read(&session).0.expect("a configuration").0, configuration());
    }

    #[test]
    fn a_damaged_file_is_reported_and_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = Memory::in_folder(folder.path());
        memory.write(&(configuration(), Some(5))).expect("written");
        let mut bytes = std::fs::read(folder.path().join(NAME)).expect("a file");
        if let Some(last) = bytes.last_mut() {
            *last = b'x';
        }
        std::fs::write(folder.path().join(NAME), bytes).expect("written");
        let (content, event) = memory.read(&configuration().session);
        assert!(content.is_none());
        let line = event.expect("a warning").to_string();
        assert!(
            line.ends_with("it is damaged: its hash differs; it is ignored"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_reported() {
        let (reports, mut reported) = tokio::sync::mpsc::unbounded_channel();
        let keeper = Memory::in_folder("/nowhere").keep(move |event| reports.send(event.to_string()).expect("a test"));
        keeper.hand_over(configuration(), None);
        let line = reported.recv().await.expect("a warning");
        assert!(line.starts_with("/nowhere/remembered-configuration: "), "{line}");
    }

    #[tokio::test]
    async fn a_file_that_could_not_be_written_is_written_when_there_is_room_and_the_failure_is_reported_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let memory = Memory::in_folder(&state);
        let (reports, mut reported) = tokio::sync::mpsc::unbounded_channel();
        let report = move |event: &ServiceEvent| reports.send(event.to_string()).expect("a test");
        let keeper = memory.clone().keep_trying(Duration::from_millis(1), report);
        keeper.hand_over(configuration(), Some(7));
        assert!(reported.recv().await.expect("a warning").ends_with("trying again"));
        std::fs::create_dir(&state).expect("a folder");
        let line = reported.recv().await.expect("a line");
        assert!(line.ends_with("is remembered again"), "{line}");
        let session = configuration().session.clone();
        assert_eq!(memory.read(&session).0.expect("a configuration").1, Some(7));
    }
}

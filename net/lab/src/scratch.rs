//! A folder for everything that a lab writes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::janitor::Janitor;
use super::{Error, Result};

/// Set to `1`, it leaves every scratch folder where it is and prints where.
pub const KEEP: &str = "TANDEM_LAB_KEEP";

/// A scratch folder. Clones share it; it is removed with the last of them, or with the process.
#[derive(Clone)]
pub struct Scratch(Arc<Inner>);

struct Inner {
    path: PathBuf,
    janitor: Option<Janitor>,
}

const PREFIX: &str = "tandem-lab-";

/// Parts that were killed with us may still write for a moment.
const REMOVE: &str = r#"for _ in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$1" && exit; sleep 0.2; done"#;

impl Scratch {
    /// An empty folder in the system's folder for temporary files, removed when it is no longer used.
    pub fn new() -> Result<Self> {
        Self::with(|path| Janitor::new(REMOVE, &path.to_string_lossy()))
    }

    /// As [`Self::new`], without a shell: `tandem` is the program that removes it.
    pub fn without_shell(tandem: &Path) -> Result<Self> {
        Self::with(|path| {
            let mut command = Command::new(tandem);
            command.args(["lab", "sweep"]).arg(path);
            Janitor::start(command)
        })
    }

    /// Removes such a folder, though parts that were killed a moment ago may still write into it. `tandem lab sweep`.
    ///
    /// Fails with folders of any other name.
    pub fn sweep(folder: &Path) -> Result<()> {
        let what = format!("remove {}", folder.display());
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(PREFIX) {
            return Err(Error::failed(what, "it is no scratch folder"));
        }
        for _ in 0..9 {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(Duration::from_millis(200)),
                Ok(()) | Err(_) => return Ok(()),
            }
        }
        Err(Error::failed(what, "a process still writes into it"))
    }

    fn with(janitor: impl FnOnce(&Path) -> Result<Janitor>) -> Result<Self> {
        if std::env::var(KEEP).is_ok_and(|keep| keep == "1") {
            return Self::keep();
        }
        let path = create()?;
        let janitor = janitor(&path)?;
        Ok(Self(Arc::new(Inner {
            path,
            janitor: Some(janitor),
        })))
    }

    /// One that stays, and prints where it is.
    pub fn keep() -> Result<Self> {
        let path = create()?;
        // A closed standard error is no reason to fail.
        let _ = writeln!(io::stderr(), "the lab is kept in {}", path.display());
        Ok(Self(Arc::new(Inner { path, janitor: None })))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Moves the folder away from its removal, and answers where it is from now on.
    ///
    /// For what went wrong: parts that run may still write their logs, and are good for nothing else.
    pub fn preserve(&self) -> Result<PathBuf> {
        if self.0.janitor.is_none() {
            return Ok(self.path().into());
        }
        let mut kept = self.path().as_os_str().to_owned();
        kept.push("-kept");
        fs::rename(self.path(), &kept).map_err(Error::io(format!("keep {}", self.path().display())))?;
        Ok(kept.into())
    }

    /// The folder of this name in it, created if need be.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).map_err(Error::io(format!("create {}", path.display())))?;
        Ok(path)
    }

    /// Polls until the condition yields something, and fails with `what` and the last lines of all logs.
    ///
    /// `within` guards against hanging; it is no measurement.
    pub fn wait_until<T>(&self, what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
        let end = Instant::now() + within;
        loop {
            if let Some(result) = condition() {
                return Ok(result);
            }
            if Instant::now() >= end {
                return Err(Error::Deadline {
                    what: what.into(),
                    seconds: within.as_secs(),
                    logs: self.logs(),
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last lines of every `*.log` in the folder and in the folders in it.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for folder in std::iter::once(self.path().to_owned()).chain(children(self.path())) {
            for file in children(&folder) {
                if file.extension().is_some_and(|extension| extension == "log") {
                    let log = fs::read(&file).unwrap_or_default();
                    text += &format!("--- {}\n{}\n", file.display(), tail(&String::from_utf8_lossy(&log)));
                }
            }
        }
        text
    }
}

fn create() -> Result<PathBuf> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir()
        .map(tempfile::TempDir::keep)
        .map_err(Error::io("create a scratch folder"))
}

/// What is in a folder, sorted; nothing if it is none.
fn children(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    const LINES: usize = 20;
    let skip = log.lines().count().saturating_sub(LINES);
    log.lines().skip(skip).collect::<Vec<_>>().join("\n")
}

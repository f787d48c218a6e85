//! A program of the system, as a child that does not outlive us.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::{Error, Result};

/// Which Debian package has which program.
const PACKAGES: &[(&str, &str)] = &[
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("ovs-pki", "openvswitch-common"),
    ("ovsdb-client", "openvswitch-common"),
    ("ovsdb-server", "openvswitch-common"),
    ("ovsdb-tool", "openvswitch-common"),
    ("promtool", "prometheus"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("vtep-ctl", "openvswitch-vtep"),
];

/// The program's path: looked for in `PATH`, and where Debian keeps the programs of the administrator.
///
/// Fails with [`Error::Missing`], which names the package to install.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(
        program,
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from)),
    )
}

/// As [`find`], in these folders only.
pub fn find_in(program: &str, folders: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf> {
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| missing(program))
}

fn missing(program: &str) -> Error {
    let package = PACKAGES.iter().find(|(known, _)| *known == program);
    Error::Missing {
        program: program.into(),
        package: package.map_or(program, |(_, package)| package).into(),
    }
}

/// Runs a program to its end and returns what it wrote; fails with its complaint if it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command = Command::new(find(program)?);
    command.args(args).stdin(Stdio::null());
    let output = command.output().map_err(Error::io(format!("run {program}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(
        format!("{command:?}"),
        format!("{} ({})", complaint.trim(), output.status),
    ))
}

/// A program to be started.
pub struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    namespace: Option<String>,
    tether: Option<PathBuf>,
}

impl Launch {
    /// `program` is a name that [`find`] can find, or a path.
    pub fn new(program: impl AsRef<Path>) -> Result<Self> {
        let program = program.as_ref();
        let named = program.components().count() == 1 && !program.is_absolute();
        Ok(Self {
            program: if named {
                find(&program.to_string_lossy())?
            } else {
                program.to_owned()
            },
            args: Vec::new(),
            env: Vec::new(),
            namespace: None,
            tether: None,
        })
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs it in the network namespace of this name, if there is one.
    pub fn namespace(mut self, name: Option<&str>) -> Self {
        self.namespace = name.map(Into::into);
        self
    }

    /// Has this `tandem` see to it that it does not outlive us, instead of `setpriv`, if there is one.
    pub fn tether(mut self, tandem: Option<&Path>) -> Self {
        self.tether = tandem.map(Into::into);
        self
    }

    /// Starts it; what it writes is appended to `log`.
    pub fn start(self, log: PathBuf) -> Result<Program> {
        let name = self.program.display().to_string();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::io(format!("open {}", log.display())))?;
        let errors = file.try_clone().map_err(Error::io("share a log"))?;
        let (tether, tied): (_, &[_]) = match self.tether {
            None => (find("setpriv")?, &["--pdeathsig", "KILL", "--"]),
            Some(tandem) => (tandem, &["lab", "tether", "--"]),
        };
        let mut command = match &self.namespace {
            None => Command::new(tether),
            Some(namespace) => {
                let mut command = Command::new(find("ip")?);
                command.args(["netns", "exec", namespace]).arg(tether);
                command
            }
        };
        command
            .args(tied)
            .arg(self.program)
            .args(self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors);
        let child = spawn(command).map_err(Error::io(format!("start {name}")))?;
        Ok(Program {
            name,
            pid: Pid::from_raw(child.id().cast_signed()),
            child: Mutex::new(child),
            log,
        })
    }
}

/// A running child, or one that has ended. It is killed and reaped when it is dropped.
pub struct Program {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Program {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The memory that it has now and at most had, in KiB (`VmRSS` and `VmHWM`).
    pub fn memory_kib(&self) -> Result<(u64, u64)> {
        let file = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(&file).map_err(Error::io(format!("read {file}")))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().split(' ').next()?.parse().ok()
        };
        let both = field("VmRSS:").zip(field("VmHWM:"));
        both.ok_or_else(|| Error::failed(format!("read {file}"), "it has no line about memory"))
    }

    /// How it ended; `None` while it runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Sends a signal; fails if it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Held over the call: a pid that was not reaped cannot be another process's.
        let mut child = self.child();
        match child.try_wait() {
            Ok(None) => kill(self.pid, signal).map_err(|errno| Error::Io {
                what: format!("send {signal} to {}", self.name),
                source: errno.into(),
            }),
            Ok(Some(status)) => Err(Error::failed(
                format!("send {signal} to {}", self.name),
                format!("it has ended ({status})"),
            )),
            Err(source) => Err(Error::io(format!("look after {}", self.name))(source)),
        }
    }

    /// `kill -9`, and waits until it is gone. No error if it had ended before.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.child();
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(Error::io(format!("kill {}", self.name)))
    }

    /// SIGTERM: asks it to end in good order.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// SIGSTOP: it hangs, and the kernel still accepts connections for it.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT: it goes on.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Waits until it ends by itself.
    pub fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.exited() {
                return Ok(status);
            }
            if Instant::now() >= end {
                return Err(Error::Deadline {
                    what: format!("the end of {}", self.name),
                    seconds: within.as_secs(),
                    logs: self.log(),
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // There is no one to report to here.
        let _ = self.kill();
    }
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns on a thread that lives as long as the process: the signal at the parent's death comes when the *thread*
/// that spawned the child ends, and a test's thread ends before its process.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in jobs {
                // The caller waits for the reply.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts programs is gone");
    SPAWNER.send((command, reply)).map_err(|_| gone(mpsc::RecvError))?;
    answer.recv().map_err(gone)?
}

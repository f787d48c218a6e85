//! Network namespaces: nodes whose links can be cut without a sound.

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::janitor::Janitor;
use super::program::{find, run};
use super::scratch::Scratch;
use super::{Error, Result};

/// What a person has to do where neither root nor user namespaces are there.
const NEEDED: &str = "network namespaces need root, or unprivileged user namespaces \
     (`sysctl -w kernel.unprivileged_userns_clone=1` and, where there is AppArmor, \
     `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`)";

/// Names, to a re-executed process, the file that shows that the test was there.
const ENTERED: &str = "TANDEM_LAB_ENTERED";

/// `/run` belongs to root outside; a file system of our own makes room for `/run/netns`.
const PREPARE: &str = r#"mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@""#;

/// Runs the body of the test of this name where namespaces can be made: here as root, otherwise in this very test
/// program, run once more for this test alone, inside `unshare -Urnm`.
///
/// `test` is the path that `--exact` knows. Where neither works, the error names what is needed.
pub fn enter(test: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    let entered = std::env::var_os(ENTERED);
    if let Some(proof) = &entered {
        File::create(proof).map_err(Error::io("report from the user namespace"))?;
    }
    // Root in a container may lack the right, and root of a user namespace the folder.
    if nix::unistd::geteuid().is_root() && Namespaces::new()?.add("probe").is_ok() {
        return body();
    }
    if entered.is_some() {
        return Err(Error::failed("make a network namespace", NEEDED));
    }
    unshare(["true"].map(OsStr::new), None).map_err(|_| Error::failed("make a user namespace", NEEDED))?;
    let scratch = Scratch::new()?;
    let proof = scratch.path().join("entered");
    let program = std::env::current_exe().map_err(Error::io("find this program"))?;
    let again = ["--exact", test, "--nocapture"].map(OsStr::new);
    unshare(std::iter::once(program.as_os_str()).chain(again), Some(&proof))?;
    match proof.exists() {
        true => Ok(()),
        false => Err(Error::failed("run a test again", format!("no test is named `{test}`"))),
    }
}

/// Runs a program to its end as root of a user namespace, with a `/run` of its own.
fn unshare<'a>(program: impl IntoIterator<Item = &'a OsStr>, proof: Option<&Path>) -> Result<()> {
    let mut command = Command::new(find("unshare")?);
    command.args(["-Urnm", "sh", "-c", PREPARE, "sh"]).args(program);
    if let Some(proof) = proof {
        command.env(ENTERED, proof);
    }
    match command.status().map_err(Error::io("run unshare"))? {
        status if status.success() => Ok(()),
        status => Err(Error::failed("run in a user namespace", status)),
    }
}

/// A set of namespaces that go together, and with us.
pub struct Namespaces {
    prefix: String,
    _janitor: Janitor,
}

const REMOVE: &str = r#"for name in $(ip netns list | cut -d' ' -f1 | grep "^$1"); do ip netns delete "$name"; done"#;

impl Namespaces {
    /// An empty set, with names that no other set has.
    pub fn new() -> Result<Self> {
        static SETS: AtomicU32 = AtomicU32::new(0);
        // The process ids of two users' namespaces may agree, but then so do not their `/run/netns`.
        let prefix = format!("td{}x{}-", std::process::id(), SETS.fetch_add(1, Ordering::Relaxed));
        let janitor = Janitor::new(REMOVE, &prefix)?;
        Ok(Self {
            prefix,
            _janitor: janitor,
        })
    }

    /// Adds a node, with nothing but a loopback interface; returns the namespace's name.
    pub fn add(&self, node: &str) -> Result<String> {
        let name = format!("{}{node}", self.prefix);
        run("ip", ["netns", "add", &name])?;
        run("ip", ["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }

    /// A veth pair between two nodes, each with its address in a `/24`.
    pub fn connect(&self, left: (&str, Ipv4Addr), right: (&str, Ipv4Addr)) -> Result<Link> {
        static LINKS: AtomicU32 = AtomicU32::new(0);
        let interface = format!("veth{}", LINKS.fetch_add(1, Ordering::Relaxed));
        let [(a, _), (b, _)] = [left, right];
        run(
            "ip",
            [
                "-n", a, "link", "add", &interface, "type", "veth", "peer", "name", &interface, "netns", b,
            ],
        )?;
        for (node, address) in [left, right] {
            run(
                "ip",
                [
                    "-n",
                    node,
                    "address",
                    "add",
                    &format!("{address}/24"),
                    "dev",
                    &interface,
                ],
            )?;
            run("ip", ["-n", node, "link", "set", &interface, "up"])?;
        }
        Ok(Link {
            nodes: [a.into(), b.into()],
            interface,
        })
    }
}

/// A link between two namespaces.
pub struct Link {
    nodes: [String; 2],
    interface: String,
}

impl Link {
    /// From now on both ends drop what arrives, silently; the interfaces stay up.
    pub fn cut(&self) -> Result<()> {
        let Self { nodes, interface } = self;
        // A neighbour that no longer answers ARP would be reported within seconds.
        let hook = format!(
            "{{ type filter hook ingress device {interface} priority 0; policy drop; ether type arp accept; }}"
        );
        for node in nodes {
            let table = format!("table netdev cut_{interface} {{ chain in {hook}; }}");
            in_namespace(node, "nft", &[&table])?;
        }
        Ok(())
    }

    /// Undoes [`Link::cut`].
    pub fn heal(&self) -> Result<()> {
        for node in &self.nodes {
            in_namespace(
                node,
                "nft",
                &["delete", "table", "netdev", &format!("cut_{}", self.interface)],
            )?;
        }
        Ok(())
    }
}

/// Runs a program to its end inside a namespace and returns what it wrote.
pub fn in_namespace(namespace: &str, program: &str, args: &[&str]) -> Result<String> {
    find(program)?;
    run("ip", ["netns", "exec", namespace, program].iter().chain(args))
}

/// Calls a function on a thread of its own inside a namespace: the sockets that it opens belong there.
pub fn inside<T: Send>(namespace: &str, body: impl FnOnce() -> T + Send) -> Result<T> {
    let file = Path::new("/run/netns").join(namespace);
    let handle = File::open(&file).map_err(Error::io(format!("open {}", file.display())))?;
    thread::scope(|scope| {
        let entered = scope.spawn(move || setns(handle, CloneFlags::CLONE_NEWNET).map(|()| body()));
        match entered.join() {
            Ok(result) => result.map_err(|errno| Error::Io {
                what: format!("enter {namespace}"),
                source: errno.into(),
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

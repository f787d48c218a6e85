//! The lab itself: what every other test with real parts relies on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process, thread};

use tandem_lab::haproxy::{Backend, Listen};
use tandem_lab::netns::{self, Namespaces};
use tandem_lab::{
    Haproxy, HaproxyOptions, Launch, Loopback, Pair, PairOptions, Program, Result, Scratch, Signal, Switch,
    SwitchOptions, program,
};

/// Generous: it only guards against hanging.
const SOON: Duration = Duration::from_secs(60);

/// Set where this program is to be an agent's stand-in: its name and its address.
const STAND_IN: &str = "TANDEM_LAB_TEST_STAND_IN";

#[test]
fn the_proxy_forwards_to_a_healthy_backend_and_notices_its_death() -> Result<()> {
    if let Ok(stand_in) = env::var(STAND_IN) {
        be_an_agent(&stand_in);
    }
    let scratch = Scratch::new()?;
    let loopback = Loopback::claim()?;
    let backends = [("a", 11), ("b", 12)].map(|(name, part)| Backend {
        name: name.into(),
        address: loopback.address(part),
        ovsdb: 6640,
        health: 6650,
        agent_check: None,
        backup: name == "b",
    });
    let agents = backends.clone().map(|backend| {
        again("the_proxy_forwards_to_a_healthy_backend_and_notices_its_death").and_then(|launch| {
            launch
                .env(STAND_IN, format!("{} {}", backend.name, backend.address))
                .start(scratch.path().join("agent.log"))
        })
    });
    let [a, _b]: [Program; 2] = agents
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .try_into()
        .ok()
        .expect("two");
    let listen = Listen {
        name: "ovsdb".into(),
        bind: (loopback.address(1), 6640).into(),
        backends: backends.into(),
    };
    let vip = listen.bind;
    let mut haproxy = Haproxy::start(
        &scratch,
        "haproxy",
        HaproxyOptions {
            listens: vec![listen],
            ..HaproxyOptions::default()
        },
    )?;
    let up = |haproxy: &Haproxy| {
        let servers = haproxy.servers().ok()?;
        servers
            .iter()
            .all(|server| server.status == "UP" && server.check == "L7OK")
            .then_some(())
    };
    scratch.wait_until("both backends up", SOON, || up(&haproxy))?;

    let mut held = scratch
        .wait_until("a connection to a", SOON, || dial(vip).filter(|(name, _)| name == "a"))?
        .1;
    assert_eq!(
        haproxy
            .servers()?
            .iter()
            .map(|server| server.sessions)
            .collect::<Vec<_>>(),
        [1, 0]
    );
    a.kill()?;
    scratch.wait_until("a is down", SOON, || {
        haproxy
            .servers()
            .ok()?
            .iter()
            .any(|server| server.name == "a" && server.status == "DOWN")
            .then_some(())
    })?;
    assert_eq!(held.read(&mut [0]).unwrap_or(0), 0, "the connection to a is cut");
    assert_eq!(dial(vip).map(|(name, _)| name).as_deref(), Some("b"));

    let plain = haproxy.options().clone();
    haproxy.reload(HaproxyOptions {
        send_proxy_v2: true,
        ..plain.clone()
    })?;
    let (_, mut proxied) = scratch.wait_until("b behind a PROXY header", SOON, || dial(vip))?;
    let mut signature = [0; 12];
    proxied.read_exact(&mut signature).expect("what b received first");
    assert_eq!(&signature, b"\r\n\r\n\0\r\nQUIT\n");
    scratch.wait_until("a check without a PROXY header", SOON, || {
        haproxy
            .servers()
            .ok()?
            .iter()
            .any(|server| server.name == "b" && server.check == "L7OK")
            .then_some(())
    })?;
    haproxy.reload(plain)?;

    // After a reload HAProxy takes a dead server for alive until it has checked it.
    let (_, mut kept) = scratch.wait_until("b after a reload", SOON, || dial(vip))?;
    haproxy.reload(haproxy.options().clone())?;
    kept.write_all(b"still there").expect("the old process serves it");
    let mut echoed = [0; 11];
    kept.read_exact(&mut echoed).expect("the old process serves it");
    assert_eq!(&echoed, b"still there");
    haproxy.restart()?;
    assert_eq!(kept.read(&mut [0]).unwrap_or(0), 0, "a restart cuts what it held");
    Ok(())
}

/// Connects, and reads the name that the stand-in sends first.
fn dial(address: SocketAddr) -> Option<(String, TcpStream)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let mut name = [0; 1];
    stream.read_exact(&mut name).ok()?;
    Some((String::from_utf8_lossy(&name).into(), stream))
}

/// Sends its name to each client that dials 6640, and echoes what it receives; answers health checks on 6650.
fn be_an_agent(stand_in: &str) -> ! {
    let (name, address) = stand_in.split_once(' ').expect("name and address");
    let address: Ipv4Addr = address.parse().expect("an address");
    let health = TcpListener::bind((address, 6650)).expect("the health port is free");
    thread::spawn(move || {
        for mut stream in health.incoming().flatten() {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap_or(0);
            if request[..read].starts_with(br#"{"method":"echo""#) {
                let _ = stream.write_all(br#"{"id":"h","result":[],"error":null}"#);
            }
        }
    });
    for mut stream in TcpListener::bind((address, 6640))
        .expect("6640 is free")
        .incoming()
        .flatten()
    {
        let name = name.to_owned();
        thread::spawn(move || {
            let mut received = [0; 1024];
            let mut answer = name.into_bytes();
            while stream.write_all(&answer).is_ok() {
                match stream.read(&mut received) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => answer = received[..read].to_vec(),
                }
            }
        });
    }
    process::exit(0)
}

/// Set where this program is to start a lab and to hang.
const VICTIM: &str = "TANDEM_LAB_TEST_VICTIM";

#[test]
fn a_lab_goes_when_its_process_is_interrupted_or_killed() -> Result<()> {
    if env::var_os(VICTIM).is_some() {
        return start_a_lab_and_hang();
    }
    let scratch = Scratch::new()?;
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let log = scratch.path().join(format!("{signal}.log"));
        let victim = again("a_lab_goes_when_its_process_is_interrupted_or_killed")?
            .env(VICTIM, "1")
            .start(log)?;
        let (pid, folder) = scratch.wait_until("the victim's lab", SOON, || {
            let log = victim.log();
            let (pid, folder) = log
                .lines()
                .find_map(|line| line.strip_prefix("lab ")?.split_once(' '))?;
            Some((pid.parse::<u32>().ok()?, PathBuf::from(folder)))
        })?;
        assert!(alive(pid) && folder.exists());
        victim.signal(signal)?;
        scratch.wait_until("the end of its server", SOON, || (!alive(pid)).then_some(()))?;
        scratch.wait_until("the end of its folder", SOON, || (!folder.exists()).then_some(()))?;
    }
    Ok(())
}

fn start_a_lab_and_hang() -> Result<()> {
    let scratch = Scratch::new()?;
    let switch = Switch::start(&scratch, "tor1", SwitchOptions::default())?;
    // One write, so that a reader of the log sees a whole line or none; and before the harness could hold it back.
    let line = format!("lab {} {}\n", switch.process.pid(), scratch.path().display());
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("standard output is a file");
    switch.process.wait(SOON).map(drop)
}

#[test]
fn a_lab_goes_when_its_test_panics() -> Result<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let panicked = thread::spawn(move || {
        let scratch = Scratch::new().expect("a scratch folder");
        let switch = Switch::start(&scratch, "tor1", SwitchOptions::default()).expect("a switch");
        sender
            .send((switch.process.pid(), scratch.path().to_owned()))
            .expect("someone listens");
        panic!("as a test does");
    });
    assert!(panicked.join().is_err());
    let (pid, folder) = receiver.recv().expect("it came so far");
    assert!(!alive(pid));
    assert!(!folder.exists());
    Ok(())
}

#[test]
fn a_child_outlives_the_thread_that_started_it() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = scratch.path().join("sleep.log");
    let shared = scratch.clone();
    let start = move || {
        let child = Launch::new("sleep")?.arg("600").start(log)?;
        // Only once the program itself runs does the kernel know what the thread's end would mean for it.
        let name = format!("/proc/{}/comm", child.pid());
        shared.wait_until("the program itself", SOON, || {
            (fs::read_to_string(&name).ok()? == "sleep\n").then_some(())
        })?;
        Ok(child)
    };
    let child = thread::spawn(start).join().expect("no panic")?;
    child.stop()?;
    child.cont()?;
    child.terminate()?;
    // Had the thread's end killed it, that signal would have come before ours.
    assert_eq!(child.wait(SOON)?.signal(), Some(Signal::SIGTERM as i32));
    assert!(child.signal(Signal::SIGTERM).is_err(), "the process is gone");
    Ok(())
}

#[test]
fn a_missing_program_names_the_package_to_install() {
    let nowhere = [PathBuf::from("/nonexistent")];
    for (program, package) in [
        ("vtep-ctl", "openvswitch-vtep"),
        ("haproxy", "haproxy"),
        ("nft", "nftables"),
    ] {
        let error = program::find_in(program, nowhere.clone()).expect_err("nothing is there");
        assert!(error.to_string().contains(program));
        assert!(
            error.to_string().contains(&format!("apt-get install {package}")),
            "{error}"
        );
    }
}

#[test]
fn what_is_waited_for_in_vain_is_named_with_the_logs() -> Result<()> {
    let scratch = Scratch::new()?;
    fs::write(scratch.folder("part")?.join("part.log"), "no space left\n").expect("written");
    let error = scratch
        .wait_until("the sun", Duration::ZERO, || None::<()>)
        .expect_err("it is night");
    assert!(
        error.to_string().contains("the sun") && error.to_string().contains("no space left"),
        "{error}"
    );
    Ok(())
}

#[test]
fn two_labs_never_share_an_address() -> Result<()> {
    let (one, other) = (Loopback::claim()?, Loopback::claim()?);
    assert_ne!(one.address(1), other.address(1));
    let _one = TcpListener::bind((one.address(1), 6640)).expect("free");
    let _other = TcpListener::bind((other.address(1), 6640)).expect("free");
    Ok(())
}

#[test]
fn a_lab_goes_round_a_server_that_has_the_usual_port_on_all_addresses() -> Result<()> {
    netns::enter(
        "a_lab_goes_round_a_server_that_has_the_usual_port_on_all_addresses",
        || {
            let set = Namespaces::new()?;
            let node = set.add("node")?;
            let before = netns::inside(&node, Loopback::claim)??;
            assert_eq!(before.port(6650), 6650);
            let _server = netns::inside(&node, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 6640)))?.expect("bound");
            let lab = netns::inside(&node, Loopback::claim)??;
            let listener = netns::inside(&node, || TcpListener::bind((lab.address(1), lab.port(6640))))?;
            listener.expect("free");
            Ok(())
        },
    )
}

#[test]
fn a_folder_that_is_preserved_outlives_its_lab() -> Result<()> {
    let scratch = Scratch::new()?;
    let path = scratch.path().to_owned();
    fs::write(scratch.folder("part")?.join("part.log"), "why\n").expect("written");
    let kept = scratch.preserve()?;
    drop(scratch);
    assert!(!path.exists());
    assert_eq!(fs::read_to_string(kept.join("part/part.log")).expect("kept"), "why\n");
    fs::remove_dir_all(&kept).expect("removed");
    Ok(())
}

#[test]
fn a_cut_link_is_silent_and_heals() -> Result<()> {
    netns::enter("a_cut_link_is_silent_and_heals", || {
        let scratch = Scratch::new()?;
        let set = Namespaces::new()?;
        let (near, far) = (set.add("near")?, set.add("far")?);
        let [here, there] = [1, 2].map(|host| Ipv4Addr::new(10, 66, 0, host));
        let link = set.connect((&near, here), (&far, there))?;
        let listener = netns::inside(&far, || TcpListener::bind((there, 6640)))?.expect("bound");
        let mut near_end = netns::inside(&near, || TcpStream::connect((there, 6640)))?.expect("connected");
        let (mut far_end, _) = listener.accept().expect("accepted");

        link.cut()?;
        near_end.write_all(b"x").expect("the kernel takes it");
        let nothing = Duration::from_millis(300);
        far_end.set_read_timeout(Some(nothing)).expect("set");
        assert_eq!(
            far_end.read(&mut [0]).map_err(|error| error.kind()),
            Err(ErrorKind::WouldBlock)
        );
        let dialled = netns::inside(&near, || TcpStream::connect_timeout(&(there, 6640).into(), nothing))?;
        assert_eq!(dialled.expect_err("the link is cut").kind(), ErrorKind::TimedOut);

        link.heal()?;
        far_end.set_read_timeout(Some(SOON)).expect("set");
        let mut received = [0];
        far_end.read_exact(&mut received).expect("sent again");
        assert_eq!(&received, b"x");

        // A part may live in there too; its unix socket is reached from here.
        let options = SwitchOptions {
            namespace: Some(near.clone()),
            ..SwitchOptions::default()
        };
        let switch = Switch::start(&scratch, "tor1", options)?;
        switch.add_logical_switch("blue", 5001)?;
        assert!(switch.vtep_ctl(&["list-ls"])?.contains("blue"));
        drop(set);
        assert!(!Path::new("/run/netns").join(near).exists());
        Ok(())
    })
}

#[test]
fn a_pair_is_wired_together() -> Result<()> {
    let (_scratch, binary) = stay()?;
    let more = toml::toml! { agent = { lock = "other" } };
    let pair = Pair::start(&PairOptions {
        serves: false,
        switches: 2,
        targets: 2,
        more,
        ..PairOptions::new(binary)
    })?;
    assert_eq!(pair.owner("tor1"), None);
    for agent in &pair.agents {
        let end = "network = \"blue\"";
        pair.scratch.wait_until("the configuration", SOON, || {
            agent.log().iter().any(|line| line == end).then_some(())
        })?;
        let log = agent.log();
        assert!(log[0].starts_with("agent --config "), "{log:?}");
        let configuration: toml::Table = toml::from_str(&log[1..].join("\n")).expect("TOML");
        assert_eq!(
            configuration["agent"]["name"].as_str(),
            Some(agent.options().agent.name.as_str())
        );
        assert_eq!(configuration["agent"]["lock"].as_str(), Some("other"));
        assert_eq!(configuration["switch"].as_array().map(Vec::len), Some(2));
    }
    let targets = pair.switches[1].dump("Manager", &["target"])?;
    let mut dialled: Vec<_> = targets.iter().filter_map(|row| row["target"].as_str()).collect();
    dialled.sort_unstable();
    let vip = pair.loopback.address(1);
    assert_eq!(dialled, [format!("ssl:{vip}:6640"), format!("ssl:{vip}:6641")]);
    let configuration = pair.haproxy.options().configuration();
    assert_eq!(configuration.matches(" backup").count(), 2, "{configuration}");
    Ok(())
}

#[test]
fn an_agent_of_a_pair_can_lose_its_link() -> Result<()> {
    netns::enter("an_agent_of_a_pair_can_lose_its_link", || {
        let (_scratch, binary) = stay()?;
        let pair = Pair::start(&PairOptions {
            namespaces: true,
            ..PairOptions::new(binary)
        })?;
        let island = pair.island.as_ref().expect("there are namespaces");
        // Nothing listens, so a living node refuses, and a dead one does not answer.
        let dial = |agent: usize| {
            let address = pair.agents[agent].options().listen.ovsdb;
            let dialled = netns::inside(&island.hub, || {
                TcpStream::connect_timeout(&address, Duration::from_millis(300))
            });
            dialled.map(|stream| stream.expect_err("nothing listens").kind())
        };
        assert_eq!([dial(0)?, dial(1)?], [ErrorKind::ConnectionRefused; 2]);
        island.links[0].cut()?;
        assert_eq!(
            [dial(0)?, dial(1)?],
            [ErrorKind::TimedOut, ErrorKind::ConnectionRefused]
        );
        island.links[0].heal()?;
        assert_eq!([dial(0)?, dial(1)?], [ErrorKind::ConnectionRefused; 2]);
        Ok(())
    })
}

/// An agent's stand-in that shows how it was called and stays.
fn stay() -> Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new()?;
    let binary = scratch.path().join("tandem");
    fs::write(&binary, "#!/bin/sh\necho \"$@\"\ncat \"$3\"\nexec sleep 600\n").expect("written");
    fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).expect("made executable");
    Ok((scratch, binary))
}

/// This test program, once more, for one test alone. A shell has what it starts in the background ignore SIGINT, and
/// whatever that starts: here it is not ignored.
fn again(test: &str) -> Result<Launch> {
    let program = env::current_exe().expect("this program has a path");
    let launch = Launch::new("env")?.args(["--default-signal=INT"]);
    Ok(launch
        .args([program.as_os_str()])
        .args(["--exact", test, "--nocapture"]))
}

/// Whether a process runs; a dead one that was not reaped does not.
fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[test]
fn a_sweep_removes_a_scratch_folder_and_no_other() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let [scratch, other] = ["tandem-lab-x", "other"].map(|name| folder.path().join(name));
    for path in [&scratch, &other] {
        fs::create_dir_all(path.join("deep")).expect("created");
    }
    Scratch::sweep(&scratch)?;
    assert!(Scratch::sweep(&other).is_err());
    assert!(!scratch.exists() && other.join("deep").exists());
    // Another process was faster.
    Scratch::sweep(&scratch)
}

//! `tandem demo`, as a user runs it.

#![expect(clippy::print_stdout, reason = "measured times are for people to read")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tandem::demo::{self, Engine, Failure, Interrupt, Options, Progress, Route};
use tempfile::TempDir;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_last_line_of_json_reports_a_failover_that_rewrote_nothing_and_lost_no_route_for_good() {
    for (args, engine) in [(&[][..], "embedded"), (&["--real"], "real")] {
        // Both switches may have been with the agent that was killed, and then the route may stay.
        assert!(failover_in_json(args, engine) >= 0.0);
    }
}

#[test]
fn with_copies_held_no_route_is_missing() {
    for (args, engine) in [
        (&["--stale-hold"][..], "embedded"),
        (&["--stale-hold", "--real"], "real"),
    ] {
        let missing_ms = failover_in_json(args, engine);
        assert!(missing_ms == 0.0 && missing_ms.is_sign_positive(), "{args:?}");
    }
}

/// For how long the route was missing.
fn failover_in_json(args: &[&str], engine: &str) -> f64 {
    let folder = folder();
    let output = demo(&folder).args(args).arg("--json").output().expect("it runs");
    let line = last_line(&output);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    println!("{line}");
    let report: Value = serde_json::from_str(&line).expect("one JSON object");
    let keys: Vec<_> = line
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| report.get(word).is_some())
        .collect();
    let wanted = "ok engine fault macs owner_before owner_after impact_ms rows_rewritten route";
    assert_eq!(keys, wanted.split(' ').collect::<Vec<_>>());
    assert_eq!(
        (&report["ok"], &report["engine"], &report["fault"]),
        (&true.into(), &engine.into(), &"agent-kill".into())
    );
    assert_eq!((&report["macs"], &report["rows_rewritten"]), (&1000.into(), &0.into()));
    let owners = [&report["owner_before"], &report["owner_after"]].map(|owner| owner.as_str().expect("a name"));
    assert_eq!(BTreeSet::from(owners), BTreeSet::from(["agent-a", "agent-b"]));
    let [session, broadcast, audited] =
        ["session", "broadcast", "audited"].map(|step| report["impact_ms"][step].as_f64().expect("milliseconds"));
    assert!(session < broadcast && session < audited, "{line}");
    let route = &report["route"];
    assert_eq!((&route["before"], &route["after"]), (&true.into(), &true.into()));
    nothing_is_left(&folder);
    route["missing_ms"].as_f64().expect("milliseconds")
}

#[test]
fn the_story_is_in_words_that_a_newcomer_understands() {
    insta::assert_snapshot!(story(&[]));
    insta::assert_snapshot!("the_story_of_real_parts_is_in_the_same_words", story(&["--real"]));
}

fn story(args: &[&str]) -> String {
    let folder = folder();
    let output = demo(&folder)
        .args(args)
        .args(["--macs", "20"])
        .output()
        .expect("it runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    nothing_is_left(&folder);
    let story = String::from_utf8(output.stdout).expect("text");
    println!("{story}");
    redacted(&story)
}

#[test]
fn it_needs_no_program_but_tandem() {
    let folder = folder();
    let output = hiding(&["/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/usr/bin"], &folder)
        .env("PATH", "")
        .args(["demo", "--json", "--macs", "20"])
        .output()
        .expect("unshare is missing: apt-get install util-linux");
    needs_namespaces(&output);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let report: Value = serde_json::from_str(&last_line(&output)).expect("one JSON object");
    assert_eq!((&report["ok"], &report["engine"]), (&true.into(), &"embedded".into()));
    nothing_is_left(&folder);
}

#[test]
fn demos_at_once_do_not_meet() {
    let folders = [(); 3].map(|()| folder());
    let children = [0, 1, 2].map(|number| {
        let mut command = demo(&folders[number]);
        command.args(["--json", "--macs", "20"]).stdout(Stdio::piped());
        command
            .args(["--real"].iter().take(number % 2))
            .spawn()
            .expect("it starts")
    });
    for (child, folder) in children.into_iter().zip(&folders) {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        nothing_is_left(folder);
    }
}

#[test]
fn ctrl_c_cleans_up_and_exits_with_130() {
    for (args, near) in [(&[][..], "agent-b"), (&["--real"], "ovsdb-server")] {
        let folder = folder();
        let mut child = demo(&folder)
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let is_near = || mentioning(&folder).iter().any(|process| process.contains(near));
        wait(&mut child, is_near);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is there");
        assert_eq!(child.wait().expect("it ends").code(), Some(130));
        nothing_is_left(&folder);
    }
}

#[test]
fn a_demo_that_is_killed_takes_its_parts_and_files_with_it() {
    for args in [&[][..], &["--real"]] {
        let folder = folder();
        let mut child = demo(&folder)
            .args(args)
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let is_agent = |process: &String| process.contains("agent --config") && process.contains("agent-b");
        wait(&mut child, || mentioning(&folder).iter().any(is_agent));
        child.kill().expect("it is there");
        child.wait().expect("it ends");
        let is_gone =
            || mentioning(&folder).is_empty() && fs::read_dir(folder.path()).expect("our folder").next().is_none();
        wait_until(is_gone);
    }
}

#[test]
fn a_missing_program_is_the_environments_fault_and_its_package_is_named() {
    let folder = folder();
    // The folder of the administrator's programs is empty now.
    let output = hiding(&["/usr/sbin"], &folder)
        .args(["demo", "--real", "--json"])
        .output()
        .expect("unshare is missing: apt-get install util-linux");
    let stderr = String::from_utf8_lossy(&output.stderr);
    needs_namespaces(&output);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    for what_to_do in [
        "haproxy, of the Debian package haproxy",
        "ovsdb-server, of the Debian package openvswitch-common",
        "make deps",
        "apt-get install --no-install-recommends haproxy openvswitch-common",
    ] {
        assert!(stderr.contains(what_to_do), "{stderr}");
    }
    let report: Value = serde_json::from_str(&last_line(&output)).expect("one JSON object");
    assert_eq!(report["ok"], false);
    nothing_is_left(&folder);
}

#[test]
fn a_part_that_ends_by_itself_fails_the_demo_and_its_files_are_kept() {
    for engine in [Engine::Embedded, Engine::Real] {
        for part in ["agent", "control"] {
            let folder = folder();
            let tandem = without(part, &folder);
            let options = Options {
                engine,
                macs: 20,
                stale_hold: false,
            };
            let failure = demo::run(options, &tandem, &Interrupt::default(), &Progress::new());
            let Err(failure) = failure else {
                panic!("{failure:?}");
            };
            assert_eq!(failure.route(), Route::default());
            let Failure::Wrong {
                what, kept: Some(kept), ..
            } = failure
            else {
                panic!("{failure:?}");
            };
            assert!(
                what.contains(&format!("run {part}-")) && what.contains("exit status: 7"),
                "{what}"
            );
            assert!(kept.join("agent-a/agent.toml").is_file());
            assert_eq!(mentioning(&kept), Vec::<String>::new());
            fs::remove_dir_all(&kept).expect("removed");
        }
    }
}

/// Tandem, but for one command.
fn without(command: &str, folder: &TempDir) -> PathBuf {
    let file = folder.path().join("tandem");
    let script = format!("#!/bin/sh\ntest \"$1\" = {command} && exit 7\nexec '{TANDEM}' \"$@\"\n");
    fs::write(&file, script).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
    file
}

/// A folder for temporary files that only one demo knows.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn demo(folder: &TempDir) -> Command {
    let mut command = Command::new(TANDEM);
    environment(&mut command, folder).arg("demo");
    command
}

/// Tandem, in a file system in which these folders are empty.
fn hiding(folders: &[&str], folder: &TempDir) -> Command {
    let mounts: String = folders
        .iter()
        .map(|hidden| format!("mount -t tmpfs none {hidden} && "))
        .collect();
    let hide = format!("PATH=/usr/sbin:/usr/bin; {mounts} exec \"$@\"");
    let mut command = Command::new("/usr/bin/unshare");
    environment(&mut command, folder).args(["-Urm", "/bin/sh", "-c", &hide, "sh", TANDEM]);
    command
}

fn needs_namespaces(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.starts_with("unshare"),
        "this test needs user namespaces (sysctl -w kernel.unprivileged_userns_clone=1): {stderr}"
    );
}

fn environment<'a>(command: &'a mut Command, folder: &TempDir) -> &'a mut Command {
    command.env("TMPDIR", folder.path()).env_remove("TANDEM_LAB_KEEP")
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().expect("a line").to_owned()
}

fn wait(child: &mut Child, mut condition: impl FnMut() -> bool) {
    wait_until(|| {
        assert_eq!(child.try_wait().expect("our child"), None, "it ended too early");
        condition()
    });
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

fn nothing_is_left(folder: &TempDir) {
    let left: Vec<PathBuf> = fs::read_dir(folder.path())
        .expect("our folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(mentioning(folder.path()), Vec::<String>::new());
}

/// The command lines that name this folder: every part of a lab has its files there.
fn mentioning(folder: impl AsRef<Path>) -> Vec<String> {
    let folder = folder.as_ref().to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

/// The report without what differs from run to run: times, owners, and the order of steps that are near each other.
fn redacted(story: &str) -> String {
    let second_first = story.contains("agent-b is killed");
    let renamed = |word: &str| match second_first {
        true => word
            .replace("agent-b", "agent-?")
            .replace("agent-a", "agent-b")
            .replace("agent-?", "agent-a")
            .replace("10.0.0.12", "10.0.0.?")
            .replace("10.0.0.11", "10.0.0.12")
            .replace("10.0.0.?", "10.0.0.11"),
        false => word.into(),
    };
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_time = |at: usize| {
            let number = words[at].parse::<f64>().is_ok();
            number && (words[at].contains('.') || words.get(at + 1).is_some_and(|next| next.starts_with("ms")))
        };
        let redacted = (0..words.len()).map(|at| if is_time(at) { "#".into() } else { renamed(words[at]) });
        redacted.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = story.lines().map(line).collect();
    for paragraph in lines.split_mut(String::is_empty) {
        if paragraph
            .first()
            .is_some_and(|title| title.starts_with("WHAT HAPPENED"))
        {
            paragraph[1..].sort();
        }
    }
    lines.join("\n")
}

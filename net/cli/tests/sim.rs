//! `tandem sim`, as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;
use tandem_sim::plan::Plan;
use tempfile::TempDir;

/// Nothing goes wrong in it.
const GOOD: &str = "name = 'good'\nseed = 1\nduration = '5s'\n";

/// Two agents crash, and come back with half of the configuration: nothing converges in a second.
const BAD: &str = r#"
name = 'bad'
seed = 1
duration = '20s'
topology = { switches = 2, networks = 3 }
agent = { configured_after = '10m' }
judgement = { converge = '1s' }
fault = [
    { at = '4s', for = '2s', kind = 'crash', node = 'agent-a' },
    { at = '9s', for = '2s', kind = 'crash', node = 'agent-b' },
    { at = '12s', kind = 'reset', between = 'tor1', and = 'proxy-1' },
]
"#;

/// It demands a failure that does not come.
const MISSED: &str = "name = 'missed'\nseed = 1\nduration = '5s'\njudgement = { must_fail = 'S8' }\n";

/// Generous: it guards against hanging, nothing else.
const LONG: Duration = Duration::from_secs(120);

#[test]
fn a_good_plan_is_described_and_found_good() {
    let folder = Folder::new(&[("good.toml", GOOD)]);
    let output = folder.sim(&["run", "good.toml"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(printed.starts_with("plan       good, seed 1, 5s\n"), "{printed}");
    assert!(last(&printed).starts_with("ok    good"), "{printed}");
    let quiet = text(&folder.sim(&["run", "good.toml", "--quiet"]).stdout);
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
}

#[test]
fn a_failure_is_printed_with_its_causes_and_ends_with_the_command_that_shows_it_again() {
    let folder = Folder::new(&[("bad plan.toml", BAD)]);
    let output = folder.sim(&["run", "bad plan.toml"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (_, found) = printed.split_once("\nFAIL  bad ").expect("a verdict");
    assert!(found.contains("\nL at 21.000 s, event "), "{found}");
    assert!(
        found.contains("\nHow it came to that, the last event first:\n"),
        "{found}"
    );
    assert!(found.lines().all(|line| line.chars().count() <= 100), "{found}");
    assert_eq!(last(&printed), "tandem sim run 'bad plan.toml'");
    let replay = last(&printed).replace("tandem", env!("CARGO_BIN_EXE_tandem"));
    let again = Command::new("sh")
        .args(["-c", &replay])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(1), printed));
}

#[test]
fn a_verdict_without_a_reader_is_not_good() {
    let folder = Folder::new(&[("bad.toml", BAD)]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = folder
        .command(&["run", "bad.toml"])
        .stdout(writer)
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_plan_that_must_fail_and_does_not_fails() {
    let folder = Folder::new(&[("missed.toml", MISSED)]);
    let output = folder.sim(&["run", "missed.toml"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        printed.contains("S8 must fail in this plan, and it did not"),
        "{printed}"
    );
    assert_eq!(last(&printed), "tandem sim run missed.toml");
}

#[test]
fn a_folder_takes_a_line_for_each_plan() {
    let folder = Folder::new(&[
        ("plans/b.toml", MISSED),
        ("plans/a.toml", GOOD),
        ("plans/below/c.toml", GOOD),
    ]);
    let output = folder.sim(&["run", "plans", "--json"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines: Vec<_> = printed
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("FAIL "))
        .collect();
    let words: Vec<_> = lines
        .iter()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(words, ["ok good", "FAIL missed", "ok good"], "{printed}");
    assert!(printed.contains("\n2 of 3 good\n"), "{printed}");
    assert!(printed.contains("\ntandem sim run plans/b.toml\n"), "{printed}");
    let json = json(&output);
    assert_eq!(
        (&json["ok"], json["runs"].as_array().map(Vec::len)),
        (&false.into(), Some(3))
    );
}

#[test]
fn the_log_has_columns_for_people_and_lines_of_json_for_tools() {
    let folder = Folder::new(&[("good.toml", GOOD)]);
    let columns = text(&folder.sim(&["run", "good.toml", "--quiet", "--log"]).stdout);
    assert_eq!(columns.lines().next(), Some(tandem_sim::world::log::COLUMNS));
    let entries = columns.lines().skip(1).take_while(|line| !line.is_empty()).count();
    let replayed = text(&folder.sim(&["replay", "good.toml", "--quiet"]).stdout);
    assert_eq!(replayed, columns);
    let output = folder.sim(&["run", "good.toml", "--log=jsonl"]);
    let lines = text(&output.stdout);
    let ids = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_u64());
    let largest = lines.lines().flat_map(numbers).max();
    assert!(
        largest.is_some_and(|number| number < 1 << 53),
        "JSON readers lose digits of {largest:?}"
    );
    assert!(entries > 10 && ids.eq((1..=entries as u64).map(Some)), "{lines}");
    assert!(text(&output.stderr).contains("\nok    good"), "{output:?}");
}

#[test]
fn of_a_log_only_what_is_asked_for_is_printed_and_all_of_it_is_judged() {
    let folder = Folder::new(&[("bad.toml", BAD)]);
    let arguments = ["--node", "world", "--word", "FaultBegins", "--from", "5s", "--to", "9s"];
    for command in ["run", "replay"] {
        let output = folder
            .command(&[command, "bad.toml", "--quiet"])
            .args(arguments)
            .output();
        let output = output.expect("it runs");
        let printed = text(&output.stdout);
        let (log, rest) = printed.split_once("\n\n").expect("a log");
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(last(log).ends_with("#2 crash agent-b"), "{log}");
        assert!(rest.starts_with("1 of ") && rest.contains("\nL at "), "{rest}");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn a_filter_without_events_lists_the_events_that_are_there() {
    let folder = Folder::new(&[("bad.toml", BAD)]);
    let printed = text(&folder.sim(&["run", "bad.toml", "--quiet", "--node", "tor7"]).stdout);
    let (_, rest) = printed.split_once("0 of ").expect("how many");
    let line = |head: &str| rest.lines().find(|line| line.starts_with(head)).expect(head);
    assert!(line("nodes  ").contains(" tor1 tor2 world"), "{rest}");
    assert!(line("words  ").contains(" FaultBegins "), "{rest}");
}

#[test]
fn a_plan_runs_the_same_way_twice() {
    let folder = Folder::new(&[("bad.toml", BAD)]);
    let output = folder.sim(&["run", "bad.toml", "--check-determinism"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "it fails, twice: {output:?}");
    assert!(printed.contains("\nthe same twice: "), "{printed}");
    assert_eq!(last(&printed), "tandem sim run bad.toml --check-determinism");
}

#[test]
fn a_seed_is_printed_as_a_plan_that_runs_the_same_way() {
    let folder = Folder::new(&[]);
    let printed = text(&folder.sim(&["run", "--seed", "3", "--toml"]).stdout);
    assert_eq!(Plan::parse(&printed), Ok(Plan::of_seed(3)));
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let folder = Folder::new(&[
        ("wrong.toml", "name = 'x'\nseed = 1\nduration = '5'\n"),
        ("good.toml", GOOD),
        ("none/README.md", ""),
    ]);
    mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).expect("a pipe");
    for (arguments, message) in [
        (&["run", "wrong.toml"][..], "wrong.toml:3:12]"),
        (&["replay", "wrong.toml"], "wrong.toml:3:12]"),
        (&["shrink", "wrong.toml"], "wrong.toml:3:12]"),
        (&["run", "gone.toml"], "gone.toml cannot be read"),
        (&["run", "none"], "none has no .toml file in it"),
        (&["run"], "required"),
        (&["run", "wrong.toml", "--seed", "1"], "cannot be used with"),
        (&["sweep", "--seeds", "5"], "is no range of seeds"),
        (&["sweep", "--seeds", "5..1"], "runs backwards"),
        (&["sweep"], "--seeds <A..B>"),
        (
            &["sweep", "--seeds", "1..1", "--save", "wrong.toml"],
            "--save wrong.toml",
        ),
        (&["run", "good.toml", "good.toml", "--toml"], "one plan at a time"),
        (&["run", "pipe"], "pipe is no regular file"),
        (&["replay", "pipe"], "pipe is no regular file"),
    ] {
        let output = folder.sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            text(&output.stderr).contains(message) && output.stdout.is_empty(),
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn a_sweep_ends_with_one_line_of_json_whatever_the_number_of_worlds() {
    let folder = Folder::new(&[]);
    // The hundredth runs twice.
    let sweep = |jobs| {
        let output = folder.sim(&["sweep", "--seeds", "99..100", "-j", jobs, "--json", "--save", "failed"]);
        let line = last(&text(&output.stdout)).to_owned();
        let json = json(&output);
        let failed: Vec<_> = json["failed"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|failed| failed["seed"].as_u64())
            .collect();
        assert_eq!(
            (json["ok"] == true, failed.is_empty()),
            (output.status.success(), output.status.success())
        );
        let saved = fs::read_dir(folder.path().join("failed")).expect("a folder").count();
        assert_eq!(saved, failed.len(), "{output:?}");
        assert!(output.stderr.is_empty(), "quiet in a pipe: {output:?}");
        let wanted = [
            "ok",
            "seeds",
            "failed",
            "events",
            "events_per_s",
            "sim_seconds_per_s",
            "failover",
            "missing",
        ];
        let places = wanted.map(|key| line.find(&format!("\"{key}\":")));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{line}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(wanted.len()), "{line}");
        assert_eq!(json["seeds"], 2);
        (failed, json["events"].clone(), json["failover"].clone())
    };
    assert_eq!(sweep("1"), sweep("3"));
}

#[test]
fn ctrl_c_ends_a_sweep_with_what_is_known() {
    let folder = Folder::new(&[]);
    let arguments = ["sweep", "--seeds", "1..1000000", "--json", "--save", "failed"];
    let mut child = folder
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait(&mut child, catches_interrupts);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    let json = json(&output);
    let code = if json["failed"] == serde_json::json!([]) {
        130
    } else {
        1
    };
    assert_eq!(
        (output.status.code(), &json["ok"]),
        (Some(code), &false.into()),
        "{output:?}"
    );
    assert!(json["seeds"].as_u64().is_some_and(|seeds| seeds < 1_000_000));
}

#[test]
fn ctrl_c_ends_a_run_with_its_line_of_json() {
    let long = GOOD.replace("'5s'", "'24h'");
    let folder = Folder::new(&[("good.toml", GOOD), ("long.toml", &long)]);
    for log in [None, Some("--log")] {
        let mut child = folder
            .command(&["run", "good.toml", "long.toml", "--json"])
            .args(log)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        wait(&mut child, catches_interrupts);
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it is there");
        let output = child.wait_with_output().expect("it ends");
        let json = json(&output);
        assert_eq!(
            (output.status.code(), &json["ok"]),
            (Some(130), &false.into()),
            "{output:?}"
        );
        assert!(json["runs"].as_array().is_some_and(|runs| runs.len() < 2), "{json}");
    }
}

#[test]
fn what_is_shrunk_fails_in_the_same_way_and_cannot_lose_a_fault() {
    let folder = Folder::new(&[("bad.toml", BAD)]);
    let output = folder.sim(&["shrink", "bad.toml", "--out", "regressions/least.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(last(&text(&output.stdout)), "tandem sim run regressions/least.toml");
    let saved = fs::read_to_string(folder.path().join("regressions/least.toml")).expect("a plan");
    let comment: Vec<_> = saved.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(comment.iter().any(|line| line.starts_with("#   L at ")), "{saved}");
    assert!(
        comment.iter().any(|line| line.contains("`tandem sim run bad.toml`")),
        "{saved}"
    );
    let least = Plan::parse(&saved).expect("a plan");
    assert_eq!(
        (least.name.as_str(), least.faults.len(), least.topology.switches),
        ("least", 0, 1),
        "{saved}"
    );
    let again = folder.sim(&["run", "regressions"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(text(&again.stdout).contains("\nL at "), "{again:?}");
}

#[test]
fn a_plan_that_does_not_fail_cannot_be_shrunk() {
    let folder = Folder::new(&[("good.toml", GOOD), ("missed.toml", MISSED)]);
    for file in ["good.toml", "missed.toml"] {
        let output = folder.sim(&["shrink", file]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("finds no violation"), "{output:?}");
    }
}

#[cfg(not(feature = "mutants"))]
#[test]
fn a_plain_build_names_the_build_that_has_planted_bugs() {
    let output = Folder::new(&[]).sim(&["mutants", "--json"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
    let command = "cargo run --release -p tandem --features mutants --target-dir target/mutants -- sim mutants";
    assert_eq!(last(&text(&output.stderr)).trim(), command);
}

/// Every whole number of a text.
fn numbers(text: &str) -> Vec<u64> {
    let digits = text.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// Files that only one test knows.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, content) in files {
            let file: PathBuf = folder.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, content).expect("written");
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.arg("sim").args(arguments).current_dir(self.path());
        command
    }

    fn sim(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }
}

/// Whether a process handles SIGINT itself (proc(5): `SigCgt`).
fn catches_interrupts(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (Signal::SIGINT as u64 - 1) != 0)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn last(text: &str) -> &str {
    text.lines().last().expect("a line")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(last(&text(&output.stdout))).expect("one JSON object")
}

fn wait(child: &mut Child, condition: impl Fn(u32) -> bool) {
    let end = Instant::now() + LONG;
    while !condition(child.id()) {
        assert_eq!(child.try_wait().expect("our child"), None, "it ended too early");
        assert!(Instant::now() < end, "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

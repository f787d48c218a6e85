//! The book is true: its links lead somewhere, its configurations load, its walk works when pasted.
#![allow(clippy::print_stderr, reason = "findings are for the reader of the output")]

#[path = "book/alerts.rs"]
mod alerts;
#[path = "book/anchors.rs"]
mod anchors;
#[path = "book/failovers.rs"]
mod failovers;
#[path = "book/glossary.rs"]
mod glossary;
#[path = "book/limits.rs"]
mod limits;
#[path = "book/names.rs"]
mod names;
#[path = "book/walks.rs"]
mod walks;
#[path = "book/words.rs"]
mod words;

// A plain build of the core does not have it.
#[allow(dead_code, unreachable_pub, reason = "only the table is of interest here")]
#[path = "../../../core/src/mutant.rs"]
mod mutant;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tandem::pki;
use tandem_core::CloseReason;
use tandem_core::control::ControlStatus;
use tandem_core::status::AgentStatus;
use tandem_lab::haproxy::{Backend, HaproxyOptions, Listen};
use tandem_lab::{Pair, PairOptions, Scratch, program};
use tandem_net::config::{self, Files};
use tandem_net::driver::timings::Timings;
use tandem_net::metrics::{self, Counters};

#[test]
fn every_chapter_is_in_the_summary() {
    let summary = read(&root().join("docs/src/SUMMARY.md"));
    let listed: BTreeSet<&str> = links(&summary).into_iter().collect();
    let chapters = markdown(&root().join("docs/src"));
    assert!(chapters.len() > 5, "{chapters:?}");
    for chapter in chapters {
        let name = chapter.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(
            name == "SUMMARY.md" || listed.contains(name),
            "{name} is not in SUMMARY.md"
        );
    }
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut missing = Vec::new();
    for page in pages() {
        for link in links(&read(&page)) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.contains("://") || file.starts_with("mailto:") || file.is_empty();
            if !elsewhere && !page.with_file_name(file).exists() {
                missing.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "these links lead nowhere: {missing:#?}");
    assert_eq!(
        links("[a](b.md) `[c](d)` [e](f#g)\n```\n[h](i)\n```\n"),
        ["b.md", "f#g"]
    );
}

/// The table is made of the code; a failure shows what belongs between the marks.
#[test]
fn the_limits_of_the_book_are_those_of_the_code() {
    let book = read(&root().join("docs/src/limits.md"));
    let (_, rest) = book.split_once("<!-- bounds -->\n").expect("the mark");
    let (table, _) = rest.split_once("<!-- /bounds -->").expect("the other mark");
    let right = limits::table();
    assert_eq!(
        table, right,
        "between the marks in docs/src/limits.md belongs:\n{right}"
    );
}

#[test]
fn every_word_of_the_simulators_log_is_explained_and_no_other() {
    let page = read(&root().join("docs/src/log-words.md"));
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let heads = rows.filter_map(|row| row.split('|').nth(1));
    let explained: BTreeSet<&str> = heads.flat_map(|head| head.split('`').skip(1).step_by(2)).collect();
    let words: BTreeSet<&str> = words::OF_CORE
        .iter()
        .chain(&words::OF_SIM)
        .flat_map(|(_, words)| *words)
        .copied()
        .collect();
    assert!(words.len() > 50, "{words:?}");
    assert_eq!(explained, words);
}

#[test]
fn operators_find_every_word_that_agents_and_control_nodes_log() {
    let chapters = ["operating.md", "control-nodes.md"].map(|name| read(&root().join("docs/src").join(name)));
    for (event, words) in words::OF_CORE.iter().chain(&words::OF_NET) {
        for word in *words {
            let names =
                |chapter: &String| chapter.contains(&format!("`{word}`")) || chapter.contains(&format!(": {word}: "));
            assert!(
                chapters.iter().any(names),
                "neither operating.md nor control-nodes.md knows {word}, of {event}"
            );
        }
    }
}

#[test]
fn the_calibration_of_the_book_is_the_one_that_was_measured() {
    let folder = root().join("sim/tests/calibration/snapshots");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("snapshots")
        .flatten()
        .map(|file| file.path())
        .collect();
    files.sort();
    let tables = files.iter().map(|file| {
        let text = read(file);
        let table = text
            .splitn(3, "---\n")
            .nth(2)
            .expect("what follows the head")
            .trim_end()
            .to_owned();
        format!("```text\n{table}\n```\n")
    });
    assert_marked("calibration.md", "calibration", &tables.collect::<String>());
}

#[test]
fn the_close_reasons_of_the_book_are_those_of_the_code() {
    let mut table = String::from("| reason | meaning | fault |\n|---|---|---|\n");
    for reason in CloseReason::ALL {
        let fault = reason.fault().map_or_else(|| "-".to_owned(), |fault| fault.to_string());
        table += &format!("| `{reason}` | {} | {fault} |\n", reason.meaning());
    }
    assert_marked("operating.md", "close reasons", &table);
}

#[test]
fn the_planted_bugs_of_the_book_are_those_of_the_code() {
    let mut table = String::from("| planted bug | check | what is wrong |\n|---|---|---|\n");
    for mutant in mutant::Mutant::ALL {
        table += &format!("| `{mutant}` | {} | {} |\n", mutant.caught_by(), mutant.meaning());
    }
    assert!(table.lines().count() > 12 + 2, "{table}");
    assert_marked("checks.md", "planted", &table);
}

/// Runs every `tandem sim run` of one plan that a chapter prints; its lines are in the output, in their order. `[...]` stands for others.
#[test]
fn the_printed_runs_of_the_book_are_those_of_the_program() {
    let mut commands = 0;
    for chapter in ["determinism.md", "simulating.md"] {
        let page = read(&root().join("docs/src").join(chapter));
        for block in page.split("```console\n").skip(1) {
            let block = block.split("```").next().expect("a block");
            let (command, printed) = block.split_once('\n').expect("a command");
            let arguments = command.strip_prefix("$ tandem sim run ");
            let Some(arguments) = arguments.filter(|it| it.contains("scenarios/") && it.contains(".toml")) else {
                continue;
            };
            commands += 1;
            let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
                .args(["sim", "run"])
                .args(arguments.split(' '))
                .current_dir(root())
                .output()
                .expect("the program runs");
            let output = String::from_utf8(output.stdout).expect("text");
            let mut lines = output.lines();
            for line in printed.lines().filter(|line| *line != "[...]") {
                assert!(
                    lines.any(|it| it == line),
                    "{command} does not print {line:?} there:\n{output}"
                );
            }
        }
    }
    assert!(commands > 1, "{commands} commands");
}

fn assert_marked(chapter: &str, mark: &str, right: &str) {
    let book = read(&root().join("docs/src").join(chapter));
    let rest = book.split_once(&format!("<!-- {mark} -->\n")).expect("the mark").1;
    let found = rest.split_once(&format!("<!-- /{mark} -->")).expect("the other mark").0;
    assert_eq!(
        found, right,
        "between the marks `{mark}` in docs/src/{chapter} belongs:\n{right}"
    );
}

#[test]
fn every_line_of_the_walk_of_one_mac_is_in_the_log_of_its_scenario() {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args([
            "sim",
            "run",
            "--quiet",
            "scenarios/mac-travels.toml",
            "--log",
            "--to",
            "8s",
        ])
        .current_dir(root())
        .output()
        .expect("the program runs");
    let log = String::from_utf8(output.stdout).expect("text");
    let page = read(&root().join("docs/src/one-mac.md"));
    let walk = blocks(&page, "text").concat();
    assert!(walk.lines().count() > 12, "{walk}");
    for line in walk.lines() {
        let columns = columns(line);
        let has_all = |logged: &str| columns.iter().all(|column| logged.contains(column));
        assert!(log.lines().any(has_all), "the log has no such line: {line}");
    }
}

#[test]
fn the_metrics_of_the_book_are_those_of_agents_and_control_nodes() {
    let served = served();
    assert!(served.len() > 10, "{served:?}");
    let crates = [
        "tandem_core",
        "tandem_net",
        "tandem_lab",
        "tandem_sim",
        "tandem_benches",
    ];
    for page in pages() {
        let text = read(&page);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("tandem_") && !crates.contains(word)) {
            assert!(
                served.contains(word),
                "{}: no process serves the metric {word}",
                page.display()
            );
        }
    }
    let chapters = ["operating.md", "control-nodes.md"].map(|name| read(&root().join("docs/src").join(name)));
    for metric in served {
        assert!(
            chapters.iter().any(|chapter| chapter.contains(&format!("`{metric}`"))),
            "neither operating.md nor control-nodes.md explains {metric}"
        );
    }
}

/// The names of the metrics of an agent with a switch and a control node, and of a control node with an agent.
fn served() -> BTreeSet<String> {
    let session = json!({
        "conn": 1, "generation": 1, "from": "127.0.0.1:1", "phase": "synced", "ownership": "held", "schema": "1.7.0",
        "age_ms": 1.0, "rows_local": 0, "rows_remote": 0, "rows_desired": 0, "pending": 0, "in_flight": 0, "blocked": [],
        "quarantine": [], "keepalive_misses": 0, "takeover_ms": { "tls": 1.0 },
    });
    let status: AgentStatus = serde_json::from_value(json!({
        "agent": "agent-a", "tsn": "10.0.0.11", "tsn_alive": true, "grade": "fit", "unidentified": [],
        "revision": 1, "peer": { "agent": null, "grade": null },
        "switches": { "tor1": { "sessions": [session], "exported": 0 } },
        "control_nodes": [{
            "address": "127.0.0.1:5269", "name": null, "configures": false, "failures": 1, "instances": 0,
            "instances_complete": 0, "routes_sent": 0, "routes_pending": 0,
            "routes_unusable": { "group": 1 },
        }],
    }))
    .expect("a status");
    let client = json!({
        "conn": 1, "address": "127.0.0.1:1", "queued_bytes": 0, "routes": 0, "refused": { "no_mac": 1 },
        "configured": true, "subscriptions": {}, "subscriptions_total": 0,
    });
    let control: ControlStatus = serde_json::from_value(json!({
        "revision": 1, "clients": { "agent-a": client },
        "networks": {
            "d:p:n:n": { "network": null, "subscribers": 0, "routes_total": 0, "routes": [], "broadcasts": [] },
        },
        "switches": {
            "tor1": { "vtep": null, "agents": [], "tsns": [], "ports": {}, "fingerprint": "", "owners": { "6f1c0d0e-0000-4000-8000-000000000001": ["agent-a"] } },
        },
    }))
    .expect("a status");
    let counters = Counters::default();
    counters.certificate("agent", 0);
    counters.timed(Timings::default());
    counters.reloaded(Ok(vec![]), SystemTime::UNIX_EPOCH);
    let text = metrics::render(Some(&status), &counters, SystemTime::UNIX_EPOCH).expect("text")
        + &metrics::render(Some(&control), &counters, SystemTime::UNIX_EPOCH).expect("text")
        + &metrics::process().expect("text");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.map(|line| match line.split_once(' ').expect("name and type") {
        (name, "counter") => format!("{name}_total"),
        (name, _) => name.to_owned(),
    });
    names.collect()
}

#[test]
fn every_configuration_of_the_book_is_right() {
    let reference = |page| blocks(&read(&root().join("docs/src").join(page)), "toml").swap_remove(0);
    let of_agents = reference("configuration.md");
    let of_control_nodes = reference("control-configuration.md");
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&read(&page), "toml") {
            // A fingerprint that is left out, and keys that a fragment leaves out, are filled up.
            let block = block.replace("\"sha256:...\"", &format!("\"sha256:{}\"", "0".repeat(64)));
            let part: toml::Table =
                toml::from_str(&block).unwrap_or_else(|error| panic!("{}: {error}\n{block}", page.display()));
            let example = if part.contains_key("inventory") || part.contains_key("client") {
                &of_control_nodes
            } else {
                &of_agents
            };
            let mut whole: toml::Table = toml::from_str(example).expect("the example is TOML");
            let is_led = part
                .get("control")
                .is_some_and(|control| control.get("nodes").is_some());
            // The configuration that control nodes send does not stand in the agent's file.
            whole.retain(|key, _| !(is_led && ["network", "switch"].contains(&key)));
            let text = if part.contains_key("agent") {
                block
            } else {
                whole.extend(part);
                whole.to_string()
            };
            let parsed = config::parse_any(Path::new("/etc/tandem/a.toml"), text.as_bytes(), &Anything);
            if let Err(problems) = parsed {
                panic!("{}: {problems}\n{text}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} blocks");
}

/// Every file is there.
struct Anything;

impl Files for Anything {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let macs = path.extension().is_some_and(|extension| extension == "macs");
        Ok(if macs { "02:00:00:00:00:02 10.0.9.1\n" } else { "PEM" }.into())
    }
}

#[test]
fn every_proxy_configuration_of_the_book_passes_haproxy() {
    let scratch = Scratch::new().expect("a folder");
    let folder = scratch.folder("haproxy").expect("a folder");
    certificates(&folder);
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&read(&page), "haproxy") {
            let defaults = "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1h\n  timeout server 1h\n";
            let start = if block.contains("defaults\n") { "" } else { defaults };
            let block = block.replace("/etc/haproxy", &folder.display().to_string());
            let file = folder.join("haproxy.cfg");
            fs::write(&file, format!("{start}{block}")).expect("written");
            let output = Command::new(program::find("haproxy").unwrap_or_else(|error| panic!("{error}")))
                .args(["-c", "-f"])
                .arg(&file)
                .output()
                .expect("haproxy runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            let good = output.status.success() && !stderr.contains("WARNING");
            assert!(good, "{}: {stderr}\n{block}", page.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} blocks");
}

/// The files to which the block in `certificates.md` refers.
fn certificates(folder: &Path) {
    pki::init(folder, false).expect("certificates");
    let pem = |name: &str| read(&folder.join(name));
    let pair = |name: &str| pem(&format!("{name}-cert.pem")) + &pem(&format!("{name}-key.pem"));
    let files = [
        ("agent.pem", pair("agent-a")),
        ("proxy.pem", pair("switch")),
        ("old-switch-ca.pem", pem("switch-ca.pem")),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("written");
    }
}

/// So the tests with a real HAProxy prove the recipe.
#[test]
fn the_recipe_of_the_book_is_the_one_that_the_lab_runs() {
    let chapter = read(&root().join("docs/src/haproxy.md"));
    let recipes = blocks(&chapter, "haproxy");
    let backend = |name: &str, part, backup| Backend {
        name: name.into(),
        address: Ipv4Addr::new(10, 0, 0, part),
        ovsdb: 6640,
        health: 6650,
        agent_check: Some(6651),
        backup,
    };
    let listen = |index: u16, a_is_backup, b_is_backup| Listen {
        name: format!("ovsdb{index}"),
        bind: (Ipv4Addr::new(192, 0, 2, 10), 6640 + index).into(),
        backends: vec![backend("agent-a", 11, a_is_backup), backend("agent-b", 12, b_is_backup)],
    };
    let one = vec![listen(0, false, false)];
    let two = vec![listen(0, false, true), listen(1, true, false)];
    let options = [(one.clone(), false), (two, false), (one, true)];
    assert_eq!(recipes.len(), options.len());
    for (recipe, (listens, send_proxy_v2)) in recipes.iter().zip(options) {
        let lab = HaproxyOptions {
            listens,
            send_proxy_v2,
            namespace: None,
        };
        assert_eq!(lines(recipe), lines(&lab.configuration()));
    }
}

/// Each recipe, with real parts: one target, two targets, PROXY headers.
#[test]
fn every_recipe_of_the_book_hands_a_switch_over() {
    for (targets, proxy_protocol) in [(1, false), (2, false), (1, true)] {
        let mut options = PairOptions::new(env!("CARGO_BIN_EXE_tandem"));
        (options.targets, options.proxy_protocol) = (targets, proxy_protocol);
        let pair = Pair::start(&options).expect("a pair");
        let wait = |what: &str, condition: &dyn Fn() -> Option<()>| {
            let waited = pair.scratch.wait_until(what, Duration::from_secs(60), condition);
            waited.unwrap_or_else(|error| panic!("{error}"));
        };
        let session = |agent: usize| {
            let status = pair.agents[agent].status().ok()?;
            status["switches"]["tor1"]["sessions"].as_array()?.last().cloned()
        };
        let audited = |agent: usize| {
            let session = session(agent).filter(|session| session["ownership"] == "held")?;
            session["takeover_ms"]["audited"].is_number().then_some(())
        };
        wait("an owner", &|| (0..2).find_map(audited));
        let owner = usize::from(audited(0).is_none());
        if targets == 2 {
            wait("a warm agent", &|| {
                let warm = session(1 - owner)?;
                (warm["phase"] == "synced" && warm["ownership"] == "waiting").then_some(())
            });
        }
        let killed = Instant::now();
        pair.agents[owner].process.kill().expect("killed");
        wait("the other owner", &|| audited(1 - owner));
        let ms = killed.elapsed().as_millis();
        eprintln!("{targets} targets, PROXY protocol {proxy_protocol}: audited by the other after {ms} ms");
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// The pages that are looked at: those of the book, and those beside the code.
fn pages() -> Vec<PathBuf> {
    [root(), root().join("docs"), root().join("docs/src")]
        .iter()
        .flat_map(|folder| markdown(folder))
        .collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    files.sort();
    files
}

/// The contents of every fenced block of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(found)) => open = Some((found.trim() == language, String::new())),
            (Some((wanted, block)), Some(_)) => {
                if *wanted {
                    blocks.push(std::mem::take(block));
                }
                open = None;
            }
            (Some((_, block)), None) => *block += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// The targets of all links outside code.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let prose = prose.flat_map(|part| part.split('`').step_by(2));
    prose
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// Time, node, word and details; the columns between them do not stand in the book.
fn columns(line: &str) -> [&str; 4] {
    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (node, rest) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    let (word, what) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
    [time, node, word, what.trim_start()]
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

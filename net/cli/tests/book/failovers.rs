//! The failover times of the book are those of the scenarios.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use super::{read, root};

/// The scenarios, the faults and the number of failovers, exactly. Of the times, a tenth may differ: the last digit
/// changes with every order of things.
#[test]
fn the_failover_times_of_the_book_are_those_of_the_scenarios() {
    let right: Vec<String> = runs().iter().flat_map(rows).collect();
    let page = read(&root().join("docs/src/failover-times.md"));
    let (_, rest) = page.split_once("<!-- scenarios -->\n").expect("the mark");
    let (table, _) = rest.split_once("<!-- /scenarios -->").expect("the other mark");
    let shown: Vec<&str> = table.lines().skip(2).collect();
    let alike = shown.len() == right.len() && shown.iter().zip(&right).all(|(shown, right)| is_alike(shown, right));
    assert!(
        alike,
        "between the marks in docs/src/failover-times.md belongs, below the head:\n{}",
        right.join("\n")
    );
    assert!(is_alike(
        "| a | crash | 2 | 1010 to 1080 |",
        "| a | crash | 2 | 1012 to 1010 |"
    ));
    assert!(!is_alike("| a | crash | 2 | 1010 |", "| a | crash | 2 | 1200 |"));
    assert!(!is_alike("| a | crash | 2 | 1010 |", "| a | crash | 3 | 1010 |"));
}

/// The report of every scenario, in the order of their names. Each core runs its share.
fn runs() -> Vec<Value> {
    let mut files: Vec<PathBuf> = toml_files(&root().join("scenarios"));
    files.sort();
    let shares = thread::available_parallelism().map_or(1, usize::from);
    let shares = (0..shares).map(|share| files.iter().skip(share).step_by(shares));
    let programs = shares.map(|share| {
        Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["sim", "run", "--quiet", "--json"])
            .args(share)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs")
    });
    let programs: Vec<_> = programs.collect();
    let reports = programs.into_iter().map(|program| {
        let output = program.wait_with_output().expect("the program ends");
        let printed = String::from_utf8(output.stdout).expect("text");
        let report: Value = serde_json::from_str(printed.lines().last().expect("a line")).expect("JSON");
        report["runs"].as_array().expect("runs").clone().into_iter()
    });
    let mut reports: Vec<_> = reports.collect();
    let shares = reports.len();
    (0..files.len())
        .map(|number| reports[number % shares].next().expect("a run for each file"))
        .collect()
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => toml_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .collect()
}

/// A row for each kind of fault of a run.
fn rows(run: &Value) -> Vec<String> {
    let plan = run["plan"].as_str().expect("a name");
    let failovers = run["failovers"].as_array().expect("failovers");
    let mut kinds: Vec<&str> = Vec::new();
    for failover in failovers {
        let kind = failover["fault"].as_str().expect("a kind");
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let row = |kind: &&str| {
        let of_kind: Vec<&Value> = failovers
            .iter()
            .filter(|failover| failover["fault"] == **kind)
            .collect();
        let times = |key: &str| {
            listed(
                &of_kind
                    .iter()
                    .filter_map(|failover| failover[key].as_f64())
                    .collect::<Vec<_>>(),
            )
        };
        let (session, broadcast) = (times("session_us"), times("broadcast_us"));
        format!("| `{plan}` | {kind} | {} | {session} | {broadcast} |", of_kind.len())
    };
    kinds.iter().map(row).collect()
}

/// Milliseconds: each of a few, or the least and the greatest of many.
fn listed(us: &[f64]) -> String {
    let shown = |us: f64| match us / 1000.0 {
        ms if ms < 10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    };
    let least = us.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = us.iter().copied().fold(0.0, f64::max);
    match us.len() {
        0..=4 => us.iter().map(|us| shown(*us)).collect::<Vec<_>>().join(", "),
        _ => format!("{} to {}", shown(least), shown(greatest)),
    }
}

/// The same words and counts; times of a tenth more or less.
fn is_alike(shown: &str, right: &str) -> bool {
    let cells = |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let numbers = |cell: &str| -> Vec<f64> {
        let words = cell.split([',', ' ']);
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (shown, right) = (cells(shown), cells(right));
    let are_near = |(shown, right): (&String, &String)| {
        let (shown, right) = (numbers(shown), numbers(right));
        let mut pairs = shown.iter().zip(&right);
        shown.len() == right.len() && pairs.all(|(shown, right)| (shown - right).abs() <= 0.1 * right.max(10.0))
    };
    let named = shown.len().min(4);
    shown.len() == right.len()
        && shown[..named] == right[..right.len().min(4)]
        && shown.iter().zip(&right).skip(4).all(are_near)
}

//! The targets of the pages exist: headings, files of a table, tests. The number of scenarios is right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{blocks, links, markdown, pages, read, root};

#[test]
fn every_link_to_a_heading_leads_to_one() {
    let mut missing = Vec::new();
    let scenarios = ["scenarios", "scenarios/regressions"].map(|folder| markdown(&root().join(folder)));
    for page in pages().into_iter().chain(scenarios.into_iter().flatten()) {
        let text = read(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let Some((file, heading)) = link.split_once('#') else {
                continue;
            };
            let target = if file.is_empty() {
                text.clone()
            } else {
                read(&page.with_file_name(file))
            };
            if !headings(&target).iter().any(|found| found == heading) {
                missing.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "these headings are not there: {missing:#?}");
    assert_eq!(headings("# One MAC, `[a]`: b-c\n```\n# no\n```\n"), ["one-mac-a-b-c"]);
}

/// The headings of a page, as links name them.
fn headings(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let lines = prose.flat_map(str::lines).filter(|line| line.starts_with('#'));
    lines
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
                .collect()
        })
        .collect()
}

/// A cell such as `` `sim/src/`: `switch/`, `vip.rs` `` names files of a folder after the folder.
#[test]
fn every_file_of_the_tables_of_the_architecture_is_there() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let (_, rest) = text.split_once("## Where to look").expect("the table");
    let (table, _) = rest.split_once("\n## ").expect("what follows");
    let mut seen = 0;
    for line in table.lines() {
        let cell = line.split('|').nth(2).unwrap_or_default();
        let mut folder = root();
        for name in cell.split('`').skip(1).step_by(2) {
            let place = root().join(name);
            assert!(
                place.exists() || folder.join(name).exists(),
                "`{name}` is not there: {line}"
            );
            if place.is_dir() {
                folder = place;
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} files");
}

#[test]
fn every_test_among_the_cases_of_the_incumbent_exists() {
    let page = read(&root().join("docs/src/incumbent-cases.md"));
    let folder = root().join("sim/tests/session");
    let mut modules: BTreeMap<&str, String> = BTreeMap::new();
    let spans = page.split('`').skip(1).step_by(2);
    for (module, name) in spans.filter_map(|span| span.split_once("::")) {
        let code = modules
            .entry(module)
            .or_insert_with(|| read(&folder.join(format!("{module}.rs"))));
        assert!(code.contains(&format!("fn {name}()")), "{module}.rs has no {name}");
    }
    assert!(modules.len() > 8, "{:?}", modules.keys());
}

#[test]
fn the_pages_have_the_number_of_scenarios() {
    let number = ["scenarios", "scenarios/regressions"].map(|folder| plans(&root().join(folder)));
    let number: usize = number.iter().sum();
    for page in [root().join("README.md"), root().join("docs/src/simulating.md")] {
        let shown = blocks(&read(&page), "console").concat();
        let all = format!("{number} of {number} good");
        assert!(shown.lines().any(|line| line == all), "{}: {all}", page.display());
    }
}

fn plans(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "toml"))
        .count()
}

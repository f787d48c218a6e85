//! Every `file.rs: name` of the map, the walk and the book exists, and every invariant names what enforces it.

use super::{pages, read, root};

/// The keywords of a declaration.
const KINDS: [&str; 6] = ["fn", "struct", "enum", "trait", "const", "type"];

/// The eight stages of a MAC, in order.
const STAGES: [&str; 8] = [
    "Learned",
    "Received",
    "Recorded",
    "Exported",
    "Reflected",
    "Imported",
    "Programmed",
    "Installed",
];

#[test]
fn every_name_of_the_map_and_the_walk_exists() {
    for (page, least) in [("ARCHITECTURE.md", 40), ("docs/src/walk.md", 60)] {
        let names = names(&read(&root().join(page))).len();
        assert!(names >= least, "{page} has {names} names");
    }
    let mut missing = Vec::new();
    for page in pages() {
        for (file, name) in names(&read(&page)) {
            if !declares(&read(&root().join(&file)), &name) {
                missing.push(format!("{}: {file} has no {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(declares("pub(crate) fn a_b(", "a_b") && !declares("fn a_bc(", "a_b"));
}

#[test]
fn every_invariant_names_what_enforces_it() {
    let mut seen = 0;
    for page in pages() {
        for invariant in read(&page).split("**Invariant:").skip(1) {
            let paragraph = invariant.split("\n\n").next().unwrap_or_default();
            assert!(!names(paragraph).is_empty(), "enforced by nothing:{paragraph}");
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen} invariants");
}

/// The way of a MAC has no gap: its stages are in order, and each step names the functions to read.
#[test]
fn the_walk_names_functions_in_every_step_and_the_stages_in_order() {
    let walk = read(&root().join("docs/src/walk.md"));
    let steps: Vec<&str> = walk.split("\n\n").flat_map(steps).collect();
    assert!(steps.len() > 40, "{} steps", steps.len());
    for step in &steps {
        assert!(!names(step).is_empty(), "this step names no function: {step}");
    }
    let places: Vec<usize> = STAGES
        .iter()
        .map(|stage| {
            walk.find(&format!("**{stage}**"))
                .unwrap_or_else(|| panic!("{stage} is not in the walk"))
        })
        .collect();
    assert!(places.is_sorted(), "the stages are not in order: {places:?}");
}

/// The items of a numbered list.
fn steps(paragraph: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    for line in paragraph.split_inclusive('\n') {
        let number = line.split('.').next().unwrap_or_default();
        if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([paragraph.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &paragraph[*start..end])
        .collect()
}

fn declares(code: &str, name: &str) -> bool {
    KINDS.iter().any(|kind| {
        let declared = format!("{kind} {name}");
        let mut places = code.match_indices(&declared);
        places.any(|(at, _)| !code[at + declared.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Every `file.rs: name` in backticks; a line may break between the two.
fn names(text: &str) -> Vec<(String, String)> {
    let prose = text.split("```").step_by(2);
    let spans = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
    spans
        .filter_map(|span| span.split_once(':'))
        .filter(|(file, name)| file.ends_with(".rs") && name.starts_with(char::is_whitespace))
        .map(|(file, name)| (file.to_owned(), name.trim().to_owned()))
        .collect()
}

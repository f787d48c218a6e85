//! The pages of the book about these tests.

const CHAPTER: &str = include_str!("../../../docs/src/incumbent-cases.md");

const FILES: [(&str, &str); 12] = [
    ("agents", include_str!("agents.rs")),
    ("audit", include_str!("audit.rs")),
    ("bindings", include_str!("bindings.rs")),
    ("broadcast", include_str!("broadcast.rs")),
    ("deletion", include_str!("deletion.rs")),
    ("export", include_str!("export.rs")),
    ("keepalive", include_str!("keepalive.rs")),
    ("locators", include_str!("locators.rs")),
    ("opening", include_str!("opening.rs")),
    ("ownership", include_str!("ownership.rs")),
    ("retries", include_str!("retries.rs")),
    ("vni", include_str!("vni.rs")),
];

#[test]
fn every_test_that_the_book_names_is_there() {
    let is_there = |file: &str, test: &str| {
        let source = FILES.iter().find(|(name, _)| *name == file);
        source.is_some_and(|(_, source)| source.contains(&format!("fn {test}()")))
    };
    let named: Vec<_> = CHAPTER
        .split('`')
        .filter_map(|code| code.split_once("::"))
        .filter(|(file, _)| !file.contains(' '))
        .collect();
    let missing: Vec<_> = named.iter().filter(|(file, test)| !is_there(file, test)).collect();
    assert!(named.len() > 50 && missing.is_empty(), "{missing:?}");
}

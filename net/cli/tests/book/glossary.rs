//! The glossary names the page that explains each term, and that page uses it.

use std::collections::BTreeSet;

use super::{links, read, root};

#[test]
fn every_term_of_the_glossary_is_used_on_the_page_that_it_names() {
    let text = read(&root().join("docs/src/glossary.md"));
    let entries = entries(&text);
    assert!(entries.len() >= 40, "{} terms", entries.len());
    let terms: BTreeSet<&str> = entries.iter().map(|(term, _)| *term).collect();
    assert_eq!(terms.len(), entries.len(), "a term stands there twice");
    let mut unused = Vec::new();
    for (term, entry) in entries {
        let pages = links(entry);
        assert!(!pages.is_empty(), "{term} names no page");
        for page in pages {
            let prose = read(&root().join("docs/src").join(page)).to_lowercase();
            if !has_words(&prose, &term.to_lowercase()) {
                unused.push(format!("{term} is not on {page}"));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
    assert!(has_words("a split\nbrain, and", "split brain"));
    assert!(!has_words("unfit", "fit") && !has_words("fitness", "fit"));
}

#[test]
fn every_term_of_the_glossary_is_explained_in_one_sentence() {
    let text = read(&root().join("docs/src/glossary.md"));
    for (term, entry) in entries(&text) {
        let explanation = entry.split("[").next().unwrap_or_default().trim_end();
        assert!(explanation.ends_with('.'), "{term}: {explanation}");
        assert!(
            !explanation.contains(". "),
            "{term} has more than one sentence: {explanation}"
        );
    }
}

/// Each term with its whole entry, of which the lines are joined.
fn entries(text: &str) -> Vec<(&str, &str)> {
    let items = text.split("\n- **").skip(1);
    let items = items.map(|item| item.split("\n\n").next().unwrap_or_default());
    items.filter_map(|item| item.split_once("**")).collect()
}

/// Whether a text has these words as whole words; a plural counts.
fn has_words(text: &str, words: &str) -> bool {
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    spaced.match_indices(words).any(|(at, _)| {
        let before = spaced[..at].chars().next_back();
        let after = spaced[at + words.len()..].trim_start_matches('s').chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

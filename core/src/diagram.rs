//! State diagrams of the book: rendered from the transitions that a test has seen a machine make.

/// A change of state: from, on what, to.
pub(crate) type Transition = (String, &'static str, String);

/// One line for each transition, in order of appearance.
fn render(transitions: &[Transition]) -> String {
    let from_width = transitions
        .iter()
        .map(|(from, ..)| from.len())
        .max()
        .unwrap_or_default();
    let on_width = transitions.iter().map(|(_, on, _)| on.len()).max().unwrap_or_default();
    let line = |(from, on, to): &Transition| {
        let dashes = "-".repeat(on_width - on.len() + 2);
        format!("{from:<from_width$}  -- {on} {dashes}>  {to}\n")
    };
    transitions.iter().map(line).collect()
}

/// Between the marks of a page stands this diagram, in a block of text.
pub(crate) fn assert_in_book(page: &str, mark: &str, transitions: &[Transition]) {
    let right = format!("```text\n{}```\n", render(transitions));
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let block = page.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    let found = block.map(|(block, _)| block);
    assert_eq!(
        found,
        Some(&*right),
        "between the marks `{mark}` of the page belongs:\n{right}"
    );
}

#[test]
fn arrows_end_in_one_column() {
    let transitions = [("a", "x", "bcd"), ("bcd", "xyz", "a")];
    let transitions = transitions.map(|(from, on, to)| (from.to_owned(), on, to.to_owned()));
    let diagram = "a    -- x ---->  bcd\nbcd  -- xyz -->  a\n";
    assert_eq!(render(&transitions), diagram);
}

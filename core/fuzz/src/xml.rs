//! Our XML reader and `rxml`, another strict one, accept the same texts and see the same in them.

use rxml::{Options, Parse, RawEvent, RawParser, WithOptions};
use tandem_core::bounds::{ATTRIBUTES, ELEMENT_LEVELS};
use tandem_core::xmpp::xml::{Cursor, Document, XmlError};

/// Takes one element as text.
pub fn run(input: &[u8]) {
    // rxml takes a declaration too; here it is the framer that does.
    if input.starts_with(b"<?xml") {
        return;
    }
    let ours = Document::read(input);
    let theirs = accepts(input);
    match ours {
        Ok(document) if theirs => {
            let mut seen = Vec::new();
            flatten(document.root(), &mut seen);
            let mut tree = tree(input);
            if input.contains(&b'\r') {
                seen.iter_mut().chain(&mut tree).for_each(forget_blanks);
            }
            assert_eq!(seen, tree, "{}", String::from_utf8_lossy(input));
        }
        Ok(_) => assert!(
            drops_a_carriage_return(input),
            "we alone take {}",
            String::from_utf8_lossy(input)
        ),
        Err(error) if theirs => {
            assert!(
                is_ours_alone(error),
                "{error}: we alone refuse {}",
                String::from_utf8_lossy(input)
            );
        }
        Err(_) => {}
    }
}

/// Input that we refuse on purpose.
fn is_ours_alone(error: XmlError) -> bool {
    let bounds = [
        "nest too deep",
        "too many attributes",
        "too many namespaces",
        "too long",
    ];
    bounds.iter().any(|bound| error.what.contains(bound))
        // The default namespace twice in one tag: rxml overlooks it.
        || error.what == "an attribute that is there twice"
        // Blanks: a stanza ends with its tag.
        || error.what == "something after the end of the element"
}

/// rxml trips over a carriage return in a value, unless a line feed follows.
fn drops_a_carriage_return(input: &[u8]) -> bool {
    input.contains(&b'\r') && {
        let without: Vec<u8> = input
            .iter()
            .map(|byte| if *byte == b'\r' { b' ' } else { *byte })
            .collect();
        accepts(&without)
    }
}

fn options() -> Options {
    Options {
        max_token_length: 1 << 20,
        ..Options::default()
    }
}

fn accepts(input: &[u8]) -> bool {
    let mut parser = rxml::Parser::with_options(options());
    parser.parse_all(&mut &*input, true, |_| {}).is_ok()
}

/// An element: how deep it stands, its name, its attributes, and the text of a leaf.
type Seen = (usize, String, Vec<(String, String)>, String);

fn flatten(element: Cursor<'_>, into: &mut Vec<Seen>) {
    let mut pending = vec![(0, element)];
    while let Some((depth, element)) = pending.pop() {
        let attributes = element.attributes().iter();
        let attributes = attributes
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .collect();
        into.push((depth, element.name().to_owned(), attributes, element.text().to_owned()));
        let children: Vec<_> = element.children().map(|child| (depth + 1, child)).collect();
        assert!(depth < ELEMENT_LEVELS);
        pending.extend(children.into_iter().rev());
    }
}

fn tree(input: &[u8]) -> Vec<Seen> {
    let mut parser = RawParser::with_options(options());
    let mut seen: Vec<Seen> = Vec::new();
    // The open ones of `seen`.
    let mut open: Vec<usize> = Vec::new();
    let name = |(prefix, local): (Option<rxml::NcName>, rxml::NcName)| match prefix {
        Some(prefix) => format!("{prefix}:{local}"),
        None => local.to_string(),
    };
    let outcome = parser.parse_all(&mut &*input, true, |event| match event {
        RawEvent::XmlDeclaration(..) | RawEvent::ElementHeadClose(_) => {}
        RawEvent::ElementHeadOpen(_, qname) => {
            // We keep the text of leaves alone.
            if let Some(parent) = open.last() {
                seen[*parent].3.clear();
            }
            seen.push((open.len(), name(qname), Vec::new(), String::new()));
            open.push(seen.len() - 1);
        }
        RawEvent::Attribute(_, qname, value) => {
            let attributes = &mut seen.last_mut().expect("an element").2;
            attributes.push((name(qname), value));
            assert!(attributes.len() <= ATTRIBUTES);
        }
        RawEvent::ElementFoot(_) => {
            open.pop();
        }
        RawEvent::Text(_, text) => {
            if open.last().copied() == seen.len().checked_sub(1) {
                seen.last_mut().expect("an element").3.push_str(&text);
            }
        }
    });
    assert!(outcome.is_ok(), "rxml takes it without its namespaces as well");
    seen
}

/// rxml drops a carriage return that ends a value, or stands before a reference in it.
fn forget_blanks(element: &mut Seen) {
    for (_, value) in &mut element.2 {
        value.retain(|c| c != ' ');
    }
}

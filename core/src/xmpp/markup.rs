//! Writes tags, attributes and text of XML.

use crate::xmpp::xml::is_char;

/// A tag with the attribute `node`, which goes on after it.
pub(super) fn named(out: &mut String, name: &str, node: &[&str]) {
    push(out, format_args!("<{name}"));
    attribute(out, "node", node);
    out.push('>');
}

pub(super) fn attribute(out: &mut String, name: &str, value: &[&str]) {
    push(out, format_args!(" {name}=\""));
    value.iter().for_each(|part| escape(out, part));
    out.push('"');
}

/// An element with any text.
pub(super) fn text_leaf(out: &mut String, name: &str, text: &str) {
    push(out, format_args!("<{name}>"));
    escape(out, text);
    push(out, format_args!("</{name}>"));
}

/// For text and values alike. A character that XML does not have is replaced.
pub(super) fn escape(out: &mut String, text: &str) {
    let is_plain = |c: char| is_char(c) && !matches!(c, '&' | '<' | '>' | '"' | '\t' | '\n' | '\r');
    if text.chars().all(is_plain) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => push(out, format_args!("&#{};", u32::from(c))),
            _ if is_char(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Writing into a string cannot fail.
pub(super) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    use std::fmt::Write;
    let _ = out.write_fmt(arguments);
}

//! Goes from tag to tag.

use std::borrow::Cow;

use super::document::{Document, Node, XmlError};
use super::text::{self, Place, is_name_char, is_name_start};
use crate::bounds::{ATTRIBUTES, ELEMENT_LEVELS, TOKEN_BYTES};
use crate::xmpp::STREAMS;

/// The namespace of the prefix `xml`, which needs no declaration.
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// The approximate size of an element of a stanza, in bytes: low enough that room is seldom short.
const BYTES_PER_ELEMENT: usize = 32;

/// And an attribute.
const BYTES_PER_ATTRIBUTE: usize = 64;

/// The usual nesting of the elements of a stanza.
const USUAL_LEVELS: usize = 16;

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'a> Document<'a> {
    /// Reads one element, from its first byte to its last.
    pub fn read(bytes: &'a [u8]) -> Result<Self, XmlError> {
        Reader::new(bytes)?.document()
    }

    /// The same where the prefix `stream` is declared already.
    pub(crate) fn read_in_stream(bytes: &'a [u8]) -> Result<Self, XmlError> {
        Reader::new(bytes)?.in_stream().document()
    }

    /// Reads one opening tag, without what it opens.
    pub(crate) fn read_open_tag(bytes: &'a [u8]) -> Result<Self, XmlError> {
        Reader::new(bytes)?.open_tag()
    }
}

/// Goes through the text once.
struct Reader<'a> {
    whole_bytes: usize,
    rest: &'a str,
    document: Document<'a>,
    /// The elements whose end has not come yet.
    open: Vec<usize>,
    /// Prefixes and their namespaces, each with the element that declared it.
    declared: Vec<(usize, &'a str, Cow<'a, str>)>,
}

/// The state after a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tag {
    Opens,
    Empty,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, XmlError> {
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| XmlError {
            what: "bytes that are not UTF-8",
            at: error.valid_up_to(),
        })?;
        Ok(Self {
            whole_bytes: text.len(),
            rest: text,
            document: Document {
                nodes: Vec::with_capacity(text.len() / BYTES_PER_ELEMENT),
                attributes: Vec::with_capacity(text.len() / BYTES_PER_ATTRIBUTE),
            },
            open: Vec::with_capacity(USUAL_LEVELS),
            declared: Vec::new(),
        })
    }

    /// The prefix `stream` is declared already.
    fn in_stream(mut self) -> Self {
        self.declared.push((usize::MAX, "stream", Cow::Borrowed(STREAMS)));
        self
    }

    fn document(mut self) -> Result<Document<'a>, XmlError> {
        loop {
            if let Some(tag) = self.rest.strip_prefix("</") {
                self.rest = tag;
                self.end_tag()?;
            } else if let Some(section) = self.rest.strip_prefix("<![CDATA[") {
                self.rest = section;
                self.section()?;
            } else if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
                return self.fail("a document type, comment or processing instruction");
            } else if let Some(tag) = self.rest.strip_prefix('<') {
                self.rest = tag;
                if self.start_tag()? == Tag::Empty {
                    self.close();
                }
            } else {
                self.text()?;
            }
            if self.open.is_empty() {
                return match self.rest {
                    "" => Ok(self.document),
                    _ => self.fail("something after the end of the element"),
                };
            }
        }
    }

    fn open_tag(mut self) -> Result<Document<'a>, XmlError> {
        let Some(tag) = self.rest.strip_prefix('<') else {
            return self.fail("no tag");
        };
        self.rest = tag;
        match self.start_tag()? {
            Tag::Opens if self.rest.is_empty() => {
                self.close();
                Ok(self.document)
            }
            Tag::Opens => self.fail("something after the tag"),
            Tag::Empty => self.fail("a stream that ends where it begins"),
        }
    }

    fn start_tag(&mut self) -> Result<Tag, XmlError> {
        let left = self.rest.len();
        let name = self.name()?;
        let first = self.document.attributes.len();
        let tag = loop {
            let spaced = self.skip_space();
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break Tag::Opens;
            } else if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break Tag::Empty;
            } else if !spaced {
                return self.fail("a tag that goes on without a space");
            }
            self.attribute(first)?;
        };
        if left - self.rest.len() > TOKEN_BYTES {
            return self.fail("a tag that is too long");
        }
        let index = self.document.nodes.len();
        self.open(Node {
            name,
            attributes: first..self.document.attributes.len(),
            text: Cow::Borrowed(""),
            end: index + 1,
        })?;
        self.resolve(index, name, first)?;
        Ok(tag)
    }

    fn attribute(&mut self, first: usize) -> Result<(), XmlError> {
        let name = self.name()?;
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix('=') else {
            return self.fail("an attribute without a value");
        };
        self.rest = rest;
        self.skip_space();
        let quote = self.rest.chars().next().filter(|quote| matches!(quote, '"' | '\''));
        let Some((quote, value)) = quote.zip(self.rest.get(1..)) else {
            return self.fail("a value without quotes");
        };
        let Some((raw, rest)) = value.split_once(quote) else {
            return self.fail("a value that does not end");
        };
        let value = self.decode(raw, Place::Attribute)?;
        self.rest = rest;
        let others = self.document.attributes.get(first..).unwrap_or_default();
        if others.len() == ATTRIBUTES {
            return self.fail("too many attributes");
        }
        if others.iter().any(|(other, _)| *other == name) {
            return self.fail("an attribute that is there twice");
        }
        self.document.attributes.push((name, value));
        Ok(())
    }

    /// Namespaces are looked at for one reason: nothing may stand under a prefix that is not declared, or twice under two.
    fn resolve(&mut self, index: usize, name: &'a str, first: usize) -> Result<(), XmlError> {
        let attributes = self.document.attributes.get(first..).unwrap_or_default();
        for (attribute, value) in attributes {
            let declared = attribute.strip_prefix("xmlns:");
            let reserved = match declared {
                Some("xmlns") => true,
                Some("xml") => value != XML_NAMESPACE,
                Some(_) => value.is_empty() || value == XML_NAMESPACE,
                None => *attribute == "xmlns" && value == XML_NAMESPACE,
            };
            if reserved {
                return self.fail("a namespace that cannot be declared so");
            }
            if let Some(prefix) = declared {
                if self.declared.len() == ATTRIBUTES {
                    return self.fail("too many namespaces");
                }
                self.declared.push((index, prefix, value.clone()));
            }
        }
        if let Some((prefix, _)) = name.split_once(':')
            && self.namespace(prefix).is_none()
        {
            return self.fail("a prefix that is not declared");
        }
        let prefixed = |name: &'a str| name.split_once(':').filter(|(prefix, _)| *prefix != "xmlns");
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (prefix, local) in attributes.iter().filter_map(|(name, _)| prefixed(name)) {
            let Some(namespace) = self.namespace(prefix) else {
                return self.fail("a prefix that is not declared");
            };
            if seen.contains(&(namespace, local)) {
                return self.fail("an attribute that is there twice, under two prefixes");
            }
            seen.push((namespace, local));
        }
        Ok(())
    }

    fn namespace(&self, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML_NAMESPACE);
        }
        let mut declared = self.declared.iter().rev();
        declared
            .find(|(_, it, _)| *it == prefix)
            .map(|(_, _, namespace)| &**namespace)
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let open = self.open.last().and_then(|open| self.document.nodes.get(*open));
        let open = open.map(|node| node.name);
        // In the usual form, the name need not be read again.
        let usual = open.and_then(|name| self.rest.strip_prefix(name)?.strip_prefix('>'));
        self.rest = match usual {
            Some(rest) => rest,
            None => self.rest_of_end_tag(open)?,
        };
        self.close();
        Ok(())
    }

    fn rest_of_end_tag(&mut self, open: Option<&str>) -> Result<&'a str, XmlError> {
        let name = self.name()?;
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix('>') else {
            return self.fail("an end tag that does not end");
        };
        if open != Some(name) {
            return self.fail("an end tag of another element");
        }
        Ok(rest)
    }

    fn open(&mut self, node: Node<'a>) -> Result<(), XmlError> {
        if self.open.len() == ELEMENT_LEVELS {
            return self.fail("elements that nest too deep");
        }
        if let Some(parent) = self.open.last().and_then(|parent| self.document.nodes.get_mut(*parent)) {
            parent.text = Cow::Borrowed("");
        }
        self.open.push(self.document.nodes.len());
        self.document.nodes.push(node);
        Ok(())
    }

    fn close(&mut self) {
        let end = self.document.nodes.len();
        if let Some(index) = self.open.pop() {
            while self.declared.last().is_some_and(|(declarer, ..)| *declarer == index) {
                self.declared.pop();
            }
            if let Some(node) = self.document.nodes.get_mut(index) {
                node.end = end;
            }
        }
    }

    fn text(&mut self) -> Result<(), XmlError> {
        let Some((raw, _)) = self.rest.split_once('<') else {
            return self.fail("an element that does not end");
        };
        if self.open.is_empty() {
            return self.fail("text outside of any element");
        }
        let text = self.decode(raw, Place::Text)?;
        self.rest = self.rest.get(raw.len()..).unwrap_or_default();
        self.add(raw.len(), text)
    }

    fn section(&mut self) -> Result<(), XmlError> {
        let Some((raw, rest)) = self.rest.split_once("]]>") else {
            return self.fail("a section that does not end");
        };
        if self.open.is_empty() {
            return self.fail("a section outside of any element");
        }
        let text = self.decode(raw, Place::Section)?;
        self.rest = rest;
        self.add(raw.len(), text)
    }

    fn add(&mut self, raw_bytes: usize, text: Cow<'a, str>) -> Result<(), XmlError> {
        if raw_bytes > TOKEN_BYTES {
            return self.fail("a text that is too long");
        }
        let last = self.document.nodes.len().checked_sub(1);
        if self.open.last().copied() == last
            && let Some(leaf) = self.document.nodes.last_mut()
        {
            if leaf.text.is_empty() {
                leaf.text = text;
            } else {
                leaf.text.to_mut().push_str(&text);
            }
        }
        Ok(())
    }

    /// One colon at most, and a name on both sides of it.
    fn name(&mut self) -> Result<&'a str, XmlError> {
        let end = self.rest.find(|c| !is_name_char(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let starts = |part: &str| part.chars().next().is_some_and(is_name_start);
        let good = match name.split_once(':') {
            None => starts(name),
            Some((prefix, local)) => starts(prefix) && starts(local) && !local.contains(':'),
        };
        if !good {
            return self.fail("a name that is none");
        }
        self.rest = rest;
        Ok(name)
    }

    fn skip_space(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches(SPACE);
        self.rest.len() < before
    }

    fn decode(&self, raw: &'a str, place: Place) -> Result<Cow<'a, str>, XmlError> {
        // 0xEF begins the two characters that are none, and others.
        let plain = |byte: &u8| *byte >= b' ' && !matches!(byte, b'&' | b'<' | b']' | 0xEF);
        if raw.as_bytes().iter().all(plain) {
            return Ok(Cow::Borrowed(raw));
        }
        match text::decode(raw, place) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(what) => self.fail(what),
        }
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, XmlError> {
        let at = self.whole_bytes - self.rest.len();
        Err(XmlError { what, at })
    }
}

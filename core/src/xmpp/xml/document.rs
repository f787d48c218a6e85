//! A stanza that was read: a flat list of elements that borrows from its bytes.

use std::borrow::Cow;
use std::ops::Range;

use crate::xmpp::element::Element;

/// Why a text is not XML as we take it. Always the peer's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct XmlError {
    /// One sentence for a person.
    pub what: &'static str,
    /// Where, counted from the start of the stanza.
    pub at: usize,
}

/// One element with everything in it, in the order of the opening tags.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) attributes: Vec<(&'a str, Cow<'a, str>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) attributes: Range<usize>,
    /// Of a leaf; of any other nothing is kept.
    pub(super) text: Cow<'a, str>,
    /// The index of the next element that is not in this one.
    pub(super) end: usize,
}

impl Document<'_> {
    /// The outermost element.
    pub fn root(&self) -> Cursor<'_> {
        Cursor {
            document: self,
            index: 0,
        }
    }
}

/// An element of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'d> {
    document: &'d Document<'d>,
    index: usize,
}

impl<'d> Cursor<'d> {
    fn node(self) -> Option<&'d Node<'d>> {
        self.document.nodes.get(self.index)
    }

    /// As written, with its prefix if it has one.
    pub fn name(self) -> &'d str {
        self.node().map_or("", |node| node.name)
    }

    /// Of a leaf: what stands between the tags, entities resolved. Of any other: nothing.
    pub fn text(self) -> &'d str {
        self.node().map_or("", |node| &node.text)
    }

    /// Names and values, in the order in which they were written, namespace declarations among them.
    pub fn attributes(self) -> &'d [(&'d str, Cow<'d, str>)] {
        let range = self.node().map(|node| node.attributes.clone());
        range
            .and_then(|range| self.document.attributes.get(range))
            .unwrap_or_default()
    }

    /// The value of an attribute.
    pub fn attribute(self, name: &str) -> Option<&'d str> {
        let mut attributes = self.attributes().iter();
        attributes.find(|(it, _)| *it == name).map(|(_, value)| &**value)
    }

    /// The children, in the order in which they were written.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let end = self.node().map_or(0, |node| node.end);
        let at = move |index| Some(Self { index, ..self }).filter(|it: &Self| it.index < end);
        std::iter::successors(at(self.index + 1), move |child| at(child.node()?.end))
    }

    /// Every child of this name.
    pub(crate) fn children_named(self, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.name() == name)
    }

    /// The first child of this name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// A copy that stands alone.
    pub(crate) fn to_element(self) -> Element {
        let attributes = self.attributes().iter();
        Element {
            name: self.name().into(),
            attributes: attributes
                .map(|(name, value)| ((*name).into(), (&**value).into()))
                .collect(),
            children: self.children().map(Self::to_element).collect(),
            text: self.text().into(),
        }
    }
}

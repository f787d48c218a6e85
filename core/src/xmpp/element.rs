//! A piece of XML as a tree.

/// An element with what is in it. A leaf has text, any other has children; their mixture is not used here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Element {
    /// As written, with its prefix if it has one.
    pub name: Box<str>,
    /// In the order in which they were written, namespace declarations among them.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// The elements in it, in the order in which they were written.
    pub children: Vec<Self>,
    /// The text between the tags, with entities resolved.
    pub text: Box<str>,
}

impl Element {
    /// An element without attributes or contents.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// A leaf.
    pub fn leaf(name: &str, text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            ..Self::new(name)
        }
    }

    /// The same with one child more.
    #[must_use]
    pub fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|(it, _)| &**it == name).map(|(_, value)| &**value)
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| &*child.name == name)
    }

    /// The approximate memory, in bytes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| size_of::<[Box<str>; 2]>() + name.len() + value.len());
        let own = size_of::<Self>() + self.name.len() + self.text.len() + attributes.sum::<usize>();
        own + self.children.iter().map(Self::bytes).sum::<usize>()
    }

    /// The text of the first child of this name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| &*child.text)
    }
}

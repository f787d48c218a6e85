//! Walks the tables of a TOML document and reports each key that is missing, unknown or of the wrong kind.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, Source};

/// A key that a table may have.
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    /// Reads the value. The error is a reason.
    pub(super) read: fn(&DeValue<'_>) -> Result<T, String>,
    /// An example of a valid value, as written in a file.
    pub(super) example: &'static str,
    /// The meaning of the value, for help texts.
    pub(super) what: &'static str,
}

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A document without syntax errors.
pub(super) struct Document<'s> {
    root: DeTable<'s>,
}

/// One table, and the keys that the caller has read.
pub(super) struct Table<'d> {
    /// `[agent]`, or `top level`.
    name: String,
    span: Range<usize>,
    source: &'d Source,
    entries: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

impl<T> Key<T> {
    pub(super) fn help(&self) -> String {
        format!("write `{} = {}`: {}", self.name, self.example, self.what)
    }
}

impl<'s> Document<'s> {
    pub(super) fn parse(source: &'s Source, problems: &mut Problems) -> Self {
        let (root, errors) = DeTable::parse_recoverable(source.text());
        for error in errors {
            let span = error.span().unwrap_or_default();
            problems.add(
                Problem::new(source, span, format!("this is not TOML: {}", error.message()))
                    .help("a line is `key = value`, `[section]` or `# a comment`; texts are in double quotes"),
            );
        }
        Self {
            root: root.into_inner(),
        }
    }

    pub(super) fn root<'d>(&'d self, source: &'d Source) -> Table<'d> {
        Table {
            name: "the file".into(),
            span: 0..0,
            source,
            entries: &self.root,
            known: Vec::new(),
        }
    }
}

impl<'d> Table<'d> {
    /// The place of the table's header, or of a whole inline table.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A problem in the same file.
    pub(super) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem::new(self.source, span, message)
    }

    /// The value of a required key.
    pub(super) fn required<T>(&mut self, key: &Key<T>, problems: &mut Problems) -> Option<At<T>> {
        let value = self.optional(key, problems);
        self.missing(key, problems);
        value
    }

    /// Reports a missing key.
    pub(super) fn missing<T>(&self, key: &Key<T>, problems: &mut Problems) {
        if !self.has(key.name) {
            problems.add(
                self.problem(self.span(), format!("`{}` is missing in {}", key.name, self.name))
                    .label("in this table")
                    .help(key.help()),
            );
        }
    }

    /// The value of an optional key. An invalid value is reported and counts as absent.
    pub(super) fn optional<T>(&mut self, key: &Key<T>, problems: &mut Problems) -> Option<At<T>> {
        self.known.push(key.name);
        let value = self.entries.get(key.name)?;
        match (key.read)(value.get_ref()) {
            Ok(read) => Some(At {
                value: read,
                span: value.span(),
            }),
            Err(why) => {
                problems.add(
                    self.problem(value.span(), format!("`{}`: {why}", key.name))
                        .help(key.help()),
                );
                None
            }
        }
    }

    /// The distinct values of an optional list, with a maximum length. Invalid values are reported and skipped. The example
    /// of the key is a whole list.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &Key<T>,
        at_most: usize,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<T>>>> {
        self.known.push(key.name);
        let value = self.entries.get(key.name)?;
        let problem = |span, message: String| self.problem(span, message).help(key.help());
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{}` is {}, not a list", key.name, kind(value.get_ref()));
            problems.add(problem(value.span(), message));
            return None;
        };
        if items.len() > at_most {
            let message = format!(
                "`{}` has {} entries; at most {at_most} are allowed",
                key.name,
                items.len()
            );
            problems.add(problem(value.span(), message));
        }
        let mut values: Vec<At<T>> = Vec::new();
        for item in items.iter().take(at_most) {
            let read = match (key.read)(item.get_ref()) {
                Ok(read) => read,
                Err(why) => {
                    problems.add(problem(item.span(), format!("`{}`: {why}", key.name)));
                    continue;
                }
            };
            if let Some(before) = values.iter().find(|before| before.value == read) {
                problems.add(
                    self.problem(item.span(), format!("`{}` contains the same value twice", key.name))
                        .label("the second")
                        .before(before.span.clone(), "the first")
                        .help("remove one of the two"),
                );
            }
            let span = item.span();
            values.push(At { value: read, span });
        }
        let span = value.span();
        Some(At { value: values, span })
    }

    /// As [`Self::list`], for a list that is required and must not be empty.
    pub(super) fn required_list<T: PartialEq>(
        &mut self,
        key: &Key<T>,
        at_most: usize,
        problems: &mut Problems,
    ) -> Option<At<Vec<At<T>>>> {
        self.missing(key, problems);
        if let Some(value) = self.entries.get(key.name)
            && matches!(value.get_ref(), DeValue::Array(items) if items.is_empty())
        {
            problems.add(
                self.problem(value.span(), format!("`{}` is empty", key.name))
                    .help(key.help()),
            );
        }
        self.list(key, at_most, problems)
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The place of a key of any kind, or of its first table. The key counts as known.
    pub(super) fn place(&mut self, name: &'static str) -> Option<Range<usize>> {
        self.known.push(name);
        let value = self.entries.get(name)?;
        let first = match value.get_ref() {
            DeValue::Array(items) => items.iter().next().map(Spanned::span),
            _ => None,
        };
        Some(first.unwrap_or_else(|| value.span()))
    }

    /// The section of this name, such as `[tls]`.
    pub(super) fn section(&mut self, name: &'static str, problems: &mut Problems) -> Option<Self> {
        self.known.push(name);
        let value = self.entries.get(name)?;
        let DeValue::Table(_) = value.get_ref() else {
            problems.add(
                self.problem(
                    value.span(),
                    format!("`{name}` is {}, not a section", kind(value.get_ref())),
                )
                .help(format!("write `[{name}]` on a line of its own, and its keys below")),
            );
            return None;
        };
        self.inner(format!("[{name}]"), value)
    }

    /// The required section of this name; `keys` describes its required keys.
    pub(super) fn required_section(&mut self, name: &'static str, keys: &str, problems: &mut Problems) -> Option<Self> {
        if !self.has(name) {
            problems.add(
                self.problem(0..0, format!("section `[{name}]` is missing"))
                    .label("anywhere in this file")
                    .help(format!("write `[{name}]` on a line of its own, and below it {keys}")),
            );
        }
        self.section(name, problems)
    }

    /// The tables of a list: `[[network]]` sections, or `ports = [ { .. } ]`.
    pub(super) fn tables(&mut self, name: &'static str, example: &str, problems: &mut Problems) -> Vec<Self> {
        self.known.push(name);
        let Some(value) = self.entries.get(name) else {
            return Vec::new();
        };
        let help = format!("write {example}");
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{name}` is {}, not a list of tables", kind(value.get_ref()));
            problems.add(self.problem(value.span(), message).help(help));
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items.iter() {
            match self.inner(format!("`{name}`"), item) {
                Some(table) => tables.push(table),
                None => {
                    let message = format!("an entry of `{name}` is {}, not a table", kind(item.get_ref()));
                    problems.add(self.problem(item.span(), message).help(help.as_str()));
                }
            }
        }
        tables
    }

    /// Reports the keys that the caller has not read.
    pub(super) fn finish(&self, problems: &mut Problems) {
        for (key, _) in self.entries.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let known: Vec<String> = self.known.iter().map(|known| format!("`{known}`")).collect();
                let hint = nearest(name, self.known.iter().copied());
                let mean = hint.map(|hint| format!("did you mean `{hint}`? ")).unwrap_or_default();
                problems.add(
                    self.problem(key.span(), format!("unknown key `{name}` in {}", self.name))
                        .help(format!("{mean}known here: {}", known.join(", "))),
                );
            }
        }
    }

    fn inner(&self, name: String, value: &'d Spanned<DeValue<'d>>) -> Option<Self> {
        let DeValue::Table(entries) = value.get_ref() else {
            return None;
        };
        Some(Table {
            name,
            span: value.span(),
            source: self.source,
            entries,
            known: Vec::new(),
        })
    }
}

/// The kind of a value, for "is a number, not a text".
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that is most similar, if any is similar enough.
pub(super) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = 1 + word.chars().count() / 4;
    known
        .map(|known| (distance(word, known), known))
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, known)| known)
}

/// The Levenshtein distance: letters to change, add or remove.
fn distance(a: &str, b: &str) -> usize {
    // Keys are short. A longer text is no typing error, and the cost grows with the square of the length.
    if a.len() > 100 || b.len() > 100 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

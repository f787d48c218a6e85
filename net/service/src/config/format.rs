//! The format of a configuration file: a number that grows when a file of an older program would mean something else.

use super::problem::{Problem, Problems, Source};
use super::table::{Document, Key};
use super::values;

/// The format that this program reads, and that of a file without the key.
///
/// A new key needs no new format: an older program refuses a key that it does not know, by name.
const NEWEST: u64 = 1;

pub(super) const FORMAT: Key<u64> = Key {
    name: "format",
    read: values::revision,
    example: "1",
    what: "the format of this file",
};

/// Whether the file has a format that this program reads. In another one, each key might mean something else: the format is
/// the only problem that is reported.
pub(super) fn is_readable(document: &Document<'_>, source: &Source, problems: &mut Problems) -> bool {
    let format = document.root(source).optional(&FORMAT, problems);
    let Some(format) = format.filter(|format| format.value > NEWEST) else {
        return problems.is_empty();
    };
    let message = format!(
        "the file has format {}, and this program reads format {NEWEST}",
        format.value
    );
    let help = "upgrade Tandem on this host, or write the file for this version (\"Compatibility\" in the book)";
    problems.add(Problem::new(source, format.span, message).help(help));
    false
}

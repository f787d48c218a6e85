//! Problems of a file: the place, the reason, and what to write instead.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// One problem, at one place of one file.
#[derive(Clone)]
pub struct Problem {
    source: Source,
    message: String,
    here: (Range<usize>, String),
    before: Option<(Range<usize>, String)>,
    help: String,
}

/// Where a problem is; both count from one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// All problems of a configuration. Displayed as a whole report.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    problems: Vec<Problem>,
    /// Problems beyond those, by their message where many have the same.
    repeated: BTreeMap<String, usize>,
    left_out: usize,
}

/// How many problems are kept. More of them mostly have one cause.
const PROBLEMS_MAX: usize = 50;

/// How many problems of one message are kept: a network that was renamed is missing at each port, and must not hide others.
const REPEATED_MAX: usize = 5;

/// Bytes of the lines that are shown with one problem. A list of forty ports in one line is too long: the place
/// in it is lost on a terminal, which breaks the line.
const PICTURE_BYTES_MAX: usize = 1000;

/// Lines that may lie between two labels of one picture.
const LINES_SHOWN: usize = 12;

/// The text of a file that problems refer to.
#[derive(Clone)]
pub struct Source(Arc<NamedSource<String>>);

impl Problem {
    /// A problem at `here`, a range of bytes.
    pub fn new(source: &Source, here: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            source: source.clone(),
            message: message.into(),
            here: (here, "here".into()),
            before: None,
            help: String::new(),
        }
    }

    /// Labels the marked text.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.here.1 = label.into();
        self
    }

    /// Marks the earlier text that conflicts with this one.
    ///
    /// A near one is shown, a far one is named by its line, because miette prints everything between two labels.
    pub(crate) fn before(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        let label = label.into();
        let text = self.source.text();
        let (start, end) = (span.start.min(self.here.0.start), span.end.max(self.here.0.end));
        let lines = text.get(start..end).map_or(0, |between| between.matches('\n').count());
        if lines < LINES_SHOWN {
            self.before = Some((span, label));
        } else {
            let Location { line, .. } = locate(text, span.start);
            self.here.1 = format!("{}; {label} is in line {line}", self.here.1);
        }
        self
    }

    /// What to write instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// The problem, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    pub fn advice(&self) -> &str {
        &self.help
    }

    /// The path of the file.
    pub fn file(&self) -> &str {
        self.source.0.name()
    }

    /// Whether the lines around the problem are short enough to be shown.
    fn has_picture(&self) -> bool {
        let text = self.source.text();
        let before = self.before.as_ref().map_or(&self.here.0, |(span, _)| span);
        let (start, end) = (before.start.min(self.here.0.start), before.end.max(self.here.0.end));
        let (Some(head), Some(tail)) = (text.get(..start), text.get(end..)) else {
            return true;
        };
        let above: usize = head.rsplit('\n').take(2).map(str::len).sum();
        let below: usize = tail.split('\n').take(2).map(str::len).sum();
        above + (end - start) + below < PICTURE_BYTES_MAX
    }

    /// The place of the problem.
    pub fn location(&self) -> Location {
        locate(self.source.text(), self.here.0.start)
    }
}

impl Problems {
    /// Adds a problem; beyond a bound it is only counted.
    pub fn add(&mut self, problem: Problem) {
        let same = self.problems.iter().filter(|it| it.message == problem.message);
        if same.count() >= REPEATED_MAX {
            *self.repeated.entry(problem.message).or_default() += 1;
        } else if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// Sorts by place; problems of other files follow those of `first`.
    pub(crate) fn in_order(mut self, first: &Source) -> Self {
        self.problems.sort_by_cached_key(|problem| {
            let file = problem.file();
            (file != first.name(), file.to_owned(), problem.here.0.start)
        });
        self
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The number of problems, including those that were not kept.
    pub fn count(&self) -> usize {
        self.problems.len() + self.repeated.values().sum::<usize>() + self.left_out
    }

    /// The problems that were kept.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// The report for people: each problem with its context, and a last line with their number.
    pub fn render(&self, colour: bool) -> String {
        let theme = if colour {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_links(false);
        let mut report = String::new();
        for problem in &self.problems {
            if handler.render_report(&mut report, problem).is_err() {
                report.push_str(&problem.to_string());
            }
            report.push('\n');
        }
        for (message, times) in &self.repeated {
            report.push_str(&format!("... and {times} more: {message}\n"));
        }
        if self.left_out > 0 {
            report.push_str(&format!("... and {} more.\n", self.left_out));
        }
        report.push_str(&match self.count() {
            1 => "1 problem.".to_owned(),
            count => format!("{count} problems."),
        });
        report
    }
}

impl Source {
    /// The text of a file. A file that is not text is reported, and not read further.
    ///
    /// Neither TOML nor a list of MACs contains control characters. They are replaced, so that no report can send one to a
    /// terminal.
    pub fn of_file(path: &Path, bytes: &[u8], problems: &mut Problems) -> Option<Self> {
        let (text, bad) = match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), text.find(forbidden)),
            Err(error) => (String::from_utf8_lossy(bytes), Some(error.valid_up_to())),
        };
        let source = |text: String| Self(Arc::new(NamedSource::new(path.display().to_string(), text)));
        let Some(at) = bad else {
            return Some(source(text.into_owned()));
        };
        let source = source(text.replace(forbidden, "?"));
        problems.add(
            Problem::new(&source, at..at + 1, "this is not UTF-8 text without control characters")
                .help("remove what is marked, and save the file as UTF-8"),
        );
        None
    }

    /// The path of the file, as given.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        self.0.inner()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_picture() {
            let Location { line, column } = self.location();
            write!(f, "{}:{line}:{column}: ", self.file())?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { line, column } = self.location();
        write!(f, "{}:{line}:{column}: {} ({})", self.file(), self.message, self.help)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.has_picture().then_some(&*self.source.0)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (here, label) = &self.here;
        let here = LabeledSpan::new_primary_with_span(Some(label.clone()), here.clone());
        let before = self
            .before
            .as_ref()
            .map(|(span, label)| LabeledSpan::new_with_span(Some(label.clone()), span.clone()));
        Some(Box::new(std::iter::once(here).chain(before)))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

fn forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

fn locate(text: &str, at: usize) -> Location {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    Location {
        line: 1 + text[..line_start].matches('\n').count(),
        column: 1 + text[line_start..at].chars().count(),
    }
}

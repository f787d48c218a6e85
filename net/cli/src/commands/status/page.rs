//! The layout of a page: lines of 80 columns, and no control characters of others.

use std::fmt::Write;

/// Columns of a line.
pub(super) const COLUMNS: usize = 80;
/// The first column of a table is at least so wide before another column gives way.
const NAME: usize = 8;
/// In front of what continues a line.
const INDENT: &str = "    ";

/// A page that grows.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    /// A person reads it on a terminal. Programs receive each fact on one line.
    is_folded: bool,
}

impl Page {
    pub(super) fn new(is_folded: bool) -> Self {
        Self {
            text: String::new(),
            is_folded,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A short line, or one that has to stay whole.
    pub(super) fn line(&mut self, line: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }

    /// A blank line, and a title.
    pub(super) fn title(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// A line that may contain texts of others, and be long: on a terminal it is folded.
    pub(super) fn fact(&mut self, text: &str) {
        match self.is_folded {
            true => self.folded(text, text.split_whitespace()),
            false => self.line(text),
        }
    }

    /// A list with commas, folded everywhere.
    pub(super) fn list(&mut self, parts: &[String]) {
        let text = parts.join(", ");
        self.folded(&text, text.split_inclusive(", ").map(str::trim_end));
    }

    /// These pieces of a text, as many on each line as fit.
    fn folded<'a>(&mut self, text: &str, pieces: impl Iterator<Item = &'a str>) {
        let indent = text.len() - text.trim_start().len();
        let mut line = " ".repeat(indent);
        let mut is_empty = true;
        for word in pieces {
            if !is_empty && length(&line) + 1 + length(word) > COLUMNS {
                self.line(&line);
                (line, is_empty) = (format!("{}{INDENT}", " ".repeat(indent)), true);
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.line(&line);
    }

    /// A table below its titles. Where it is too wide, these columns are left out, the last of them first.
    pub(super) fn table(&mut self, rows: &[Vec<String>], dispensable: &[usize]) {
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut columns: Vec<Column> = (0..count).map(|index| Column::of(rows, index)).collect();
        for index in dispensable.iter().rev() {
            if width(&columns) > COLUMNS {
                columns.retain(|column| column.index != *index);
            }
        }
        let rest = width(&columns).saturating_sub(columns.first().map_or(0, |column| column.width));
        let is_narrow_enough = rest + NAME <= COLUMNS;
        if let Some(name) = columns.first_mut()
            && is_narrow_enough
        {
            name.width = name.width.min(COLUMNS - rest);
        }
        for row in rows {
            match is_narrow_enough {
                true => self.row(row, &columns),
                false => self.broken(row, &columns),
            }
        }
    }

    /// A name that is too long stands on a line of its own.
    fn row(&mut self, row: &[String], columns: &[Column]) {
        let cell = |column: &Column| row.get(column.index).map(String::as_str);
        let name_width = columns.first().map_or(0, |column| column.width);
        let is_long = row.first().is_some_and(|name| length(name) > name_width);
        if is_long {
            self.line(row.first().map_or("", String::as_str));
        }
        let mut line = String::new();
        for (place, column) in columns.iter().enumerate() {
            let text = match place {
                0 if is_long => "",
                _ => cell(column).unwrap_or_default(),
            };
            line.push_str(column.gap(place));
            line.push_str(&column.pad(text));
        }
        self.line(&line);
    }

    /// As many columns on each line as fit.
    fn broken(&mut self, row: &[String], columns: &[Column]) {
        let mut line = String::new();
        let mut place = 0;
        for column in columns {
            let Some(text) = row.get(column.index) else { break };
            let cell = column.pad(text);
            if place > 0 && length(&line) + column.gap(place).len() + length(cell.trim_end()) > COLUMNS {
                self.line(&line);
                (line, place) = (INDENT.to_owned(), 0);
            }
            line.push_str(column.gap(place));
            line.push_str(&cell);
            place += 1;
        }
        match line.trim().is_empty() {
            true => {}
            false => self.line(&line),
        }
    }
}

/// A column of a table; numbers end where their title ends.
struct Column {
    index: usize,
    width: usize,
    is_numbers: bool,
}

impl Column {
    fn of(rows: &[Vec<String>], index: usize) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(index));
        let is_number = |cell: &String| cell == "-" || cell.parse::<f64>().is_ok();
        Self {
            index,
            width: cells().map(|cell| length(cell)).max().unwrap_or(0),
            is_numbers: cells().skip(1).all(is_number),
        }
    }

    /// What separates it from the column before.
    fn gap(&self, place: usize) -> &'static str {
        match (place, self.is_numbers) {
            (0, _) => "",
            (_, true) => " ",
            (_, false) => "  ",
        }
    }

    fn pad(&self, text: &str) -> String {
        let width = self.width;
        match self.is_numbers {
            true => format!("{text:>width$}"),
            false => format!("{text:<width$}"),
        }
    }
}

fn width(columns: &[Column]) -> usize {
    let columns = columns.iter().enumerate();
    columns
        .map(|(place, column)| column.gap(place).len() + column.width)
        .sum()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Names and reasons come from others: no control character of theirs reaches the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        let row = |row: &&[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
        rows.iter().map(row).collect()
    }

    fn table(content: &[&[&str]], dispensable: &[usize]) -> String {
        let mut page = Page::new(false);
        page.table(&rows(content), dispensable);
        page.finish()
    }

    #[test]
    fn a_wide_table_loses_what_is_dispensable_then_long_names_stand_alone_then_rows_are_broken() {
        let (wide, long) = ("w".repeat(60), "n".repeat(30));
        assert_eq!(table(&[&["A", "B"], &["x", "1"]], &[]), "A B\nx 1\n");
        let lost = table(&[&["A", "B", "C"], &["x", &wide, &long]], &[2]);
        assert_eq!(lost, format!("A  B\nx  {wide}\n"));
        let alone = table(&[&["A", "B"], &[&long, &wide], &["x", &wide]], &[]);
        let blank = " ".repeat(18);
        assert_eq!(
            alone,
            format!(
                "A{}  B\n{long}\n{blank}  {wide}\nx{}  {wide}\n",
                " ".repeat(17),
                " ".repeat(17)
            )
        );
        let broken = table(&[&["A", "B", "C"], &["x", &wide, &long]], &[]);
        assert_eq!(broken, format!("A  B{}  C\nx  {wide}\n    {long}\n", " ".repeat(59)));
    }

    #[test]
    fn a_list_is_folded_everywhere_and_a_fact_on_a_terminal() {
        let words = vec!["twelve chars".to_owned(); 9];
        for is_folded in [false, true] {
            let mut page = Page::new(is_folded);
            page.list(&words);
            page.fact(&format!("  {}", words.join(" ")));
            let text = page.finish();
            let long = text.lines().filter(|line| line.len() > COLUMNS).count();
            assert_eq!(long, usize::from(!is_folded), "{text}");
            assert_eq!(text.lines().count(), if is_folded { 4 } else { 3 }, "{text}");
        }
    }
}

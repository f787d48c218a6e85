//! The simulated world takes as long as real parts do.
//!
//! Each row was measured on real parts (HAProxy 2.6.12, ovsdb-server 3.1.0, keepalived 2.2.7, stub agents), a few
//! trials each; the world runs the same configuration two hundred times, in simulated time. Three tests, so that they
//! run side by side.

mod rows;
mod setups;
mod trial;

use std::time::Duration;

use rows::Row;

/// The tolerance of a median, as a part of the lab's least and most.
const TOLERANCE_PERCENT: u32 = 10;

/// The times of the trials of a row, the shortest first.
struct Found(Vec<Duration>);

#[test]
fn an_agent_fails() {
    as_in_the_lab("an_agent_fails", &rows::agents());
}

#[test]
fn an_agent_or_both_fail_in_the_second_lab() {
    as_in_the_lab("an_agent_or_both_fail_in_the_second_lab", &rows::second_lab());
}

#[test]
fn the_virtual_ip_moves() {
    as_in_the_lab("the_virtual_ip_moves", &rows::virtual_ip());
}

/// The table is a snapshot, and every median in it is within the lab's range or explained.
fn as_in_the_lab(name: &str, rows: &[Row]) {
    let found: Vec<Found> = rows.iter().map(Found::of).collect();
    insta::assert_snapshot!(name, table(rows, &found));
    for (row, found) in rows.iter().zip(&found) {
        let median = found.percentile(50);
        let allowed = row.lab.allows(median);
        assert_eq!(
            allowed,
            row.differs.is_none(),
            "{median:?} in the world, and in the lab: {row:?}"
        );
    }
}

impl Found {
    fn of(row: &Row) -> Self {
        let mut took = trial::times(row);
        took.sort();
        Self(took)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

fn table(rows: &[Row], found: &[Found]) -> String {
    let heading = rows::COLUMNS.map(str::to_owned);
    let mut lines = vec![heading.to_vec()];
    for (row, found) in rows.iter().zip(found) {
        let mut cells = row.cells().to_vec();
        let [median, low, high] = [50, 5, 95].map(|percent| rows::seconds(found.percentile(percent)));
        cells.extend([median, format!("{low}-{high}"), row.differs.unwrap_or("").to_owned()]);
        lines.push(cells);
    }
    let columns = heading.len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().map(|cells| cells[column].len()).max().unwrap_or(0))
        .collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

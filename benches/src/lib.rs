//! The base of the benchmarks in `benches/`: a fresh database server, and a client that is nothing but bytes.
//!
//! Each of them prints a ratio of two things that took turns on one machine: times of one machine alone mean little.

pub mod raw;
pub mod server;

use std::cell::RefCell;
use std::time::Duration;

/// A result; the error is text for a person.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Two things that took turns: seconds of the one and of the other.
#[derive(Default)]
pub struct Turns(RefCell<Vec<(f64, f64)>>);

impl Turns {
    /// Notes a turn.
    pub fn note(&self, one: Duration, other: Duration) {
        self.0.borrow_mut().push((one.as_secs_f64(), other.as_secs_f64()));
    }

    /// The report: the rates of both for so much `work` in a turn, and how they compare. The best turns show what
    /// the machine can do without other load.
    pub fn report(&self, names: [&str; 2], work: f64, unit: &str) -> String {
        let turns = self.0.borrow();
        let rates = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> { turns.iter().map(|turn| work / of(turn)).collect() };
        let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        let rates = [rates(|turn| turn.0), rates(|turn| turn.1)];
        let ratios: Vec<f64> = turns.iter().map(|(one, other)| one / other).collect();
        let mut text = format!(
            "{:36} {:>10} {:>10}\n",
            format!("{} turns", turns.len()),
            "median",
            "best"
        );
        for (name, rates) in names.iter().zip(&rates) {
            let (median, best) = (median(rates), best(rates));
            text += &format!("{name:36} {median:10.0} {best:10.0} {unit}\n");
        }
        let [one, other] = rates.map(|rates| best(&rates));
        let ratio = format!("{} / {}", names[1], names[0]);
        text + &format!("{ratio:36} {:10.2} {:10.2}", median(&ratios), other / one)
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (middle(sorted.len() / 2) + middle(sorted.len().saturating_sub(1) / 2)) / 2.0
}

//! Shorter and rounder times: of each fault, from one fault to the next, and from the last to the end.
//!
//! A time is simpler than another if it has fewer digits, or as many and is shorter; so this comes to an end.

use super::Search;
use crate::plan::{Plan, Span};

/// What people write, the shortest first, in milliseconds.
const NICE: [u64; 13] = [
    0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000,
];

pub(super) fn shrink(search: &mut Search<'_>) {
    search.best.faults.sort_by_key(|fault| fault.at);
    // From the end, as the end is what is needed least.
    simplify(search, tail, set_tail);
    for index in (0..search.best.faults.len()).rev() {
        simplify(search, |plan| gap(plan, index), |plan, span| set_gap(plan, index, span));
        let lasts = |plan: &Plan| plan.faults.get(index).and_then(|fault| fault.lasts);
        simplify(search, lasts, |plan, span| {
            if let Some(fault) = plan.faults.get_mut(index) {
                fault.lasts = Some(span);
            }
        });
    }
}

fn simplify(search: &mut Search<'_>, time: impl Fn(&Plan) -> Option<Span>, set: impl Fn(&mut Plan, Span)) {
    let Some(now) = time(&search.best) else { return };
    let nice = NICE.into_iter().map(Span::millis);
    let mut simpler: Vec<Span> = nice
        .chain(rounded(now))
        .filter(|span| cost(*span) < cost(now))
        .collect();
    simpler.sort_by_key(|span| cost(*span));
    for span in simpler {
        if search.change(|plan| set(plan, span)) {
            return;
        }
    }
}

/// Rounded to each digit, down and up.
fn rounded(span: Span) -> impl Iterator<Item = Span> {
    let micros = span.as_micros();
    let units = (1..=micros.max(1).ilog10()).map(|digits| 10_u64.pow(digits));
    units.flat_map(move |unit| [micros / unit * unit, micros.div_ceil(unit) * unit].map(Span::micros))
}

/// How many digits are not trailing zeros, and how long it is.
fn cost(span: Span) -> (u32, Span) {
    let mut digits = span.as_micros();
    while digits > 0 && digits.is_multiple_of(10) {
        digits /= 10;
    }
    (digits.checked_ilog10().map_or(0, |log| log + 1), span)
}

/// From the last fault to the end.
fn tail(plan: &Plan) -> Option<Span> {
    Some(minus(plan.duration, last(plan)))
}

fn set_tail(plan: &mut Plan, span: Span) {
    plan.duration = Span::micros(last(plan).as_micros() + span.as_micros());
}

fn last(plan: &Plan) -> Span {
    plan.faults.last().map_or(Span::ZERO, |fault| fault.at)
}

/// From the fault before, or from the beginning.
fn gap(plan: &Plan, index: usize) -> Option<Span> {
    let before = index.checked_sub(1).and_then(|before| plan.faults.get(before));
    let from = before.map_or(Span::ZERO, |fault| fault.at);
    plan.faults.get(index).map(|fault| minus(fault.at, from))
}

/// Moves this fault, all that come after it, and the end.
fn set_gap(plan: &mut Plan, index: usize, span: Span) {
    let Some(now) = gap(plan, index) else { return };
    let moved = |time: Span| Span::micros((time.as_micros() + span.as_micros()).saturating_sub(now.as_micros()));
    for fault in plan.faults.iter_mut().skip(index) {
        fault.at = moved(fault.at);
    }
    plan.duration = moved(plan.duration);
}

fn minus(one: Span, other: Span) -> Span {
    Span::micros(one.as_micros().saturating_sub(other.as_micros()))
}

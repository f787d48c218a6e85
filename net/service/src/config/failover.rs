//! `[failover]`: what happens to routes while a switch has no owner.

use std::time::Duration;

use super::problem::Problems;
use super::table::{At, Key, Table};
use super::values;

const STALE_HOLD: Key<Option<Duration>> = Key {
    name: "stale_hold",
    read: values::hold,
    example: r#""300s""#,
    what: "how long copies of routes are held while a switch has no owner; `\"0s\"` holds none",
};

/// How long copies are held; `None` holds none.
pub(super) fn read(root: &mut Table<'_>, problems: &mut Problems) -> Option<Duration> {
    let mut table = root.section("failover", problems)?;
    let hold = table.optional(&STALE_HOLD, problems);
    table.finish(problems);
    let At { value, span } = hold?;
    if value.is_some() && !root.has("control") {
        problems.add(
            table
                .problem(span, "`stale_hold` has no effect without `[control]`")
                .label("holds routes")
                .help("routes are exchanged with control nodes: remove `stale_hold`, or add `[control]`"),
        );
    }
    value
}

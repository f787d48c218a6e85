//! The bounds of the core, as a table for the book.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_core::bounds;

macro_rules! values {
    ($($name:ident),* $(,)?) => { BTreeMap::from([$((stringify!($name), bounds::$name.shown(stringify!($name)))),*]) };
}

/// One row for each bound in the code: its value, and its comment.
pub(crate) fn table(code: &str) -> String {
    let values: BTreeMap<&str, String> = values![
        ALARM_AFTER,
        ANNOUNCE,
        ANSWERS_BYTES,
        ATTEMPTS,
        ATTRIBUTES,
        AUDIT_ROWS_PER_STEP,
        BACKLOG_BYTES,
        CHANGES_SETTLE,
        CLAIM_ROWS_PER_TRANSACTION,
        CLIENTS,
        CLIENT_QUEUE_BYTES,
        CONTROL_NODES,
        DEFERRED_ROUTES,
        DIALS_BEFORE_ANOTHER,
        DOUBT,
        DRAIN,
        DIAL,
        DUMP_ANSWER,
        DUMP_SILENCE,
        ELEMENT_LEVELS,
        END_OF_RIB_QUIET,
        EQUAL_PATHS,
        GATHER,
        GRAPH_BYTES,
        HALF_OPEN_STREAMS,
        HANDOVER_PAUSE,
        ISOLATED_AFTER,
        ITEMS_PER_MESSAGE,
        GRACEFUL_RESTART,
        GRACEFUL_RESTART_QUIET,
        LINGER,
        LOOKS_PER_STEP,
        MEMBERS,
        MESSAGE_BYTES,
        NAMELESS,
        NAMELESS_CONNECTIONS,
        NAMELESS_LOCK,
        NEGOTIATION,
        NESTING_LEVELS,
        OBJECTS_PER_MESSAGE,
        OPENING_MESSAGE_BYTES,
        PACKED_BYTES,
        PACKED_OBJECTS,
        PEER_FRESH,
        PEER_SAYS,
        PROOF,
        QUARANTINE,
        QUIET,
        REQUEST_ANSWER,
        RETRY_FIRST,
        ROUTES_PER_CLIENT,
        ROUTES_PER_CONTROL_NODE,
        ROUTES_PER_STEP,
        ROWS,
        ROWS_PER_TRANSACTION,
        SEND_QUEUE_BYTES,
        SEQUENCE_MEMORY,
        SLOW_CLIENT,
        STANZA_BYTES,
        STATUS_ENTRIES,
        STREAM_BYTES_PER_STEP,
        STREAM_OPEN_BYTES,
        SUBSCRIPTIONS_PER_CLIENT,
        TOKEN_BYTES,
        TRANSACTIONS_IN_FLIGHT,
        UNSENT_RETRACTS,
        UNUSABLE_NAMED,
        WORK_BYTES_PER_STEP,
    ];
    let mut table = String::from("| bound | value | what it bounds |\n|---|---|---|\n");
    let mut comment = Vec::new();
    let mut seen = 0;
    for line in code.lines() {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some(rest) = line.strip_prefix("pub const ") {
            let name = rest.split(':').next().unwrap_or_default();
            let value = values
                .get(name)
                .unwrap_or_else(|| panic!("{name} is new: name it here"));
            table += &format!("| `{name}` | {value} | {} |\n", comment.join(" "));
            seen += 1;
        }
        if !line.starts_with("///") {
            comment.clear();
        }
    }
    assert_eq!(seen, values.len(), "every bound of this list is in the code");
    table
}

trait Shown {
    fn shown(&self, name: &str) -> String;
}

impl Shown for Duration {
    fn shown(&self, _: &str) -> String {
        match self.as_millis() {
            ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
            ms => format!("{ms} ms"),
        }
    }
}

impl Shown for usize {
    fn shown(&self, name: &str) -> String {
        match (name.contains("BYTES"), self) {
            (true, bytes) if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
            (true, bytes) if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
            (_, number) => number.to_string(),
        }
    }
}

impl Shown for u32 {
    fn shown(&self, _: &str) -> String {
        self.to_string()
    }
}

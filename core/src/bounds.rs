//! Everything that is bounded, in one place; the unit is the last word of the name.

/// Bytes of one JSON value from a switch that has not yet shown what it is.
pub const OPENING_MESSAGE_BYTES: usize = 16 << 20;

/// Bytes of one JSON value once the unicast tables were asked for: some 600,000 rows.
pub const MESSAGE_BYTES: usize = 128 << 20;

/// How deep a JSON value may nest. The deepest that a switch sends is a schema, at about ten.
pub const NESTING_LEVELS: usize = 64;

//! Two agents behind a real HAProxy, real switches, and whatever dies: the switch is managed again at once.

mod fresh;
mod kill;
mod pair;

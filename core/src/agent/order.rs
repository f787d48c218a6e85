//! Orders of an operator to a running agent, and their answers.

use serde::{Deserialize, Serialize};

use crate::ids::SwitchName;

/// An order of an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// Hand every switch over and take no new ones, until [`Resume`](Self::Resume). The process stays.
    Drain,
    /// Take switches again.
    Resume,
    /// Move one switch to the other agent of the pair, which is fit.
    Release {
        /// The switch.
        switch: SwitchName,
    },
    /// Delete what is withheld because it is too much at once.
    Confirm {
        /// The switch; `None` is every switch.
        switch: Option<SwitchName>,
    },
    /// Try the objects in quarantine now.
    Retry {
        /// The switch; `None` is every switch.
        switch: Option<SwitchName>,
    },
}

/// The answer to an order, for a person.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the order was carried out.
    pub ok: bool,
    /// What was done, or why it was not.
    pub text: String,
}

impl Answer {
    /// The order was carried out.
    pub fn done(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { ok: true, text }
    }

    /// The order was not carried out.
    pub fn refused(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { ok: false, text }
    }
}

/// The number of an order, which its answer carries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OrderId(pub u64);

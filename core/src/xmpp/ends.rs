//! Of which subscription an end is.
//!
//! A control node of ours says once of each subscription that everything was told, at the latest when that is over. Who
//! leaves an instance and comes back may hear the end of what it has left, however late, and must not take it for that of
//! what it has now. It comes first, so it is enough to count.

use std::collections::BTreeMap;

use crate::evpn::InstanceName;

/// The ends that are still to come in a session, of subscriptions that are over.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    owed: BTreeMap<InstanceName, usize>,
}

impl Ends {
    /// A subscription is over of which the end was not heard.
    pub fn owe(&mut self, instance: InstanceName) {
        *self.owed.entry(instance).or_default() += 1;
    }

    /// An end was heard. Answers whether it is that of the present subscription.
    pub fn hear(&mut self, instance: &InstanceName) -> bool {
        let Some(owed) = self.owed.get_mut(instance) else {
            return true;
        };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(instance);
        }
        false
    }

    /// Of how many instances an end is to come.
    pub fn instances(&self) -> usize {
        self.owed.len()
    }
}

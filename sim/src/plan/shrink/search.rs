//! The search for a smaller plan: the best one so far, and the proposals that were tried.

use std::collections::BTreeSet;

use crate::plan::Plan;

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Plans that were run.
    pub runs: usize,
    /// The most that may be run.
    pub budget: usize,
    /// The smallest that failed so far.
    pub best: &'a Plan,
}

pub(super) struct Search<'a> {
    pub(super) best: Plan,
    pub(super) fails: &'a mut dyn FnMut(&Plan) -> bool,
    pub(super) on_progress: &'a mut dyn FnMut(&Progress<'_>),
    /// As text. A plan that passed would pass again.
    pub(super) tried: BTreeSet<String>,
    pub(super) runs: usize,
    pub(super) budget: usize,
}

impl Search<'_> {
    pub(super) fn is_spent(&self) -> bool {
        self.runs >= self.budget
    }

    /// Takes this plan for the best one if it fails. Whether it did.
    pub(super) fn propose(&mut self, plan: Plan) -> bool {
        if self.is_spent() || plan == self.best || plan.check().is_err() || !self.tried.insert(plan.to_toml()) {
            return false;
        }
        self.runs += 1;
        let failed = (self.fails)(&plan);
        if failed {
            self.best = plan;
        }
        (self.on_progress)(&Progress {
            runs: self.runs,
            budget: self.budget,
            best: &self.best,
        });
        failed
    }

    /// Proposes the best plan with a change.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.clone();
        change(&mut plan);
        self.propose(plan)
    }
}

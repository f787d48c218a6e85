//! No workload, and settings as they are by default: a whole section at once, then key by key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use super::Search;
use crate::plan::{Plan, Workload};

pub(super) fn shrink(search: &mut Search<'_>) {
    search.change(|plan| {
        plan.workload = Workload {
            local_changes_per_h: 0,
            remote_changes_per_h: 0,
            configuration_changes_per_h: 0,
        };
    });
    search.change(|plan| plan.workload.local_changes_per_h = 0);
    search.change(|plan| plan.workload.remote_changes_per_h = 0);
    search.change(|plan| plan.workload.configuration_changes_per_h = 0);
    reset(search, |plan| &mut plan.network);
    reset(search, |plan| &mut plan.agent);
    reset(search, |plan| &mut plan.proxy);
    // Fewer foreign logical switches are simpler than as many as by default.
    let foreign = search.best.switch.foreign;
    search.change(|plan| {
        plan.switch = crate::plan::Switch {
            foreign,
            ..crate::plan::Switch::default()
        };
    });
    reset_keys(search, |plan| &mut plan.switch, &["foreign"]);
}

fn reset<T: Default + Serialize + DeserializeOwned>(search: &mut Search<'_>, section: fn(&mut Plan) -> &mut T) {
    search.change(|plan| *section(plan) = T::default());
    reset_keys(search, section, &[]);
}

/// By way of a table, so that no key can be forgotten here.
fn reset_keys<T: Default + Serialize + DeserializeOwned>(
    search: &mut Search<'_>,
    section: fn(&mut Plan) -> &mut T,
    but: &[&str],
) {
    let default = Table::try_from(T::default()).unwrap_or_default();
    let now = Table::try_from(&*section(&mut search.best)).unwrap_or_default();
    let keys = now.keys().chain(default.keys().filter(|key| !now.contains_key(*key)));
    for key in keys.filter(|key| !but.contains(&key.as_str())) {
        let mut table = Table::try_from(&*section(&mut search.best)).unwrap_or_default();
        match default.get(key) {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => table.remove(key),
        };
        if let Ok(values) = table.try_into() {
            search.change(|plan| *section(plan) = values);
        }
    }
}

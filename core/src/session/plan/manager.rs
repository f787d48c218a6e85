//! The switch's `Manager` row: how soon it comes back to us after a failure.

use super::{Step, View};
use crate::ids::Uuid;
use crate::ovsdb::rows::ManagerRow;
use crate::ovsdb::transaction::Transaction;

/// Sets the timers that are not set, once per session: what an operator chose stays.
pub(super) fn manager(view: &View, transaction: &mut Transaction) -> Step {
    let Some(timers) = view.desired.options().manager.as_ref() else {
        return Step::Right;
    };
    if view.underway.is_manager_done() {
        return Step::Right;
    }
    let Some((row, found)) = manager_row(view, timers.target.as_deref()) else {
        return Step::Right;
    };
    let max_backoff = found.max_backoff.0.is_empty().then_some(timers.max_backoff_ms);
    let inactivity_probe = found
        .inactivity_probe
        .0
        .is_empty()
        .then_some(timers.inactivity_probe_ms);
    if max_backoff.is_none() && inactivity_probe.is_none() {
        return Step::Right;
    }
    transaction.update_manager(row, max_backoff, inactivity_probe);
    Step::WRITE
}

/// The row with the configured target, or the only one whose target the switch dials: tools connect to the others.
fn manager_row<'a>(view: &View<'a>, target: Option<&str>) -> Option<(Uuid, &'a ManagerRow)> {
    let managers = &view.replica.managers;
    let row = match target {
        Some(target) => managers.iter().find(|(_, row)| row.target == target),
        None => {
            let mut dialled = managers.iter().filter(|(_, row)| is_dialled(&row.target));
            dialled.next().filter(|_| dialled.next().is_none())
        }
    };
    row.map(|(uuid, row)| (*uuid, row))
}

/// The rows that the switch dials, if one of them lacks timers and none is the one to set.
pub(in crate::session) fn untimed(view: &View) -> Option<usize> {
    let timers = view.desired.options().manager.as_ref()?;
    if manager_row(view, timers.target.as_deref()).is_some() {
        return None;
    }
    let dialled = || {
        let managers = view.replica.managers.values();
        managers.filter(|row| is_dialled(&row.target))
    };
    let lacks = |row: &ManagerRow| row.max_backoff.0.is_empty() || row.inactivity_probe.0.is_empty();
    dialled().any(lacks).then(|| dialled().count())
}

/// Whether the switch dials a target; it listens at `ptcp:`, `pssl:` and `punix:`.
fn is_dialled(target: &str) -> bool {
    ["ssl:", "tcp:", "unix:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::plan::testing::Scene;

    #[test]
    fn only_timers_that_are_not_set_are_set() {
        let mut scene = Scene::with_logical_switch();
        scene.manager_row(1, "ssl:192.0.2.1:6640", Some(3000));
        let (step, text) = scene.plan(manager);
        assert_eq!(step, Step::WRITE);
        assert!(
            text.contains("inactivity_probe") && !text.contains("max_backoff"),
            "{text}"
        );
    }

    #[test]
    fn rows_at_which_the_switch_listens_for_tools_do_not_count() {
        let mut scene = Scene::with_logical_switch();
        scene.manager_row(1, "ptcp:6632:192.0.2.1", None);
        scene.manager_row(2, "ssl:192.0.2.2:6640", None);
        scene.manager_row(3, "punix:/run/tools", None);
        let (step, text) = scene.plan(manager);
        assert_eq!(step, Step::WRITE);
        assert!(text.contains(&Uuid(2).to_string()), "{text}");
    }

    #[test]
    fn of_several_rows_none_is_touched_unless_its_target_is_configured() {
        let mut scene = Scene::with_logical_switch();
        scene.manager_row(1, "ssl:192.0.2.1:6640", None);
        scene.manager_row(2, "ssl:192.0.2.2:6640", None);
        assert_eq!(scene.plan(manager).0, Step::Right);
        scene.configure(|configuration| {
            let timers = configuration.session.manager.as_mut().expect("timers");
            timers.target = Some("ssl:192.0.2.2:6640".into());
        });
        let (_, text) = scene.plan(manager);
        assert!(text.contains(&Uuid(2).to_string()), "{text}");
    }
}

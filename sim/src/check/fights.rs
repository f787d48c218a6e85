//! S7, of fights: a session does not write what another program undoes again and again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tandem_core::{ConnId, Time, Uuid};

use super::{Check, Findings, Scene};
use crate::switch::{Commit, Writer};

/// The window, and the most writes of one MAC by one session in it: the first pauses double, then each is ten seconds.
const WINDOW: Duration = Duration::from_secs(60);
const WRITES: usize = 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Fights {
    /// The times of the writes, by switch, session, logical switch and MAC.
    writes: BTreeMap<(String, ConnId, Uuid, String), VecDeque<Time>>,
}

impl Check for Fights {
    fn name(&self) -> &'static str {
        "S7"
    }

    fn on_commit(&mut self, switch: &str, commit: &Commit, Scene { world, .. }: Scene<'_>, found: &mut Findings) {
        let Writer::Remote(conn) = commit.by else { return };
        if !world.is_undone(switch) {
            return;
        }
        let now = world.now();
        for change in commit
            .changes
            .iter()
            .filter(|it| it.table == "Ucast_Macs_Remote" && it.old.is_none())
        {
            let row = change.new.as_deref();
            let Some((mac, network)) = row.and_then(|row| Some((row.text("MAC")?, row.reference("logical_switch")?)))
            else {
                continue;
            };
            let key = (switch.to_owned(), conn, network, mac.to_owned());
            let writes = self.writes.entry(key).or_default();
            writes.push_back(now);
            while writes.front().is_some_and(|at| now.since(*at) > WINDOW) {
                writes.pop_front();
            }
            if writes.len() > WRITES {
                let what = format!("{conn} wrote {mac} {} times within {WINDOW:?}", writes.len());
                found.add([switch, mac], what);
            }
        }
    }
}

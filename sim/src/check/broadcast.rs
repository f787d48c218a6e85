//! S2: while a switch has had a live owner for long enough, each wanted logical switch sends broadcast to its TSN
//! alone.

use std::net::Ipv4Addr;

use tandem_core::{Time, Uuid};

use super::overdue::Overdue;
use super::tick::{EVERY, Tick};
use super::{Check, Findings, Scene};
use crate::model::BroadcastRow;
use crate::world::{SwitchView, World};
use crate::{bounds, model};

#[derive(Clone, Debug, Default)]
pub(super) struct Broadcast {
    wrong: Overdue<(String, Uuid)>,
    tick: Tick,
}

impl Check for Broadcast {
    fn name(&self) -> &'static str {
        "S2"
    }

    fn inspect(&mut self, Scene { world, ways }: Scene<'_>, found: &mut Findings) {
        let now = world.now();
        let bound = bounds::broadcast(world.plan());
        // What is wrong for as long as the bound is seen four times.
        if !self.tick.take_every((bound / 4).max(EVERY), now) {
            return;
        }
        let mut wrong = Vec::new();
        for switch in world.switches() {
            let Some(master) = world.master(switch) else { continue };
            let tsn = master.agent.tsn;
            wrong.extend(wrong_rows(world, switch, tsn).map(|(network, found)| {
                let what = format!("{found} is found where {} should be", BroadcastRow::to(tsn));
                ((switch.name.to_owned(), network), what)
            }));
        }
        self.wrong.update(now, wrong);
        for ((switch, network), how) in self.wrong.longer_than(bound, now) {
            if ways.steady.owned_for(switch, now) >= bound {
                let what = format!("broadcast of {network} on {switch} has been wrong for {bound:?}: {how}");
                found.add([switch.clone(), network.to_string()], what);
            }
        }
    }

    fn due(&self) -> Option<Time> {
        self.tick.due()
    }
}

/// The logical switches whose broadcast does not go to this services node alone, and their rows.
pub(super) fn wrong_rows(world: &World, switch: SwitchView<'_>, tsn: Ipv4Addr) -> impl Iterator<Item = (Uuid, String)> {
    let right = [BroadcastRow::to(tsn)];
    let rows = model::broadcast(world, switch.switch).into_iter();
    let wrong = rows.filter(move |(_, rows)| *rows != right);
    wrong.map(|(network, rows)| (network, listed(&rows)))
}

fn listed(rows: &[BroadcastRow<'_>]) -> String {
    let rows: Vec<_> = rows.iter().map(BroadcastRow::to_string).collect();
    rows.join(", ")
}

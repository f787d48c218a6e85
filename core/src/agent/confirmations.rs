//! Orders to delete what is withheld, and the answers of the sessions that withhold it.

use std::collections::BTreeMap;

use super::order::{Answer, OrderId};
use crate::ids::ConnId;
use crate::text::count;

/// Switches that an answer names, and networks of each.
const SWITCHES_NAMED: usize = 20;
const NETWORKS_NAMED: usize = 3;

/// The orders that have no answer yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Confirmations(Vec<Open>);

#[derive(Clone, Debug)]
struct Open {
    id: OrderId,
    /// The sessions that have not answered, and their switches.
    awaited: BTreeMap<ConnId, String>,
    /// Every switch that was asked.
    asked: Vec<String>,
    /// What was released, by switch.
    released: Vec<Released>,
    /// Switches whose session ended before it answered.
    ended: Vec<String>,
    /// The peer agent, and how many of the switches it owns.
    theirs: Option<(String, usize)>,
}

#[derive(Clone, Debug)]
struct Released {
    switch: String,
    deletions: usize,
    networks: Vec<String>,
}

impl Confirmations {
    /// These sessions are asked to release what they withhold.
    pub(super) fn begin(&mut self, id: OrderId, awaited: BTreeMap<ConnId, String>, theirs: Option<(String, usize)>) {
        self.0.push(Open {
            id,
            asked: awaited.values().cloned().collect(),
            awaited,
            released: Vec::new(),
            ended: Vec::new(),
            theirs,
        });
    }

    /// A session has answered the oldest order that it has not answered. Returns what is answered with it.
    pub(super) fn on_confirmed(
        &mut self,
        conn: ConnId,
        deletions: usize,
        networks: Vec<String>,
    ) -> Vec<(OrderId, Answer)> {
        let mut waiting = self.0.iter_mut();
        let open = waiting.find_map(|open| Some((open.awaited.remove(&conn)?, open)));
        if let Some((switch, open)) = open.filter(|_| deletions > 0) {
            open.released.push(Released {
                switch,
                deletions,
                networks,
            });
        }
        self.complete()
    }

    /// A session has ended: it answers nothing any more.
    pub(super) fn on_closed(&mut self, conn: ConnId) -> Vec<(OrderId, Answer)> {
        for open in &mut self.0 {
            open.ended.extend(open.awaited.remove(&conn));
        }
        self.complete()
    }

    fn complete(&mut self) -> Vec<(OrderId, Answer)> {
        let complete = self.0.extract_if(.., |open| open.awaited.is_empty());
        complete.map(|open| (open.id, open.answer())).collect()
    }
}

impl Open {
    fn answer(&self) -> Answer {
        let mut parts = vec![self.summary()];
        let ended = self.ended.iter();
        parts.extend(ended.map(|switch| format!("the session with {switch} ended, and released nothing")));
        if let Some((agent, owned)) = &self.theirs {
            parts.push(format!("{agent} owns {}: confirm there, too", switches(*owned)));
        }
        Answer {
            ok: self.ended.len() < self.asked.len(),
            text: parts.join("; "),
        }
    }

    /// The released rows, by switch.
    fn summary(&self) -> String {
        let rows: usize = self.released.iter().map(|it| it.deletions).sum();
        let named = self.released.iter().take(SWITCHES_NAMED);
        let mut lines: Vec<String> = named.map(Released::text).collect();
        match (self.released.as_slice(), self.asked.as_slice()) {
            ([], [switch]) => return format!("nothing is withheld at {switch}"),
            ([], asked) => return format!("nothing is withheld at any of {}", switches(asked.len())),
            ([_], _) => return lines.concat(),
            (more, _) => {
                let more = more.len() - lines.len();
                lines.extend((more > 0).then(|| format!("and {} more", switches(more))));
            }
        }
        format!(
            "{} at {} are deleted now: {}",
            count(rows, "row", "rows"),
            switches(self.released.len()),
            lines.join("; ")
        )
    }
}

impl Released {
    fn text(&self) -> String {
        let mut networks: Vec<String> = self.networks.iter().take(NETWORKS_NAMED).cloned().collect();
        let more = self.networks.len() - networks.len();
        networks.extend((more > 0).then(|| format!("and {more} more")));
        let rows = count(self.deletions, "withheld row", "withheld rows");
        let of = match self.networks.len() {
            0 => String::new(),
            1 => format!(" of network {}", networks.concat()),
            _ => format!(" of networks {}", networks.join(", ")),
        };
        format!("{}: {rows}{of} released", self.switch)
    }
}

fn switches(number: usize) -> String {
    count(number, "switch", "switches")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(switches: &[&str], theirs: Option<(&str, usize)>) -> Confirmations {
        let mut confirmations = Confirmations::default();
        let awaited = (1..).map(ConnId).zip(switches.iter().map(|name| (*name).to_owned()));
        let theirs = theirs.map(|(agent, owned)| (agent.to_owned(), owned));
        confirmations.begin(OrderId(7), awaited.collect(), theirs);
        confirmations
    }

    fn text(answers: &[(OrderId, Answer)]) -> (bool, String) {
        let [(OrderId(7), answer)] = answers else {
            panic!("one answer: {answers:?}");
        };
        (answer.ok, answer.text.clone())
    }

    #[test]
    fn an_answer_names_each_switch_its_networks_and_the_number_of_rows() {
        let mut one = open(&["tor1"], None);
        let networks = ["blue", "red", "green", "grey"].map(String::from).to_vec();
        assert_eq!(
            text(&one.on_confirmed(ConnId(1), 284, networks)),
            (
                true,
                "tor1: 284 withheld rows of networks blue, red, green, and 1 more released".into()
            )
        );
        let mut several = open(&["tor1", "tor2", "tor3"], Some(("agent-b", 2)));
        assert!(several.on_confirmed(ConnId(1), 30, vec!["blue".into()]).is_empty());
        assert!(several.on_confirmed(ConnId(3), 40, vec!["red".into()]).is_empty());
        let why = "70 rows at 2 switches are deleted now: tor1: 30 withheld rows of network blue released; \
                   tor3: 40 withheld rows of network red released; agent-b owns 2 switches: confirm there, too";
        assert_eq!(text(&several.on_confirmed(ConnId(2), 0, vec![])), (true, why.into()));
    }

    #[test]
    fn an_answer_is_bounded_however_many_switches_there_are() {
        let names: Vec<String> = (1..=300).map(|n| format!("tor{n}")).collect();
        let mut confirmations = open(&names.iter().map(String::as_str).collect::<Vec<_>>(), None);
        let answers = (1..=300).map(|conn| confirmations.on_confirmed(ConnId(conn), 1, vec!["blue".into()]));
        let (_, text) = text(&answers.flatten().collect::<Vec<_>>());
        assert!(
            text.starts_with("300 rows at 300 switches") && text.ends_with("and 280 switches more"),
            "{text}"
        );
    }

    #[test]
    fn where_nothing_is_withheld_the_answer_says_so() {
        assert_eq!(
            text(&open(&["tor1"], None).on_confirmed(ConnId(1), 0, vec![])),
            (true, "nothing is withheld at tor1".into())
        );
    }

    #[test]
    fn a_session_that_ends_is_not_waited_for_and_two_orders_are_answered_in_turn() {
        let ended = text(&open(&["tor1"], None).on_closed(ConnId(1)));
        assert!(
            !ended.0 && ended.1.ends_with("the session with tor1 ended, and released nothing"),
            "{ended:?}"
        );

        let mut twice = open(&["tor1"], None);
        twice.begin(OrderId(8), BTreeMap::from([(ConnId(1), "tor1".into())]), None);
        let first = twice.on_confirmed(ConnId(1), 30, vec!["blue".into()]);
        let second = twice.on_confirmed(ConnId(1), 0, vec![]);
        assert_eq!((first[0].0, second[0].0), (OrderId(7), OrderId(8)));
        assert!(first[0].1.text.contains("30 withheld rows") && second[0].1.text.contains("nothing"));
        assert!(twice.0.is_empty());
    }
}

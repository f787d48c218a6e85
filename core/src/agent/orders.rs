//! The agent carries out the orders of an operator.

use std::collections::{BTreeMap, BTreeSet};

use super::leave::{Scope, Step};
use super::order::{Answer, Order, OrderId};
use super::{Agent, Output, Role, SessionRecord};
use crate::contrail_schema::network_name;
use crate::health::Grade;
use crate::ids::{ConnId, SwitchName, Uuid};
use crate::session::Command;
use crate::text::count;
use crate::time::Time;

impl Agent {
    /// An operator gave an order. Its answer may follow later.
    pub(super) fn on_order(&mut self, now: Time, id: OrderId, order: Order) {
        let answer = match order {
            _ if self.drain.is_on() => Some(Answer::refused("the agent is stopping")),
            Order::Drain => Some(self.leave_all(now)),
            Order::Resume => Some(self.resume()),
            Order::Release { switch } => self.release(now, id, switch).err(),
            Order::Retry { switch } => Some(self.order_sessions(
                switch,
                || Command::Retry,
                ["tries everything again now", "try everything again now"],
            )),
            Order::Confirm { switch } => self.confirm(now, id, switch).err(),
        };
        if let Some(answer) = answer {
            self.outputs.push_back(Output::Ordered { id, answer });
        }
    }

    /// Every proxy knows that the agent takes no switches: those that are to leave leave.
    pub(super) fn on_leave_announced(&mut self, now: Time) {
        if let Some(scope) = self.leave.on_announced(now) {
            self.release_sessions(&scope);
        }
    }

    /// Time has passed, or the other agent has sent a report.
    pub(super) fn check_leave(&mut self, now: Time) {
        match self.leave.on_timeout(now) {
            Some(Step::Release(scope)) => self.release_sessions(&scope),
            Some(Step::Missed(switch, id)) => {
                let text = format!("{switch} did not connect to the other agent in time; this agent takes it again");
                let answer = Answer::refused(text);
                self.outputs.push_back(Output::Ordered { id, answer });
            }
            None => self.conclude_move(now),
        }
    }

    /// The other agent owns the switch that moved.
    fn conclude_move(&mut self, now: Time) {
        let Some(switch) = self.leave.moving() else { return };
        let Some((_, theirs)) = self.pair.as_ref().and_then(|pair| pair.fresh(now)) else {
            return;
        };
        let owned = theirs
            .switches
            .get(switch)
            .is_some_and(|role| role.role == Role::Active);
        let agent = theirs.agent.clone();
        if let Some((switch, id)) = owned.then(|| self.leave.end()).flatten() {
            let answer = Answer::done(format!("{switch} moved to {agent}"));
            self.outputs.push_back(Output::Ordered { id, answer });
        }
    }

    fn leave_all(&mut self, now: Time) -> Answer {
        if self.grade() == Grade::Unfit {
            return Answer::refused("the agent has no complete configuration yet, and owns no switch");
        }
        let owned = self.roles.by_switch().values();
        let owned = owned.filter(|role| role.role == Role::Active).count();
        let switches = count(owned, "owned switch is", "owned switches are");
        if self.leave.is_all() {
            return Answer::done(format!("the agent drains already: {switches} still to be released"));
        }
        if let Some((switch, id)) = self.leave.end() {
            let answer = Answer::done(format!("{switch} leaves with all others"));
            self.outputs.push_back(Output::Ordered { id, answer });
        }
        self.leave.begin(now, Scope::All);
        let warning = match self.pair.as_ref().is_some_and(|pair| pair.is_ready(now)) {
            true => "",
            false => "; no other agent is known to be fit, so switches may have no owner until then",
        };
        Answer::done(format!(
            "draining: {switches} released; `tandem ctl resume` takes switches again{warning}"
        ))
    }

    fn resume(&mut self) -> Answer {
        if !self.leave.is_on() {
            return Answer::done("the agent takes switches already");
        }
        if let Some((switch, id)) = self.leave.end() {
            let answer = Answer::refused(format!("the move of {switch} was interrupted"));
            self.outputs.push_back(Output::Ordered { id, answer });
        }
        Answer::done("the agent takes switches again")
    }

    /// The answer follows when the switch has moved; the error is an answer at once.
    fn release(&mut self, now: Time, id: OrderId, switch: SwitchName) -> Result<(), Answer> {
        self.configured(&switch)?;
        let Some(pair) = &self.pair else {
            let why = "this agent has no link to the other agent ([peer]), so it is not known whether that is fit";
            return Err(Answer::refused(why));
        };
        if !pair.is_ready(now) {
            return Err(Answer::refused(format!("the other agent is not fit to take {switch}")));
        }
        if self.leave.is_on() {
            return Err(Answer::refused(
                "the agent drains, or moves a switch, at this moment; `tandem ctl resume` ends that",
            ));
        }
        if self.sessions_with(&switch).is_empty() {
            return Err(Answer::refused(format!("{switch} has no session with this agent")));
        }
        self.leave.begin(now, Scope::One(switch, id));
        Ok(())
    }

    /// Only the owner of a switch withholds anything of it. The answer follows when its sessions have answered; the error
    /// is an answer at once.
    fn confirm(&mut self, now: Time, id: OrderId, switch: Option<SwitchName>) -> Result<(), Answer> {
        if let Some(name) = &switch {
            self.configured(name)?;
        }
        let is_meant = |name: &SwitchName| switch.as_ref().is_none_or(|only| only == name);
        let sessions = self.sessions.iter().filter(|(_, known)| known.is_owner());
        let owned = sessions.filter(|(_, known)| known.served().iter().any(is_meant));
        let asked: BTreeMap<ConnId, String> = owned.map(|(conn, known)| (conn, join(known.served()))).collect();
        let theirs = self.owned_by_peer(now, is_meant);
        if asked.is_empty() {
            let which = switch.map_or_else(|| "any switch".into(), |name| name.to_string());
            let owner = theirs.map_or_else(|| "the agent that does".into(), |(agent, _)| agent);
            let text = format!("this agent does not own {which}: confirm at {owner}");
            return Err(Answer::refused(text));
        }
        let conns: Vec<ConnId> = asked.keys().copied().collect();
        self.confirmations.begin(id, asked, theirs);
        self.command_these(&conns, || Command::Confirm);
        Ok(())
    }

    /// The peer agent, and how many of these switches it owns, if any.
    fn owned_by_peer(&self, now: Time, is_meant: impl Fn(&SwitchName) -> bool) -> Option<(String, usize)> {
        let (_, report) = self.pair.as_ref()?.fresh(now)?;
        let roles = report.switches.iter().filter(|(name, _)| is_meant(name));
        let owned = roles.filter(|(_, role)| role.role == Role::Active).count();
        (owned > 0).then(|| (report.agent.clone(), owned))
    }

    /// A session has released what it withheld.
    pub(super) fn on_confirmed(&mut self, conn: ConnId, deletions: usize, networks: &BTreeSet<Uuid>) {
        let name = |uuid: &Uuid| match self.configuration.networks.get(uuid) {
            Some(network) => network_name(&network.name).to_owned(),
            None => uuid.to_string(),
        };
        let networks = networks.iter().map(name).collect();
        let answers = self.confirmations.on_confirmed(conn, deletions, networks);
        self.answer(answers);
    }

    pub(super) fn answer(&mut self, answers: Vec<(OrderId, Answer)>) {
        let answers = answers.into_iter().map(|(id, answer)| Output::Ordered { id, answer });
        self.outputs.extend(answers);
    }

    /// The sessions with one switch, or with all, receive a command; `done` is what one of them, or
    /// several, do then.
    fn order_sessions(&mut self, switch: Option<SwitchName>, command: impl Fn() -> Command, done: [&str; 2]) -> Answer {
        let conns = match &switch {
            Some(switch) => match self.configured(switch) {
                Ok(()) => self.sessions_with(switch),
                Err(answer) => return answer,
            },
            None => self.sessions.iter().map(|(conn, _)| conn).collect(),
        };
        let of = switch.map(|switch| format!(" with {switch}")).unwrap_or_default();
        if conns.is_empty() {
            return Answer::refused(format!("this agent has no session{of}"));
        }
        self.command_these(&conns, command);
        let [one, several] = done;
        Answer::done(match conns.len() {
            1 => format!("1 session{of} {one}"),
            count => format!("{count} sessions{of} {several}"),
        })
    }

    fn configured(&self, switch: &SwitchName) -> Result<(), Answer> {
        match self.configuration.switches.contains_key(switch) {
            true => Ok(()),
            false => Err(Answer::refused(format!("{switch} is not configured at this agent"))),
        }
    }

    fn release_sessions(&mut self, scope: &Scope) {
        match scope {
            Scope::All => self.command_all(|| Command::HandOver),
            Scope::One(switch, _) => {
                let conns = self.sessions_with(switch);
                self.command_these(&conns, || Command::HandOver);
            }
        }
    }

    fn sessions_with(&self, switch: &SwitchName) -> Vec<ConnId> {
        let serves = |(_, known): &(ConnId, &SessionRecord)| known.served().contains(switch);
        self.sessions.iter().filter(serves).map(|(conn, _)| conn).collect()
    }

    fn command_these(&mut self, conns: &[ConnId], command: impl Fn() -> Command) {
        for conn in conns {
            self.command(*conn, command());
        }
    }
}

fn join(names: &BTreeSet<SwitchName>) -> String {
    let names: Vec<&str> = names.iter().map(SwitchName::as_str).collect();
    names.join(", ")
}

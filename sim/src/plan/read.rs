//! Reads a plan from text, and reports mistakes with their place and a helpful sentence.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::{Kind, Plan, Scheduled};

/// The text is no plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PlanError {
    /// From 1 on.
    pub line: usize,
    /// In characters, from 1 on.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Plan {
    /// Reads TOML. Keys that mean nothing are refused. Whether the plan makes sense is up to [`Plan::check`].
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let document = DeTable::parse(text).map_err(|why| of_toml(text, &why))?;
        let faults = document
            .get_ref()
            .get("fault")
            .and_then(|value| value.get_ref().as_array());
        for fault in faults.into_iter().flat_map(|faults| faults.iter()) {
            check_fault(text, fault)?;
        }
        toml::from_str(text).map_err(|why| of_toml(text, &why))
    }
}

/// Finds unknown keys of a fault: serde cannot, because a flattened enum takes any key and loses the places.
fn check_fault(text: &str, fault: &Spanned<DeValue<'_>>) -> Result<(), PlanError> {
    let Some(table) = fault.get_ref().as_table() else {
        return Err(error(
            text,
            fault.span().start,
            "a fault is a table: `[[fault]]`".into(),
        ));
    };
    let Some(kind) = table.get("kind") else {
        let message = format!("a fault needs `kind`, {}", one_of_the_kinds());
        return Err(error(text, fault.span().start, message));
    };
    let known = Kind::ALL
        .into_iter()
        .find(|known| kind.get_ref().as_str() == Some(known.name()));
    let Some(known) = known else {
        let message = format!("`kind` is {}", one_of_the_kinds());
        return Err(error(text, kind.span().start, message));
    };
    let scheduled = Scheduled::deserialize(ValueDeserializer::from(fault.clone())).map_err(|why| {
        let start = why.span().map_or_else(|| fault.span().start, |span| span.start);
        error(text, start, format!("`{known}`: {}", why.message()))
    })?;
    let mut keys = vec!["at"];
    let written = toml::Table::try_from(&scheduled).unwrap_or_default();
    keys.extend(written.keys().map(String::as_str).filter(|key| *key != "at"));
    if !known.is_momentary() && !keys.contains(&"for") {
        keys.push("for");
    }
    match table.keys().find(|key| !keys.contains(&key.get_ref().as_ref())) {
        None => Ok(()),
        Some(key) => {
            let message = format!(
                "`{known}` has no `{}`; its keys are {}",
                key.get_ref(),
                quoted(keys.into_iter())
            );
            Err(error(text, key.span().start, message))
        }
    }
}

fn one_of_the_kinds() -> String {
    format!("one of {}", quoted(Kind::ALL.into_iter().map(Kind::name)))
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn of_toml(text: &str, why: &toml::de::Error) -> PlanError {
    error(text, why.span().map_or(0, |span| span.start), why.message().to_owned())
}

fn error(text: &str, start: usize, message: String) -> PlanError {
    let before = text.get(..start).unwrap_or(text);
    PlanError {
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1,
        message,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::plan::Plan;

    const HEAD: &str = "name = \"x\"\nseed = 1\nduration = \"60s\"\n";

    #[track_caller]
    fn refused(rest: &str) -> String {
        match Plan::parse(&format!("{HEAD}{rest}")) {
            Ok(_) => panic!("accepted: {rest}"),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn a_mistake_is_reported_with_its_place_and_the_correct_form() {
        let mistakes = [
            "[topology]\nswiches = 1\n",
            "[proxy]\ncheck = \"ping\"\n",
            "[agent]\nkeepalive = \"10\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"crsh\"\nnode = \"agent-a\"\n",
            "[[fault]]\nat = \"1s\"\nnode = \"agent-a\"\n",
            "[[fault]]\nkind = \"crash\"\nnode = \"agent-a\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"crash\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"crash\"\nnode = 5\n",
            "[[fault]]\nat = \"1s\"\nkind = \"crash\"\nnode = \"agent-a\"\nagent = \"agent-a\"\n",
            "[[fault]]\nat = 1\nkind = \"move_vip\"\n",
            "[[fault]]\nat = \"1s\"\nfor = \"2s\"\nkind = \"move_vip\"\nnode = \"proxy-1\"\n",
            "[[fault]]\nat = \"1s\"\nkind = \"edit\"\nswitch = \"tor1\"\nwhat = \"add_network\"\n",
            "[fault]\nat = \"1s\"\n",
            "fault = [1]\n",
            "[[fault\n",
        ];
        let reported: Vec<String> = mistakes.into_iter().map(refused).collect();
        insta::assert_snapshot!(reported.join("\n"));
    }

    #[test]
    fn a_plan_needs_no_more_than_a_name_a_seed_and_a_duration() {
        let plan = Plan::parse(HEAD).expect("a plan");
        assert_eq!((plan.topology.agents, plan.faults.len()), (2, 0));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String, rest in "[a-z\\[\\]=\"' \n0-9]{0,200}") {
            let _ = Plan::parse(&text);
            let _ = Plan::parse(&format!("{HEAD}{rest}"));
        }
    }
}

//! A plan that failed, as a file for people: what was wrong stands on top of it.

use tandem_sim::plan::Plan;
use tandem_sim::run::Report;

use super::{show, text, trial};

/// TOML that begins with a comment: what was wrong by the report, and these sentences.
pub(super) fn text(plan: &Plan, report: &Report, sentences: &[String]) -> String {
    let mut comment = Vec::new();
    // A vector takes everything.
    let _ = match (report.violations.first(), trial::wrong(report)) {
        (Some(violation), _) => show::violation(&mut comment, violation),
        (None, Some((_, what))) => text::wrapped(&mut comment, "", &what),
        (None, None) => Ok(()),
    };
    let mut lines = vec!["# What goes wrong here:".to_owned(), "#".to_owned()];
    lines.extend(
        String::from_utf8_lossy(&comment)
            .lines()
            .map(|line| format!("#   {line}")),
    );
    lines.push("#".to_owned());
    lines.extend(sentences.iter().map(|sentence| format!("# {sentence}")));
    format!("{}\n\n{}", lines.join("\n"), plan.to_toml())
}

#[cfg(test)]
mod tests {
    use tandem_sim::check::Violation;
    use tandem_sim::run::Detail;

    use super::*;

    #[test]
    fn what_is_saved_is_the_plan_with_the_violation_as_a_comment() {
        let plan = Plan::parse("name = 'x'\nseed = 1\nduration = '1s'\n").expect("a plan");
        let mut report = trial::run(&plan, Detail::Outcome, &mut |_| (), &|| true).expect("a report");
        report.violations.push(Violation {
            check: "S2",
            at: tandem_core::Time::from_micros(12_345_678),
            entry: 17,
            objects: ["tor1".to_owned()].into(),
            what: "two rows\n[[fault]]".into(),
        });
        let text = text(&plan, &report, &["From seed 1.".into()]);
        assert_eq!(Plan::parse(&text), Ok(plan));
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let wanted = [
            "# What goes wrong here:",
            "#",
            "#   S2 at 12.345 s, event 17: tor1",
            "#     two rows [[fault]]",
            "#",
            "# From seed 1.",
        ];
        assert_eq!(comment, wanted);
    }
}

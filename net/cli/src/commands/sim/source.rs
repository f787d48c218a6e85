//! The sources of plans: a seed, files, folders of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tandem_sim::plan::{Plan, PlanError};

use tandem_net::config::{Problem, Problems, Source as Text};

/// A plan, and how to get at it again.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub plan: Plan,
    /// The arguments of `tandem sim run`: `--seed 7`, or a path.
    pub arguments: String,
}

/// There is no plan; the text is the reason, for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SourceError(String);

impl Source {
    /// The plan that a seed expands to.
    pub(super) fn seed(seed: u64) -> Self {
        Self {
            plan: Plan::of_seed(seed),
            arguments: format!("--seed {seed}"),
        }
    }

    /// The plan of a file.
    pub(super) fn file(path: &Path, colour: bool) -> Result<Self, SourceError> {
        let name = path.display();
        let unreadable = |why| SourceError(format!("{name} cannot be read: {why}"));
        // Anything else may never end, or never begin.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(SourceError(format!("{name} is no regular file, and a plan is one")));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let mut problems = Problems::default();
        let text = Text::of_file(path, &bytes, &mut problems);
        let plan = text.and_then(|text| {
            let wrong = |why: PlanError| problems.add(problem(&text, &why));
            Plan::parse(text.text()).map_err(wrong).ok()
        });
        let Some(plan) = plan else {
            return Err(SourceError(problems.render(colour)));
        };
        plan.check().map_err(|wrong| {
            let list: String = wrong.iter().map(|what| format!("\n  {what}")).collect();
            SourceError(format!("{name} is a plan that cannot be run:{list}"))
        })?;
        let arguments = quoted(&name.to_string());
        Ok(Self { plan, arguments })
    }

    /// The plans of these files, and of every `.toml` file in and below these folders, in the order of their names.
    pub(super) fn all(paths: &[PathBuf], colour: bool) -> Result<Vec<Self>, SourceError> {
        let mut files = Vec::new();
        for path in paths {
            let found = files.len();
            collect(path, &mut files)
                .map_err(|why| SourceError(format!("{} cannot be read: {why}", path.display())))?;
            if files.len() == found {
                return Err(SourceError(format!("{} has no .toml file in it", path.display())));
            }
        }
        let read = files.iter().map(|file| Self::file(file, colour));
        let (mut sources, mut errors) = (Vec::new(), Vec::new());
        for source in read {
            match source {
                Ok(source) => sources.push(source),
                Err(SourceError(why)) => errors.push(why),
            }
        }
        if errors.is_empty() {
            Ok(sources)
        } else {
            Err(SourceError(errors.join("\n")))
        }
    }
}

/// A path as a shell takes it back.
pub(super) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,~".contains(c);
    if !path.is_empty() && path.chars().all(plain) && !path.starts_with(['-', '~']) {
        return path.to_owned();
    }
    let inside = path.replace('\'', r"'\''");
    if path.starts_with('-') {
        format!("'./{inside}'")
    } else {
        format!("'{inside}'")
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "toml") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

fn problem(text: &Text, why: &PlanError) -> Problem {
    let line: usize = text.text().split_inclusive('\n').take(why.line - 1).map(str::len).sum();
    let rest = text.text().get(line..).unwrap_or_default();
    let column: usize = rest.chars().take(why.column - 1).map(char::len_utf8).sum();
    let start = line + column;
    let marked = text
        .text()
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .map_or(0, str::len);
    Problem::new(text, start..start + marked, why.message.as_str())
        .help("a seed shows how a plan is written: tandem sim run --seed 1 --toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("plan.toml");
        fs::write(
            &file,
            "name = 'ü'\nseed = 1\nduration = '1s'\n[topology]\nswiches = 1\n",
        )
        .expect("written");
        let error = Source::file(&file, false).expect_err("refused").to_string();
        assert!(error.contains("plan.toml:5:1]") && error.contains("swiches"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("plan.toml");
        fs::write(&file, "name = ''\nseed = 1\nduration = '0s'\n").expect("written");
        let error = Source::file(&file, false).expect_err("refused").to_string();
        assert_eq!(error.lines().count(), 3, "{error}");
    }

    #[test]
    fn folders_are_read_whole_in_order_and_one_without_a_plan_is_a_mistake() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("regressions");
        fs::create_dir(&below).expect("a folder below");
        let empty = Source::all(&[folder.path().to_owned()], false)
            .expect_err("empty")
            .to_string();
        assert!(empty.ends_with("has no .toml file in it"), "{empty}");
        for (place, name) in [
            (folder.path(), "z.toml"),
            (folder.path(), "a.toml"),
            (&below, "m.toml"),
            (folder.path(), "README.md"),
        ] {
            fs::write(
                place.join(name),
                format!("name = '{name}'\nseed = 1\nduration = '1s'\n"),
            )
            .expect("written");
        }
        let sources = Source::all(&[folder.path().to_owned()], false).expect("plans");
        let names: Vec<_> = sources.iter().map(|source| source.plan.name.as_str()).collect();
        assert_eq!(names, ["a.toml", "m.toml", "z.toml"]);
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_not_take_it() {
        let paths = ["scenarios/a-b.toml", "my plan.toml", "it's", "-x"].map(quoted);
        assert_eq!(paths, ["scenarios/a-b.toml", "'my plan.toml'", r"'it'\''s'", "'./-x'"]);
    }
}

//! `tandem inventory`: changes the revision of a control node's file.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{Exit, Output, status};
use tandem_net::durable;

/// Raises the revision of an inventory, as every change and every rollback needs it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem inventory raise /etc/tandem/control.toml
  tandem inventory raise --above http://127.0.0.1:6653 /etc/tandem/control.toml
  tandem inventory raise --above 5 /etc/tandem/control.toml

Exit codes: 0 the file has the revision that is printed, 2 it could not be changed")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Replaces `[inventory] revision` by a higher one, and leaves every other byte of the file as it is
    ///
    /// To restore a backup, name an agent or a control node that runs with `--above`: agents ignore the backup until its
    /// revision is higher than the one in force. Copy the file to every control node and reload them.
    Raise {
        /// The file of a control node
        file: PathBuf,
        /// Above this revision, or above the one in force at this agent or control node
        #[arg(long, value_name = "REVISION|URL")]
        above: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    let Command::Raise { file, above } = &args.command;
    match raise(file, above.as_deref()) {
        Ok(Raised { before, after }) => {
            writeln!(output.out, "{}: revision {after}, which was {before}", file.display())?;
            Ok(Exit::Good)
        }
        Err(why) => output.refuse(why),
    }
}

#[derive(Debug, Eq, PartialEq)]
struct Raised {
    before: u64,
    after: u64,
}

fn raise(file: &Path, above: Option<&str>) -> Result<Raised, String> {
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|why| named(&why))?;
    let (before, place) = revision(&text).map_err(|why| named(&why))?;
    let above = above.map(in_force).transpose()?.unwrap_or_default();
    let after = before
        .max(above)
        .checked_add(1)
        .ok_or_else(|| named(&"no revision is higher"))?;
    let mut raised = text;
    raised.replace_range(place, &after.to_string());
    durable::replace(file, raised.as_bytes()).map_err(|why| named(&why))?;
    Ok(Raised { before, after })
}

/// The revision, and its place in the text.
fn revision(text: &str) -> Result<(u64, Range<usize>), String> {
    let missing = || "`[inventory] revision` is missing: this is no file of a control node".to_owned();
    let document = DeTable::parse(text).map_err(|why| why.message().to_owned())?;
    let inventory = document.get_ref().get("inventory").ok_or_else(missing)?;
    let DeValue::Table(inventory) = inventory.get_ref() else {
        return Err(missing());
    };
    let value = inventory.get("revision").ok_or_else(missing)?;
    let DeValue::Integer(number) = value.get_ref() else {
        return Err("`revision` is no number".into());
    };
    let revision = u64::from_str_radix(number.as_str(), number.radix()).map_err(|why| format!("`revision`: {why}"))?;
    Ok((revision, value.span()))
}

/// The revision that is meant: a number, or the one in force at a running agent or control node.
fn in_force(above: &str) -> Result<u64, String> {
    #[derive(Deserialize)]
    struct Status {
        revision: Option<u64>,
    }
    if let Ok(revision) = above.parse() {
        return Ok(revision);
    }
    let status = status::ask(above, "/status")?;
    let status: Status = serde_json::from_slice(&status).map_err(|why| format!("{above} serves no status: {why}"))?;
    status
        .revision
        .ok_or_else(|| format!("{above} has no revision in force: its configuration comes from a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(text: &str, above: Option<&str>) -> Result<(Raised, String), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("control.toml");
        std::fs::write(&file, text).expect("written");
        let raised = raise(&file, above)?;
        Ok((raised, std::fs::read_to_string(&file).expect("a file")))
    }

    #[test]
    fn the_revision_is_raised_and_every_other_byte_stays() {
        let text = "# revision = 1\n[inventory] # ours\nrevision =  3   # raise me\n\n[x]\nrevision = 3\n";
        let (numbers, after) = raised(text, None).expect("raised");
        assert_eq!(numbers, Raised { before: 3, after: 4 });
        assert_eq!(after, text.replace("revision =  3 ", "revision =  4 "));
        let (numbers, after) = raised("inventory = { revision = 3 }", Some("5")).expect("raised");
        assert_eq!(numbers, Raised { before: 3, after: 6 });
        assert_eq!(after, "inventory = { revision = 6 }");
        let (numbers, _) = raised("inventory.revision = 9", Some("5")).expect("raised");
        assert_eq!(numbers, Raised { before: 9, after: 10 });
    }

    #[test]
    fn a_file_without_a_revision_is_refused_and_stays() {
        for (text, why) in [
            ("[agent]\nname = \"a\"\n", "is missing"),
            ("[inventory]\nrevision = \"3\"\n", "is no number"),
            ("[inventory\n", "control.toml"),
            (
                "[inventory]\nrevision = 18446744073709551615\n",
                "no revision is higher",
            ),
        ] {
            let refused = raised(text, None).expect_err(text);
            assert!(refused.contains(why), "{refused}");
        }
        let refused = raised("[inventory]\nrevision = 3\n", Some("nowhere")).expect_err("no number");
        assert!(refused.contains("nowhere"), "{refused}");
    }
}

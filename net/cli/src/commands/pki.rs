//! `tandem pki`: certificates.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::status::{date, natural};
use super::{Exit, Output, count};
use crate::pki;
use crate::pki::issue::{Issued, Which};
use crate::pki::store::{self, Entry, Kind};

/// Makes, issues, renews and lists certificates
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem pki init /etc/tandem/pki
  tandem pki init --shared-agent /etc/tandem/pki
  tandem pki issue /etc/tandem/pki tor1 tor2
  tandem pki issue /etc/tandem/pki --from /etc/tandem/control.toml
  tandem pki issue /etc/tandem/pki --kind agent agent-c
  tandem pki renew /etc/tandem/pki --within 30d
  tandem pki list /etc/tandem/pki

Exit codes: 0 it is done, 2 it could not be done")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a CA each for agents, switches and control nodes, and certificates for two agents, a switch and two control
    /// nodes
    ///
    /// It prints the files that it made, and overwrites none.
    Init {
        /// The folder; made if it does not exist
        dir: PathBuf,
        /// One certificate for both agents, for switches that pin the certificate of their manager
        #[arg(long)]
        shared_agent: bool,
    },
    /// Makes a key and a certificate for each name
    ///
    /// The name is the DNS name in the certificate. It prints the files that it made. A name that has a certificate is an
    /// error, and nothing is written; with `--from` it is skipped.
    Issue {
        /// The folder with the CAs
        dir: PathBuf,
        /// The names
        #[arg(value_name = "NAME", required_unless_present = "from")]
        names: Vec<String>,
        /// Every switch of this configuration file that has no certificate yet
        #[arg(long, value_name = "FILE", conflicts_with = "replace")]
        from: Option<PathBuf>,
        /// The CA that signs
        #[arg(long, value_enum, default_value = "switch")]
        kind: Kind,
        /// How long the certificates last; no longer than their CA
        #[arg(long, value_name = "DAYS", default_value = "3650d", value_parser = days)]
        days: u32,
        /// Replace keys and certificates that exist
        #[arg(long)]
        replace: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Makes new certificates with the names and keys of those from before
    ///
    /// It reads no private keys but those of the CAs. A fingerprint that is pinned changes.
    Renew {
        /// The folder with the CAs
        dir: PathBuf,
        /// The names
        #[arg(value_name = "NAME", required_unless_present = "within")]
        names: Vec<String>,
        /// All that end within this time
        #[arg(long, value_name = "DAYS", value_parser = days, conflicts_with = "names")]
        within: Option<u32>,
        /// How long the new certificates last; no longer than their CA
        #[arg(long, value_name = "DAYS", default_value = "3650d", value_parser = days)]
        days: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Lists the certificates of a folder: name, kind, end, fingerprint
    List {
        /// The folder
        dir: PathBuf,
        /// Only those that end within this time
        #[arg(long, value_name = "DAYS", value_parser = days)]
        within: Option<u32>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text).parse();
    let bounded = number.ok().filter(|days| (1..=36_500).contains(days));
    bounded.ok_or_else(|| "write a number of days up to 36500, such as 30d".to_owned())
}

/// Runs the command.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, output: &mut Output<'_>) -> io::Result<Exit> {
    match &args.command {
        Command::Init { dir, shared_agent } => match pki::init(dir, *shared_agent) {
            Ok(files) => {
                for file in files {
                    writeln!(output.out, "{}", file.display())?;
                }
                Ok(Exit::Good)
            }
            Err(error) => output.refuse(error),
        },
        Command::Issue {
            dir,
            names,
            from,
            kind,
            days,
            replace,
            json,
        } => match wanted(dir, names, from.as_deref()) {
            Ok(names) => print(
                pki::issue::issue(dir, &names, *kind, *days, *replace),
                "issued",
                *json,
                output,
            ),
            Err(why) => output.refuse(why),
        },
        Command::Renew {
            dir,
            names,
            within,
            days,
            json,
        } => {
            let which = within.map_or_else(|| Which::Named(names.clone()), Which::EndWithin);
            print(pki::issue::renew(dir, &which, *days), "renewed", *json, output)
        }
        Command::List { dir, within, json } => match store::list(dir) {
            Ok(entries) => list(entries, *within, *json, output),
            Err(why) => output.refuse(why),
        },
    }
}

/// The names, and with a file the switches in it that have no certificate.
fn wanted(dir: &Path, names: &[String], from: Option<&Path>) -> Result<Vec<String>, String> {
    let mut wanted = names.to_vec();
    let Some(file) = from else { return Ok(wanted) };
    let failed = |why: &dyn Display| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|why| failed(&format!("cannot be read: {why}")))?;
    let whole: toml::Table = toml::from_str(&text).map_err(|why| failed(&why))?;
    let switches = whole.get("switch").and_then(toml::Value::as_array);
    let switches = switches.ok_or_else(|| failed(&"has no `[[switch]]`"))?;
    let there = store::list(dir).map_err(|why| why.to_string())?;
    let there: BTreeSet<&str> = there.iter().map(|entry| entry.name.as_str()).collect();
    let listed = switches.iter().filter_map(|switch| switch.get("name")?.as_str());
    wanted.extend(listed.filter(|name| !there.contains(name)).map(str::to_owned));
    Ok(wanted)
}

#[derive(Serialize)]
struct Written<'a> {
    certificates: &'a [Issued],
}

fn print(
    issued: Result<Vec<Issued>, store::StoreError>,
    done: &str,
    json: bool,
    output: &mut Output<'_>,
) -> io::Result<Exit> {
    let issued = match issued {
        Ok(issued) => issued,
        Err(why) => return output.refuse(why),
    };
    if json {
        output.json(&Written { certificates: &issued })?;
        return Ok(Exit::Good);
    }
    for Issued { certificate, key, .. } in &issued {
        for file in [Some(certificate), key.as_ref()].into_iter().flatten() {
            writeln!(output.out, "{}", file.display())?;
        }
    }
    writeln!(
        output.err,
        "{} {done}",
        count(issued.len(), "certificate", "certificates")
    )?;
    Ok(Exit::Good)
}

#[derive(Serialize)]
struct Listed {
    certificates: Vec<Entry>,
}

fn list(mut entries: Vec<Entry>, within: Option<u32>, json: bool, output: &mut Output<'_>) -> io::Result<Exit> {
    let now = now_unix_s();
    let limit = within.map(|days| now + i64::from(days) * 86_400);
    entries.retain(|entry| limit.is_none_or(|limit| entry.not_after_unix_s <= limit));
    entries.sort_by_key(|entry| (!entry.is_ca, natural(&entry.name)));
    if json {
        output.json(&Listed { certificates: entries })?;
        return Ok(Exit::Good);
    }
    let widest = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0).max(4);
    writeln!(
        output.out,
        "{:<widest$}  KIND        ENDS           DAYS  FINGERPRINT",
        "NAME"
    )?;
    for entry in &entries {
        let kind = entry.kind.map_or("unknown CA", Kind::label);
        let kind = if entry.is_ca { format!("{kind} CA") } else { kind.into() };
        let days = (entry.not_after_unix_s - now).div_euclid(86_400);
        let ends = date(entry.not_after_unix_s);
        writeln!(
            output.out,
            "{:<widest$}  {kind:<10}  {ends}  {days:>7}  {}",
            entry.name, entry.fingerprint
        )?;
    }
    Ok(Exit::Good)
}

fn now_unix_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs().cast_signed()
}

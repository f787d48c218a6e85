//! `remote_macs_file`: one `MAC tunnel-end` a line, `#` begins a comment.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use tandem_core::ids::Mac;

use super::problem::{Problem, Problems, Source};
use super::values::{parse_tunnel_end, parse_unicast_mac, shown};

/// Adds the routes of the file to those in `remote_macs`.
pub(super) fn read(path: &Path, bytes: &[u8], routes: &mut BTreeMap<Mac, Ipv4Addr>, problems: &mut Problems) {
    let Some(source) = Source::of_file(path, bytes, problems) else {
        return;
    };
    let mut lines: BTreeMap<Mac, Range<usize>> = BTreeMap::new();
    let mut start = 0;
    for (index, line) in source.text().split_inclusive('\n').enumerate() {
        let text = line.split('#').next().unwrap_or_default();
        match route(text) {
            Ok(None) => {}
            Ok(Some((mac, vtep))) => {
                let span = start..start + text.trim_end().len();
                match routes.entry(mac) {
                    Entry::Vacant(entry) => {
                        entry.insert(vtep);
                        lines.insert(mac, span);
                    }
                    Entry::Occupied(_) => {
                        let problem = Problem::new(&source, span, format!("{mac} is given twice in this network"))
                            .label("the second")
                            .help("a MAC is behind one tunnel end; remove one of the two");
                        problems.add(match lines.get(&mac) {
                            Some(before) => problem.before(before.clone(), "the first"),
                            None => problem.label("the first is in `remote_macs`"),
                        });
                    }
                }
            }
            Err((span, why)) => problems.add(
                Problem::new(
                    &source,
                    start + span.start..start + span.end,
                    format!("line {}: {why}", index + 1),
                )
                .help("write `02:00:00:00:00:01 10.0.9.1`: the MAC address of a host, and its tunnel end"),
            ),
        }
        start += line.len();
    }
}

type Refusal = (Range<usize>, String);

/// The route of one line, if it has one. An error has the range of bytes in the line.
fn route(line: &str) -> Result<Option<(Mac, Ipv4Addr)>, Refusal> {
    let mut words = line.split_whitespace().map(|word| (place(line, word), word));
    let Some((mac_at, mac)) = words.next() else {
        return Ok(None);
    };
    let mac = parse_unicast_mac(mac).map_err(|why| (mac_at.clone(), why))?;
    let (vtep_at, vtep) = words
        .next()
        .ok_or_else(|| (mac_at, "the tunnel end is missing".to_owned()))?;
    let vtep = parse_tunnel_end(vtep).map_err(|why| (vtep_at, why))?;
    match words.next() {
        None => Ok(Some((mac, vtep))),
        Some((at, word)) => Err((at, format!("{} is not expected here", shown(word)))),
    }
}

/// The range of a word in its line.
fn place(line: &str, word: &str) -> Range<usize> {
    let start = word.as_ptr().addr() - line.as_ptr().addr();
    start..start + word.len()
}

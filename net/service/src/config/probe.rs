//! `[tsn]`: the probe of the agent's services node.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeValue;

use super::common::or;
use super::problem::Problems;
use super::table::{Key, Table};
use super::values;
use crate::probe::{How, Probe, Url};

const PROBE: Key<Kind> = Key {
    name: "probe",
    read: kind,
    example: r#""tcp""#,
    what: "`tcp` connects to `address`, `http` requests `url`, `command` runs `command`",
};
const ADDRESS: Key<SocketAddr> = Key {
    name: "address",
    read: values::reachable,
    example: r#""10.0.0.11:8086""#,
    what: "the address at which the services node accepts connections",
};
const URL: Key<Url> = Key {
    name: "url",
    read: values::url,
    example: r#""http://10.0.0.11:8085/health""#,
    what: "the URL that the services node answers with a status from 200 to 299 while it is healthy",
};
const COMMAND: Key<Vec<String>> = Key {
    name: "command",
    read: values::command,
    example: r#"["/usr/local/bin/tsn-is-healthy", "10.0.0.11"]"#,
    what: "a program and its arguments; it exits with 0 while the services node is healthy",
};
const INTERVAL: Key<Duration> = Key {
    name: "interval",
    read: values::probe_time,
    example: r#""2s""#,
    what: "the time from the start of one probe to the start of the next",
};
const TIMEOUT: Key<Duration> = Key {
    name: "timeout",
    read: values::probe_time,
    example: r#""1s""#,
    what: "the deadline of a probe; a probe that takes longer has failed",
};
const FALL: Key<u32> = Key {
    name: "fall",
    read: values::probes,
    example: "3",
    what: "how many consecutive probes must fail before the services node counts as dead",
};
const RISE: Key<u32> = Key {
    name: "rise",
    read: values::probes,
    example: "2",
    what: "how many consecutive probes must pass before it counts as alive again",
};

/// The name of each [`How`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Tcp,
    Http,
    Command,
}

/// The kind of probe.
fn kind(value: &DeValue<'_>) -> Result<Kind, String> {
    match values::quoted(value)? {
        "tcp" => Ok(Kind::Tcp),
        "http" => Ok(Kind::Http),
        "command" => Ok(Kind::Command),
        other => Err(format!("{} must be `tcp`, `http` or `command`", values::shown(other))),
    }
}

/// `None` without the section, or if a problem in it was reported.
pub(super) fn read(root: &mut Table<'_>, problems: &mut Problems) -> Option<Probe> {
    let mut table = root.section("tsn", problems)?;
    let kind = table.required(&PROBE, problems);
    let address = table.optional(&ADDRESS, problems);
    let url = table.optional(&URL, problems);
    let command = table.optional(&COMMAND, problems);
    let interval = table.optional(&INTERVAL, problems);
    let timeout = table.optional(&TIMEOUT, problems);
    let fall = table.optional(&FALL, problems);
    let rise = table.optional(&RISE, problems);
    table.finish(problems);

    let kind = kind?;
    let idle = [
        (Kind::Tcp, address.as_ref().map(|at| (ADDRESS.name, &at.span))),
        (Kind::Http, url.as_ref().map(|at| (URL.name, &at.span))),
        (Kind::Command, command.as_ref().map(|at| (COMMAND.name, &at.span))),
    ];
    for (_, given) in idle.iter().filter(|(of, _)| *of != kind.value) {
        let Some((name, span)) = given else { continue };
        problems.add(
            table
                .problem((*span).clone(), format!("`{name}` has no effect with this `probe`"))
                .label("belongs to another probe")
                .before(kind.span.clone(), "sets the probe")
                .help(format!("remove `{name}`, or change `probe`: {}", PROBE.what)),
        );
    }
    match kind.value {
        Kind::Tcp => table.missing(&ADDRESS, problems),
        Kind::Http => table.missing(&URL, problems),
        Kind::Command => table.missing(&COMMAND, problems),
    }
    let how = match kind.value {
        Kind::Tcp => How::Tcp(address?.value),
        Kind::Http => How::Http(url?.value),
        Kind::Command => How::Command(command?.value),
    };
    Some(Probe {
        how,
        interval: or(interval, Duration::from_secs(2)),
        timeout: or(timeout, Duration::from_secs(1)),
        fall: or(fall, 3),
        rise: or(rise, 2),
    })
}

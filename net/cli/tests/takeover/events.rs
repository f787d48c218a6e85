//! The words in the agents' logs, with their times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_lab::agent::Agent;
use tandem_lab::pair::Pair;

/// A line with one of the words of the design.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) at: SystemTime,
    pub(crate) word: String,
    pub(crate) generation: Option<u64>,
}

/// Every line of an agent that begins with a word, the oldest first.
pub(crate) fn logged(agent: &Agent, word: &str) -> Vec<Logged> {
    let lines = agent.log();
    let logged = lines.iter().filter_map(|line| read(line));
    logged.filter(|line| line.word == word).collect()
}

/// Sessions that both agents have accepted so far.
pub(crate) fn opened(pair: &Pair) -> usize {
    pair.agents.iter().map(|agent| logged(agent, "Opened").len()).sum()
}

/// `2026-11-21T21:40:59.396476Z  INFO tandem: Locked: the lock is ours switch="tor1" conn=1 generation=7`
fn read(line: &str) -> Option<Logged> {
    let mut words = line.split_whitespace();
    let at = time(words.next()?)?;
    words.find(|word| *word == "tandem:")?;
    let word = words.next()?.strip_suffix(':')?.to_owned();
    let generation = words.find_map(|word| word.strip_prefix("generation=")?.parse().ok());
    Some(Logged { at, word, generation })
}

fn time(text: &str) -> Option<SystemTime> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by| text.split(by).map(str::parse).collect::<Result<Vec<u64>, _>>().ok();
    let (clock, fraction) = clock.split_once('.')?;
    let &[year, month, day] = &numbers(date, '-')?[..] else {
        return None;
    };
    let &[hours, minutes, seconds] = &numbers(clock, ':')?[..] else {
        return None;
    };
    // A year begins in March here, so that a leap day is its last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hours * 3600 + minutes * 60 + seconds;
    let micros: u64 = fraction.parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
}

#[test]
fn a_line_of_the_log_is_read() {
    let line = "2026-11-21T21:40:59.396476Z  INFO tandem: Locked: the lock is ours switch=\"tor1\" conn=1 generation=7";
    let logged = read(line).expect("a line");
    assert_eq!((logged.word.as_str(), logged.generation), ("Locked", Some(7)));
    let since = logged.at.duration_since(UNIX_EPOCH).expect("after 1970");
    assert_eq!(since, Duration::from_micros(1_795_297_259_396_476));
}

//! Which events of a log are printed.

use tandem_core::Time;
use tandem_core::event::LogEvent;
use tandem_sim::plan::Span;
use tandem_sim::world::log::Entry;

/// What an event must be to be printed: all of it. Everything runs and is judged all the same.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The log, of which only these are printed")]
pub(super) struct Filter {
    /// Events of this node, or of `world` or `thief`; may be repeated
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    /// Events of this word, such as LockPassed; may be repeated
    #[arg(long, value_name = "WORD")]
    word: Vec<String>,
    /// Events of this time of the world and later, such as 60s
    #[arg(long, value_name = "TIME")]
    from: Option<Span>,
    /// Events of this time of the world and earlier
    #[arg(long, value_name = "TIME")]
    to: Option<Span>,
}

impl Filter {
    /// Whether it lets everything through.
    pub(super) fn is_empty(&self) -> bool {
        self.node.is_empty() && self.word.is_empty() && self.from.is_none() && self.to.is_none()
    }

    /// Whether this event is printed.
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let time = |span: Span| Time::from_micros(span.as_micros());
        (self.node.is_empty() || self.node.iter().any(|node| *node == *entry.node))
            && (self.word.is_empty()
                || self
                    .word
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(entry.event.word())))
            && self.from.is_none_or(|from| entry.at >= time(from))
            && self.to.is_none_or(|to| entry.at <= time(to))
    }
}

#[cfg(test)]
mod tests {
    use tandem_sim::world::log::{ActorEvent, WorldEvent};

    use super::*;

    #[test]
    fn an_event_must_be_all_that_is_asked() {
        let entry = Entry {
            id: 7,
            at: Time::from_micros(60_000_000),
            node: "world".into(),
            event: ActorEvent::World(WorldEvent::FaultEnds { fault: 1 }),
            cause: 0,
            session: None,
        };
        let filter = |node: &[&str], word: &[&str], from: Option<u64>, to: Option<u64>| Filter {
            node: node.iter().map(ToString::to_string).collect(),
            word: word.iter().map(ToString::to_string).collect(),
            from: from.map(Span::seconds),
            to: to.map(Span::seconds),
        };
        assert!(Filter::default().is_empty() && Filter::default().takes(&entry));
        assert!(filter(&["tor1", "world"], &["faultends"], Some(60), Some(60)).takes(&entry));
        for other in [
            filter(&["tor1"], &[], None, None),
            filter(&["world"], &["FaultBegins"], None, None),
            filter(&["world"], &[], Some(61), None),
            filter(&["world"], &[], None, Some(59)),
        ] {
            assert!(!other.is_empty() && !other.takes(&entry), "{other:?}");
        }
    }
}

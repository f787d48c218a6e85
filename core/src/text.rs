//! Text for a line of a log: that of a peer, made fit for it, and counted nouns.

/// Characters that are kept: a name or a complaint, not a dump.
const CHARACTERS: usize = 200;

/// On one line, without control characters, and not longer than a reader likes.
pub(crate) fn short(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_debug().to_string()
        } else {
            c.into()
        }
    };
    let mut short: String = text.chars().take(CHARACTERS).map(shown).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        short.push_str(" ...");
    }
    short
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_write_a_second_line_or_an_endless_one() {
        assert_eq!(short("tor1"), "tor1");
        assert_eq!(
            short("tor1\nINFO: all is well\u{1b}[2J"),
            "tor1\\nINFO: all is well\\u{1b}[2J"
        );
        let long = short(&"ä".repeat(1 << 20));
        assert!(long.ends_with("ä ..."), "{long}");
        assert_eq!(long.chars().count(), CHARACTERS + 4);
    }
}

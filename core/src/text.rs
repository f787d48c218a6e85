//! Text for a line of a log: that of a peer, made fit for it, and counted nouns.

use std::net::Ipv4Addr;

/// Characters of a name that are kept.
const CHARACTERS: usize = 200;

/// Characters of an error that are kept: those of a database name the rows last.
const REASON_CHARACTERS: usize = 800;

/// On one line, without control characters, and not longer than a reader likes.
pub(crate) fn short(text: &str) -> String {
    shortened(text, CHARACTERS)
}

/// The same for the error of a peer, which names the culprit at its end.
pub(crate) fn reason(text: &str) -> String {
    shortened(text, REASON_CHARACTERS)
}

fn shortened(text: &str, characters: usize) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_debug().to_string()
        } else {
            c.into()
        }
    };
    let mut short: String = text.chars().take(characters).map(shown).collect();
    if text.chars().nth(characters).is_some() {
        short.push_str(" ...");
    }
    short
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// The first of several addresses, or that there is none.
pub(crate) fn addresses(addresses: &[Ipv4Addr]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = addresses.iter().take(SHOWN).map(Ipv4Addr::to_string).collect();
    if shown.is_empty() {
        "none".into()
    } else {
        shown.join(", ")
    }
}

/// The tunnel ends of a switch that has some; those that are no IPv4 addresses are not kept.
pub(crate) fn tunnel_ips(ends: &[Ipv4Addr]) -> String {
    if ends.is_empty() {
        "no IPv4 address in tunnel_ips".into()
    } else {
        format!("tunnel_ips {}", addresses(ends))
    }
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

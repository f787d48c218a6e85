//! Characters, and what stands for them.

/// The place of a text: some characters mean something only in some places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Text,
    Section,
    Attribute,
}

/// Resolves references and normalises line ends (XML 1.0, sections 2.11 and 3.3.3).
pub(super) fn decode(raw: &str, place: Place) -> Result<String, &'static str> {
    if place == Place::Text && raw.contains("]]>") {
        return Err("the end of a section that never began");
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '&' if place != Place::Section => {
                let (name, after) = rest.as_str().split_once(';').ok_or("a reference that does not end")?;
                rest = after.chars();
                reference(name)?
            }
            '<' if place == Place::Attribute => return Err("an opening bracket in a value"),
            '\r' | '\n' | '\t' => {
                if c == '\r' && rest.as_str().starts_with('\n') {
                    rest.next();
                }
                match c {
                    _ if place == Place::Attribute => ' ',
                    '\r' => '\n',
                    _ => c,
                }
            }
            _ if is_char(c) => c,
            _ => return Err("a character that XML does not have"),
        });
    }
    Ok(text)
}

/// The character that `&name;` stands for.
fn reference(name: &str) -> Result<char, &'static str> {
    let number = |digits: &str, radix| {
        // No character needs so many digits.
        let sane = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| char::from(byte).is_digit(radix));
        let number = u32::from_str_radix(digits, radix).ok().filter(|_| sane)?;
        char::from_u32(number).filter(|c| is_char(*c))
    };
    let c = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => match name.strip_prefix("#x") {
            Some(digits) => number(digits, 16),
            None => name.strip_prefix('#').and_then(|digits| number(digits, 10)),
        },
    };
    c.ok_or("a reference to nothing")
}

/// XML 1.0, production 2.
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// XML 1.0, production 4, except for presentation forms and specials.
pub(super) fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0, production 4a.
pub(super) fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        // Nearly every one, and whatever ends a name.
        return c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '.' | '_');
    }
    is_name_start(c) || matches!(c, '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

//! Typed names and numbers: the type shows the kind of a value.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Reads and writes a type as the text of its `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::ids::from_text(deserializer)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Reads a type from a string without keeping the string.
pub(crate) fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: serde::Deserializer<'de>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

/// One connection of this process, numbered by the driver and never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {}", self.0)
    }
}

/// Which session of this agent a fact belongs to: a later session has a higher generation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text cannot be read as the type that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct ParseError {
    text: String,
    wanted: &'static str,
}

impl ParseError {
    pub(crate) fn new(text: &str, wanted: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            wanted,
        }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether it is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Reads every spelling that leaves no doubt: six groups of one or two digits with `:` or `-` between them, three of
    /// four digits with `.`, or twelve digits.
    pub(crate) fn spelled(text: &str) -> Option<Self> {
        let text = text.trim();
        let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
        let (groups, fewest, most) = match separator {
            Some(':' | '-') => (6, 1, 2),
            Some('.') => (3, 4, 4),
            None => (1, 12, 12),
            Some(_) => return None,
        };
        let parts: Vec<&str> = match separator {
            Some(separator) => text.splitn(groups + 1, separator).collect(),
            None => vec![text],
        };
        let mut value = 0;
        for part in &parts {
            let is_number = part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_number || !(fewest..=most).contains(&part.len()) {
                return None;
            }
            value = value << (48 / groups) | u64::from_str_radix(part, 16).ok()?;
        }
        let [_, _, mac @ ..] = value.to_be_bytes();
        (parts.len() == groups).then_some(Self(mac))
    }
}

impl FromStr for Mac {
    type Err = ParseError;

    /// Six pairs of hexadecimal digits with colons between them, in either case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new(text, "a MAC address (`02:00:00:00:00:01`)");
        let digits: &[u8; 17] = text.as_bytes().try_into().map_err(|_| error())?;
        let mut mac = [0; 6];
        for (index, byte) in mac.iter_mut().enumerate() {
            let at = index * 3;
            let separated = index == 5 || digits[at + 2] == b':';
            match (hex(digits[at]), hex(digits[at + 1])) {
                (Some(high), Some(low)) if separated => *byte = high << 4 | low,
                _ => return Err(error()),
            }
        }
        Ok(Self(mac))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(Mac);

/// A row's identity in an OVSDB database, or a network's in the configuration.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Uuid(pub u128);

/// The value of each hexadecimal digit; `0xff` for every other byte.
const HEX: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

fn hex(digit: u8) -> Option<u8> {
    Some(HEX[usize::from(digit)]).filter(|value| *value < 16)
}

impl FromStr for Uuid {
    type Err = ParseError;

    /// The dashed form of RFC 4122, in either case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::new(text, "a UUID");
        let digits: &[u8; 36] = text.as_bytes().try_into().map_err(|_| error())?;
        let mut value: u128 = 0;
        let mut bad = 0;
        for (index, digit) in digits.iter().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                bad |= digit ^ b'-';
            } else {
                let nibble = HEX[usize::from(*digit)];
                bad |= nibble & 0xf0;
                value = value << 4 | u128::from(nibble & 0x0f);
            }
        }
        if bad == 0 { Ok(Self(value)) } else { Err(error()) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut left = self.0;
        let places = text.iter_mut().enumerate().rev();
        for (_, digit) in places.filter(|(index, _)| !matches!(index, 8 | 13 | 18 | 23)) {
            *digit = DIGITS[usize::from(left as u8 & 0x0f)];
            left >>= 4;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(Uuid);

/// A VXLAN network identifier: 1 to 16,777,215.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

impl Vni {
    /// `None` outside 1 to 16,777,215.
    pub const fn new(value: u32) -> Option<Self> {
        if value >= 1 && value < 1 << 24 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = ParseError;

    fn try_from(value: u32) -> Result<Self, ParseError> {
        Self::new(value).ok_or_else(|| ParseError::new(&value.to_string(), "a VNI (1 to 16777215)"))
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defines a name: a short text that two values of other kinds cannot be mixed up with.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Box<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name! {
    /// `Physical_Switch.name`: what a switch calls itself, and the only thing that it is known by.
    SwitchName
}
name! {
    /// `Physical_Port.name`.
    PortName
}
name! {
    /// `Logical_Switch.name`; ours are a prefix and the UUID of the network.
    LogicalSwitchName
}

impl LogicalSwitchName {
    /// The name of a network's logical switch: `Contrail-6f1c0d0e-...`.
    pub fn of_network(prefix: &str, network: Uuid) -> Self {
        format!("{prefix}{network}").into()
    }

    /// The network, if the name is exactly what an agent with this prefix gives.
    pub fn network(&self, prefix: &str) -> Option<Uuid> {
        Self::network_in(&self.0, prefix)
    }

    /// The same of a name that is text yet.
    pub fn network_in(name: &str, prefix: &str) -> Option<Uuid> {
        let uuid = name.strip_prefix(prefix)?;
        // An agent writes a UUID in lower case.
        let is_ours = !uuid.bytes().any(|byte| byte.is_ascii_uppercase());
        uuid.parse().ok().filter(|_| is_ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_logical_switch_is_ours_by_prefix_and_uuid() {
        let network = Uuid(7);
        let name = LogicalSwitchName::of_network("Contrail-", network);
        assert_eq!(name.as_str(), "Contrail-00000000-0000-0000-0000-000000000007");
        assert_eq!(name.network("Contrail-"), Some(network));
        assert_eq!(LogicalSwitchName::from("Contrail-blue").network("Contrail-"), None);
        assert_eq!(name.network("Other-"), None);
        let upper = "Contrail-00000000-0000-0000-0000-00000000000A";
        assert_eq!(LogicalSwitchName::from(upper).network("Contrail-"), None);
    }

    #[test]
    fn a_vni_has_24_bits_and_is_not_zero() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1 << 24), None);
        assert_eq!(Vni::new((1 << 24) - 1).map(Vni::value), Some(16_777_215));
    }

    #[test]
    fn a_mac_in_another_spelling_is_read_if_it_leaves_no_doubt() {
        let mac = Mac([0x02, 0xaa, 0, 0, 0, 0x0b]);
        for text in [
            "02:aa:00:00:00:0b",
            "02-AA-00-00-00-0B",
            "2:aa:0:0:0:b",
            "02aa.0000.000b",
            "02AA0000000b",
            " 02:aa:00:00:00:0b ",
        ] {
            assert_eq!(Mac::spelled(text), Some(mac), "{text}");
        }
        for text in [
            "",
            "02:aa:00:00:00",
            "02:aa:00:00:00:0b:00",
            "02:aa-00:00:00:0b",
            "02aa.000.000b",
            "02aa.0000.00.0b",
            "2aa0000000b",
            "02:aa:00:00:00:0bb",
            "02:aa:00:00::0b",
            "02:aa:00:00:00:+b",
            "02:aa:00:00:00:0g",
            "02 aa 00 00 00 0b",
            "unknown-dst",
        ] {
            assert_eq!(Mac::spelled(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_mac_reads_what_it_writes_in_either_case(bytes: [u8; 6]) {
            let mac = Mac(bytes);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            prop_assert_eq!(mac.to_string().to_uppercase().parse(), Ok(mac));
        }

        #[test]
        fn a_uuid_reads_what_it_writes(value: u128) {
            prop_assert_eq!(Uuid(value).to_string().parse(), Ok(Uuid(value)));
        }

        #[test]
        fn other_text_is_neither(text in "[0-9a-fg:-]{0,37}") {
            prop_assert!(text.parse::<Mac>().is_ok_and(|mac| mac.to_string() == text) || text.parse::<Mac>().is_err());
            prop_assert!(text.parse::<Uuid>().is_ok_and(|uuid| uuid.to_string() == text) || text.parse::<Uuid>().is_err());
        }
    }
}

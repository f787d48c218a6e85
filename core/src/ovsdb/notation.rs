//! The value notation of RFC 7047 section 5.1, read without a tree.
//!
//! A set of one element may be a bare atom, an empty optional is `["set",[]]`, a map is
//! `["map",[[key,value],...]]` and a reference is `["uuid","..."]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use smallvec::{SmallVec, smallvec};

use crate::ids::Uuid;

/// The content of a set or a map.
pub(crate) trait Atom: Sized {
    /// From a string; `None` if this type is not written as one.
    fn from_text(_text: &str) -> Option<Self> {
        None
    }
    /// From a whole number.
    fn from_integer(_value: i64) -> Option<Self> {
        None
    }
    /// From a reference.
    fn from_uuid(_uuid: Uuid) -> Option<Self> {
        None
    }
}

impl Atom for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Atom for i64 {
    fn from_integer(value: i64) -> Option<Self> {
        Some(value)
    }
}

impl Atom for Uuid {
    fn from_uuid(uuid: Uuid) -> Option<Self> {
        Some(uuid)
    }
}

/// A column of any number of atoms: a scalar, an optional or a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Set<T>(pub(crate) SmallVec<[T; 1]>);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<T> Set<T> {
    /// The first element: all there is in a scalar or an optional.
    pub(crate) fn first(self) -> Option<T> {
        self.0.into_iter().next()
    }
}

impl<'de, T: Atom> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SetVisitor(PhantomData))
    }
}

/// A column that maps atoms to atoms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Map<K, V>(pub(crate) Vec<(K, V)>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Atom, V: Atom> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MapVisitor(PhantomData))
    }
}

struct SetVisitor<T>(PhantomData<T>);

impl<'de, T: Atom> Visitor<'de> for SetVisitor<T> {
    type Value = Set<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB atom or set")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Set<T>, E> {
        one(T::from_text(text))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Set<T>, E> {
        one(T::from_integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Set<T>, E> {
        one(i64::try_from(value).ok().and_then(T::from_integer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Set<T>, A::Error> {
        let set = match next(&mut seq)? {
            Tag::Uuid => one(T::from_uuid(next(&mut seq)?))?,
            Tag::Set => Set(next::<_, Vec<OneAtom<T>>>(&mut seq)?
                .into_iter()
                .map(|atom| atom.0)
                .collect()),
            Tag::Map => return Err(A::Error::custom("a map where a set was due")),
        };
        end(&mut seq)?;
        Ok(set)
    }
}

struct MapVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Atom, V: Atom> Visitor<'de> for MapVisitor<K, V> {
    type Value = Map<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an OVSDB map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Map<K, V>, A::Error> {
        if next::<_, Tag>(&mut seq)? != Tag::Map {
            return Err(A::Error::custom("`map` was due"));
        }
        let pairs: Vec<(OneAtom<K>, OneAtom<V>)> = next(&mut seq)?;
        end(&mut seq)?;
        Ok(Map(pairs.into_iter().map(|(key, value)| (key.0, value.0)).collect()))
    }
}

/// An atom that stands inside a set or a map, where no further set may stand.
struct OneAtom<T>(T);

impl<'de, T: Atom> Deserialize<'de> for OneAtom<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let set: Set<T> = Set::deserialize(deserializer)?;
        let [atom] = set.0.into_inner().map_err(|_| D::Error::custom("one atom was due"))?;
        Ok(Self(atom))
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Tag {
    Uuid,
    Set,
    Map,
}

impl std::str::FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uuid" => Ok(Self::Uuid),
            "set" => Ok(Self::Set),
            "map" => Ok(Self::Map),
            _ => Err("`uuid`, `set` or `map` was due"),
        }
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::ids::from_text(deserializer)
    }
}

fn next<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(seq: &mut A) -> Result<T, A::Error> {
    seq.next_element()?.ok_or_else(|| A::Error::custom("too few elements"))
}

fn end<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<(), A::Error> {
    match seq.next_element::<serde::de::IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("too many elements")),
    }
}

fn one<T, E: Error>(atom: Option<T>) -> Result<Set<T>, E> {
    let atom = atom.ok_or_else(|| E::custom("an atom of another type"))?;
    Ok(Set(smallvec![atom]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"["uuid","00000000-0000-0000-0000-000000000001"]"#;

    #[test]
    fn a_set_of_one_may_be_bare() {
        for text in [ONE.to_owned(), format!(r#"["set",[{ONE}]]"#)] {
            assert_eq!(
                serde_json::from_str::<Set<Uuid>>(&text).expect("a set"),
                Set(smallvec![Uuid(1)])
            );
        }
        assert_eq!(
            serde_json::from_str::<Set<i64>>("5001").expect("a set"),
            Set(smallvec![5001])
        );
        assert_eq!(
            serde_json::from_str::<Set<i64>>(r#"["set",[]]"#).expect("a set"),
            Set(smallvec![])
        );
        assert_eq!(
            serde_json::from_str::<Set<String>>(r#""a\"b""#).expect("a set"),
            Set(smallvec!["a\"b".into()])
        );
    }

    #[test]
    fn a_map_is_a_list_of_pairs() {
        let map: Map<i64, Uuid> = serde_json::from_str(&format!(r#"["map",[[10,{ONE}]]]"#)).expect("a map");
        assert_eq!(map, Map(vec![(10, Uuid(1))]));
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "null",
            "1.5",
            "{}",
            "[]",
            r#"["set"]"#,
            r#"["set",[],1]"#,
            r#"["uuid",1]"#,
            r#"["set",[["set",[]]]]"#,
            r#"["map",[]]"#,
            "\"a\"",
        ] {
            assert!(serde_json::from_str::<Set<Uuid>>(text).is_err(), "{text}");
        }
    }
}

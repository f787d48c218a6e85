//! The sets and maps of atoms that a column holds: RFC 7047 section 5.1.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use tandem_core::Uuid;

pub use super::atom::Atom;
use super::atom::unwrap;
use super::elements::Elements;
use super::error::OpError;
use super::names::Names;
use super::schema::Type;

/// What a column of a row holds: a set, or a map when every atom has a second one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Datum(Elements);

impl Datum {
    /// What a column holds when an insert does not name it.
    pub(super) fn default_of(ty: &Type) -> Self {
        let pair = || (Atom::default_of(ty.key), ty.value.map(Atom::default_of));
        Self((0..ty.min).map(|_| pair()).collect())
    }

    /// Whether this is what a column holds when an insert does not name it.
    pub(super) fn is_default(&self, ty: &Type) -> bool {
        match self.0.iter().next() {
            None => ty.min == 0,
            Some((key, value)) => {
                let is_default = |atom: &Atom, base| *atom == Atom::default_of(base);
                let value_is = value
                    .as_ref()
                    .zip(ty.value)
                    .is_none_or(|(value, base)| is_default(value, base));
                self.0.len() == ty.min && is_default(key, ty.key) && value_is
            }
        }
    }

    /// Exactly one atom.
    pub(super) fn one(atom: Atom) -> Self {
        Self(Elements::from_iter([(atom, None)]))
    }

    /// Reads the wire's notation; without `names`, named uuids are refused.
    pub(super) fn parse(ty: &Type, json: &Value, mut names: Option<&mut Names<'_>>) -> Result<Self, OpError> {
        let is_set = json
            .as_array()
            .and_then(|array| array.first())
            .is_some_and(|word| word == "set");
        if ty.value.is_none() && !is_set {
            return Atom::parse(ty.key, json, names).map(Self::one);
        }
        let class = if ty.value.is_some() { "map" } else { "set" };
        let elements = unwrap(json, class)
            .and_then(Value::as_array)
            .ok_or_else(|| OpError::syntax(json, format!("expected [\"{class}\", <array>]")))?;
        let count = elements.len();
        if count < ty.min || count > ty.max {
            let allowed = if (ty.min, ty.max) == (1, 1) {
                "exactly one member".into()
            } else {
                format!("{} to {} members", ty.min, ty.max)
            };
            return Err(OpError::syntax(
                json,
                format!("{class} must have {allowed} but {count} are present"),
            ));
        }
        let mut datum = Self::default();
        let mut duplicate = false;
        for element in elements {
            let (key, value) = match ty.value {
                None => (Atom::parse(ty.key, element, names.as_deref_mut())?, None),
                Some(base) => {
                    let Some([key, value]) = element.as_array().map(Vec::as_slice) else {
                        return Err(OpError::syntax(element, "expected 2-element array"));
                    };
                    let key = Atom::parse(ty.key, key, names.as_deref_mut())?;
                    (key, Some(Atom::parse(base, value, names.as_deref_mut())?))
                }
            };
            duplicate |= datum.0.insert(key, value).is_some();
        }
        if duplicate {
            let what = if ty.value.is_some() {
                "duplicate key"
            } else {
                "duplicate"
            };
            return Err(OpError::new("ovsdb error", format!("{class} contains {what}")));
        }
        Ok(datum)
    }

    /// As JSON: a set of one is a bare atom.
    pub(super) fn to_json(&self, ty: &Type) -> Value {
        let atoms = || self.0.keys().map(Atom::to_json).collect::<Vec<_>>();
        if ty.value.is_some() {
            let pairs: Vec<_> = self
                .pairs()
                .map(|(key, value)| json!([key.to_json(), value.to_json()]))
                .collect();
            json!(["map", pairs])
        } else if let Some(atom) = self.only() {
            atom.to_json()
        } else {
            json!(["set", atoms()])
        }
    }

    /// As error texts show it.
    pub(super) fn to_text(&self, ty: &Type) -> String {
        let elements: Vec<_> = self
            .0
            .iter()
            .map(|(key, value)| match value {
                None => key.to_text(),
                Some(value) => format!("{}={}", key.to_text(), value.to_text()),
            })
            .collect();
        let text = elements.join(", ");
        match (ty.max > 1 || self.0.is_empty(), ty.value) {
            (false, _) => text,
            (true, None) => format!("[{text}]"),
            (true, Some(_)) => format!("{{{text}}}"),
        }
    }

    pub(super) fn check(&self, ty: &Type) -> Result<(), OpError> {
        for (key, value) in self.0.iter() {
            key.check(ty.key)?;
            if let (Some(value), Some(base)) = (value, ty.value) {
                value.check(base)?;
            }
        }
        Ok(())
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements of a set, or the keys of a map, in order.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        self.0.keys()
    }

    /// The pairs of a map, by key.
    pub fn pairs(&self) -> impl Iterator<Item = (&Atom, &Atom)> {
        self.0.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    }

    /// The element of a set of exactly one.
    pub fn only(&self) -> Option<&Atom> {
        let mut atoms = self.0.keys();
        atoms.next().filter(|_| self.0.len() == 1)
    }

    /// Every identity in it, as often as it is there, from keys and values alike.
    pub(super) fn uuids(&self) -> impl Iterator<Item = Uuid> {
        let atoms = self.0.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]);
        atoms.flatten().filter_map(Atom::as_uuid)
    }

    /// The same datum with rows' identities replaced.
    pub(super) fn rename(&self, names: &BTreeMap<Uuid, Uuid>) -> Self {
        let rename = |atom: &Atom| match atom.as_uuid().and_then(|uuid| names.get(&uuid)) {
            Some(uuid) => Atom::Uuid(*uuid),
            None => atom.clone(),
        };
        let pairs = self.0.iter();
        Self(
            pairs
                .map(|(key, value)| (rename(key), value.as_ref().map(rename)))
                .collect(),
        )
    }

    /// Whether every element of `self` is in `other`, values included.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, value)| other.0.get(key) == Some(value))
    }

    /// Whether no element of `self` is in `other`, values included.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        self.0.iter().all(|(key, value)| other.0.get(key) != Some(value))
    }

    /// Adds what is missing; a key that is there keeps its value.
    pub(super) fn union(&mut self, other: &Self) {
        for (key, value) in other.0.iter() {
            if self.0.get(key).is_none() {
                self.0.insert(key.clone(), value.clone());
            }
        }
    }

    /// Takes away what is in `other`, which names whole pairs, or keys alone.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.0.retain(|key, value| match other.0.get(key) {
            None => true,
            Some(None) => false,
            Some(removed) => removed != value,
        });
    }

    /// What an `update2` sends to turn `self` into `new`: what is in one of them only, and pairs with a new value.
    pub(super) fn difference(&self, new: &Self, ty: &Type) -> Self {
        if ty.max <= 1 {
            return new.clone();
        }
        let removed = self.0.iter().filter(|(key, _)| new.0.get(key).is_none());
        let changed = new.0.iter().filter(|(key, value)| self.0.get(key) != Some(value));
        Self(
            removed
                .chain(changed)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        )
    }

    /// The same datum with every integer replaced; `None` when two became equal.
    pub(super) fn map_integers<E>(&self, change: impl Fn(i64) -> Result<i64, E>) -> Result<Option<Self>, E> {
        let mut changed = Self::default();
        for atom in self.0.keys() {
            let atom = match atom.as_integer() {
                Some(value) => Atom::Integer(change(value)?),
                None => atom.clone(),
            };
            changed.0.insert(atom, None);
        }
        Ok(Some(changed).filter(|changed| changed.len() == self.len()))
    }
}

/// The order of a `sort`: by number of elements, then by keys, then by values.
impl Ord for Datum {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.len().cmp(&other.len()))
            .then_with(|| self.0.keys().cmp(other.0.keys()))
            .then_with(|| self.0.values().cmp(other.0.values()))
    }
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Base, UNLIMITED};
    use super::*;

    const OPTIONAL: Type = Type {
        key: Base::INTEGER,
        value: None,
        min: 0,
        max: 1,
    };
    const BINDINGS: Type = Type {
        key: Base::Integer { min: 0, max: 4095 },
        value: Some(Base::String),
        min: 0,
        max: UNLIMITED,
    };

    fn read(ty: &Type, json: &Value) -> Result<Datum, OpError> {
        Datum::parse(ty, json, None)
    }

    #[test]
    fn a_set_of_one_is_a_bare_atom_and_an_empty_optional_an_empty_set() {
        for json in [json!(7), json!(["set", [7]])] {
            assert_eq!(read(&OPTIONAL, &json).expect("a set").to_json(&OPTIONAL), json!(7));
        }
        let empty = read(&OPTIONAL, &json!(["set", []])).expect("a set");
        assert_eq!(empty.to_json(&OPTIONAL), json!(["set", []]));
    }

    #[test]
    fn a_value_outside_its_type_is_refused_in_the_servers_words() {
        let cases = [
            (
                &OPTIONAL,
                json!(["set", [1, 2]]),
                "set must have 0 to 1 members but 2 are present",
            ),
            (&OPTIONAL, json!("x"), "expected integer"),
            (&BINDINGS, json!(7), "expected [\"map\", <array>]"),
            (
                &BINDINGS,
                json!(["map", [[4096, "x"]]]),
                "4096 is not in the valid range 0 to 4095 (inclusive)",
            ),
            (
                &BINDINGS,
                json!(["map", [[1, "x"], [1, "y"]]]),
                "map contains duplicate key",
            ),
        ];
        for (ty, json, details) in cases {
            assert_eq!(read(ty, &json).expect_err("an error").details, details);
        }
    }

    #[test]
    fn a_difference_names_removed_added_and_changed_pairs() {
        let old = read(&BINDINGS, &json!(["map", [[1, "a"], [2, "b"], [3, "c"]]])).expect("a map");
        let new = read(&BINDINGS, &json!(["map", [[2, "b"], [3, "d"], [4, "e"]]])).expect("a map");
        let difference = old.difference(&new, &BINDINGS).to_json(&BINDINGS);
        assert_eq!(difference, json!(["map", [[1, "a"], [3, "d"], [4, "e"]]]));
    }

    #[test]
    fn a_union_keeps_the_old_value_of_a_key() {
        let mut datum = read(&BINDINGS, &json!(["map", [[1, "a"]]])).expect("a map");
        datum.union(&read(&BINDINGS, &json!(["map", [[1, "b"], [2, "b"]]])).expect("a map"));
        assert_eq!(datum.to_json(&BINDINGS), json!(["map", [[1, "a"], [2, "b"]]]));
    }
}

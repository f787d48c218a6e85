//! Where uuids come from: a seeded source, and the names that stand for new rows inside one transaction.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use tandem_core::Uuid;

use super::error::OpError;

/// A seeded source of uuids (RFC 4122, version 4).
#[derive(Clone, Debug)]
pub(super) struct UuidSource(ChaCha8Rng);

impl UuidSource {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn next(&mut self) -> Uuid {
        let bits = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
        Uuid(bits & !(0xf000 << 64 | 0xc << 60) | 0x4000 << 64 | 0x8 << 60)
    }
}

/// The `uuid-name`s of one transaction: RFC 7047 section 5.2.1. A name may be used before its row is inserted.
pub(super) struct Names<'a> {
    pub(super) uuids: &'a mut UuidSource,
    seen: BTreeMap<String, Name>,
}

struct Name {
    uuid: Uuid,
    inserted: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(uuids: &'a mut UuidSource) -> Self {
        Self {
            uuids,
            seen: BTreeMap::new(),
        }
    }

    /// The uuid that `name` stands for, whether or not its row is there yet.
    pub(super) fn refer(&mut self, name: &str) -> Uuid {
        self.entry(name).uuid
    }

    /// The uuid of a row that is now inserted by this name; `chosen` if the client chose it.
    pub(super) fn insert(&mut self, name: &str, chosen: Option<Uuid>) -> Result<Uuid, OpError> {
        let entry = self.entry(name);
        if entry.inserted {
            let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
            return Err(OpError::new("duplicate uuid-name", details).at(&Value::from(name)));
        }
        entry.inserted = true;
        entry.uuid = chosen.unwrap_or(entry.uuid);
        Ok(entry.uuid)
    }

    fn entry(&mut self, name: &str) -> &mut Name {
        let uuids = &mut *self.uuids;
        self.seen.entry(name.into()).or_insert_with(|| Name {
            uuid: uuids.next(),
            inserted: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_uuids_of_version_four() {
        let (mut one, mut other) = (UuidSource::new(7), UuidSource::new(7));
        for _ in 0..100 {
            let uuid = one.next();
            assert_eq!(uuid, other.next());
            let text = uuid.to_string();
            assert_eq!(&text[14..15], "4", "{text}");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }

    #[test]
    fn a_name_may_be_used_before_its_row_is_inserted_and_inserted_once() {
        let mut uuids = UuidSource::new(1);
        let mut names = Names::new(&mut uuids);
        let used = names.refer("x");
        assert_eq!(names.insert("x", None), Ok(used));
        assert_eq!(names.insert("x", None).expect_err("twice").error, "duplicate uuid-name");
    }
}

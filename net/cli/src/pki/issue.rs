//! Issues certificates for many switches, agents and control nodes, and renews them.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use time::OffsetDateTime;

use super::store::{self, Entry, Kind, Put, StoreError, wrong};
use super::{end, leaf, now};

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

/// A certificate that was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Issued {
    /// The name in it.
    pub name: String,
    /// Its file.
    pub certificate: PathBuf,
    /// The file of its new key; `None` if the key is the one from before.
    pub key: Option<PathBuf>,
    /// When it ends, in seconds since 1970.
    pub not_after_unix_s: i64,
}

/// A CA that can sign.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    not_after: OffsetDateTime,
    kind: Kind,
}

impl Authority {
    fn load(dir: &Path, kind: Kind) -> Result<Self, StoreError> {
        let (file, key_file) = (kind.ca(dir), kind.ca_key(dir));
        let read = |file: &Path| fs::read_to_string(file).map_err(|why| wrong(file, format!("cannot be read: {why}")));
        let (pem, key) = (read(&file)?, read(&key_file)?);
        let entry = Entry::read("", &file)?;
        if !entry.is_ca {
            return Err(wrong(&file, "is no CA: it may sign no certificates"));
        }
        let key = KeyPair::from_pem(&key).map_err(|why| {
            wrong(
                &key_file,
                format!("is no private key in PKCS#8 without a passphrase: {why}"),
            )
        })?;
        if key.subject_public_key_info() != entry.public_key {
            return Err(wrong(&key_file, format!("is not the key of {}", file.display())));
        }
        let not_after = OffsetDateTime::from_unix_timestamp(entry.not_after_unix_s).map_err(|why| wrong(&file, why))?;
        if not_after <= now() {
            return Err(wrong(
                &file,
                format!("has ended on {}: make a new CA", not_after.date()),
            ));
        }
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|why| wrong(&file, why))?;
        Ok(Self {
            issuer,
            pem,
            not_after,
            kind,
        })
    }

    /// No certificate outlives its CA.
    fn until(&self, days: u32) -> OffsetDateTime {
        end(days).min(self.not_after)
    }

    /// The text of a file: an agent shows its chain with the root.
    fn sign(
        &self,
        names: &[String],
        key: &impl PublicKeyData,
        not_after: OffsetDateTime,
    ) -> Result<String, rcgen::Error> {
        let name = names.first().map_or("", String::as_str);
        let certificate = leaf(name, names, not_after)?.signed_by(key, &self.issuer)?.pem();
        Ok(match self.kind {
            Kind::Agent => certificate + &self.pem,
            Kind::Switch | Kind::Control => certificate,
        })
    }
}

fn certificate_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}-cert.pem"))
}

fn key_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}-key.pem"))
}

/// A name is a DNS name in the certificate, and a part of the names of its files.
fn check_name(name: &str) -> Result<(), StoreError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_good = (1..=64).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with(['.', '-']);
    match is_good {
        true => Ok(()),
        false => Err(StoreError(format!(
            "{name:?} cannot be a name in a certificate: up to 64 letters, digits, `-`, `_` and `.`; issue it under another \
             name, and tie that to the switch: `certificate = \"name:OTHER\"`"
        ))),
    }
}

/// Makes a key and a certificate for each name. A name that has a file already is an error, unless it is to be replaced;
/// then nothing is written at all.
///
/// # Errors
/// A name, the CA, or a file is wrong: the text names it.
pub fn issue(dir: &Path, names: &[String], kind: Kind, days: u32, replaces: bool) -> Result<Vec<Issued>, StoreError> {
    let _lock = store::lock(dir)?;
    let authority = Authority::load(dir, kind)?;
    let put = if replaces { Put::Replace } else { Put::New };
    for (place, name) in names.iter().enumerate() {
        check_name(name)?;
        if names.iter().take(place).any(|before| before == name) {
            return Err(StoreError(format!("{name} is named twice")));
        }
        let files = [certificate_of(dir, name), key_of(dir, name)];
        let there = files.iter().find(|file| file.symlink_metadata().is_ok());
        if let Some(file) = there.filter(|_| put == Put::New) {
            return Err(wrong(
                file,
                "exists already, and nothing was written; `tandem pki renew` renews a certificate, `--replace` makes a \
                 new key, too",
            ));
        }
    }
    let issue = |name: &String| {
        let not_after = authority.until(days);
        let failed = |why: rcgen::Error| StoreError(format!("{name}: no certificate can be made: {why}"));
        let key = KeyPair::generate().map_err(failed)?;
        let text = authority
            .sign(std::slice::from_ref(name), &key, not_after)
            .map_err(failed)?;
        let (certificate, key_file) = (certificate_of(dir, name), key_of(dir, name));
        store::write(&key_file, &key.serialize_pem(), SECRET, put)?;
        store::write(&certificate, &text, PUBLIC, put)?;
        Ok(Issued {
            name: name.clone(),
            certificate,
            key: Some(key_file),
            not_after_unix_s: not_after.unix_timestamp(),
        })
    };
    let issued = names.iter().map(issue).collect();
    // Whatever failed, the index names what is there.
    store::index(dir)?;
    issued
}

/// What to renew.
#[derive(Clone, Debug)]
pub enum Which {
    /// These.
    Named(Vec<String>),
    /// Those that end within so many days.
    EndWithin(u32),
}

/// Makes new certificates with the names and the keys of those from before; no private key is read but those of the CAs.
///
/// # Errors
/// A name is unknown, its CA is missing or ends too soon, or a file cannot be written: the text names it.
pub fn renew(dir: &Path, which: &Which, days: u32) -> Result<Vec<Issued>, StoreError> {
    let _lock = store::lock(dir)?;
    let all: Vec<Entry> = store::list(dir)?.into_iter().filter(|entry| !entry.is_ca).collect();
    let due: Vec<&Entry> = match which {
        Which::Named(names) => names
            .iter()
            .map(|name| all.iter().find(|entry| entry.name == *name).ok_or(name))
            .collect::<Result<_, _>>()
            .map_err(|name| wrong(&certificate_of(dir, name), "is not there: `tandem pki issue` makes it"))?,
        Which::EndWithin(days) => {
            let limit = end(*days).unix_timestamp();
            all.iter().filter(|entry| entry.not_after_unix_s <= limit).collect()
        }
    };
    let mut authorities: Vec<Authority> = Vec::new();
    for entry in &due {
        let kind = entry
            .kind
            .ok_or_else(|| wrong(&entry.file, format!("its CA is not in {}", dir.display())))?;
        if !authorities.iter().any(|authority| authority.kind == kind) {
            authorities.push(Authority::load(dir, kind)?);
        }
    }
    let renewed = due.iter().map(|entry| {
        let authority = authorities.iter().find(|authority| Some(authority.kind) == entry.kind);
        authority.map_or_else(|| Err(wrong(&entry.file, "has no CA")), |it| one(it, entry, days))
    });
    let renewed = renewed.collect();
    store::index(dir)?;
    renewed
}

fn one(authority: &Authority, entry: &Entry, days: u32) -> Result<Issued, StoreError> {
    let not_after = authority.until(days);
    if not_after.unix_timestamp() <= entry.not_after_unix_s {
        let date = not_after.date();
        return Err(wrong(
            &entry.file,
            format!("would end no later than it does: its CA or `--days` reach to {date}"),
        ));
    }
    if entry.names.is_empty() {
        return Err(wrong(
            &entry.file,
            "has no name: `tandem pki issue --replace` makes one that has",
        ));
    }
    let failed = |why: rcgen::Error| wrong(&entry.file, format!("cannot be renewed: {why}"));
    let key = SubjectPublicKeyInfo::from_der(&entry.public_key).map_err(failed)?;
    let text = authority.sign(&entry.names, &key, not_after).map_err(failed)?;
    store::write(&entry.file, &text, PUBLIC, Put::Replace)?;
    Ok(Issued {
        name: entry.name.clone(),
        certificate: entry.file.clone(),
        key: None,
        not_after_unix_s: not_after.unix_timestamp(),
    })
}

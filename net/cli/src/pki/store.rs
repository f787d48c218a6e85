//! A folder of CAs and certificates: what is in it, and how files get into it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tandem_core::machine::Fingerprint;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Why a command did nothing. The text says which file or name is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

pub(super) fn wrong(file: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError(format!("{}: {why}", file.display()))
}

/// What a certificate is for, which its CA decides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A switch.
    Switch,
    /// An agent; its file has the chain with the root.
    Agent,
    /// A control node.
    Control,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Switch, Self::Agent, Self::Control];

    /// The word of `--kind`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Agent => "agent",
            Self::Control => "control",
        }
    }

    /// The file of its CA.
    pub(super) fn ca(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}-ca.pem", self.label()))
    }

    /// The key of its CA.
    pub(super) fn ca_key(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}-ca-key.pem", self.label()))
    }
}

/// A certificate in the folder.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its name: that of its file, `NAME-cert.pem`, or `KIND-ca`.
    pub name: String,
    /// The kind of its CA; `None` if the CA is not in the folder.
    pub kind: Option<Kind>,
    /// It is a CA itself.
    pub is_ca: bool,
    /// Its DNS names, or without them its common name.
    pub names: Vec<String>,
    /// SHA-256 over the certificate, as a pin has it.
    pub fingerprint: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it ends, in seconds since 1970.
    pub not_after_unix_s: i64,
    /// Its file.
    pub file: PathBuf,
    #[serde(skip)]
    pub(super) public_key: Vec<u8>,
    #[serde(skip)]
    pub(super) subject: Vec<u8>,
    #[serde(skip)]
    issuer: Vec<u8>,
}

impl Entry {
    /// The first certificate of a file.
    pub(super) fn read(name: &str, file: &Path) -> Result<Self, StoreError> {
        let der =
            CertificateDer::from_pem_file(file).map_err(|why| wrong(file, format!("is no certificate: {why}")))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| wrong(file, "is no certificate of X.509"))?;
        Ok(Self {
            name: name.into(),
            kind: None,
            is_ca: parsed.is_ca(),
            names: names(&parsed),
            fingerprint: Fingerprint(Sha256::digest(&der).into()).to_string(),
            serial: format!("{:x}", parsed.serial),
            not_after_unix_s: parsed.validity().not_after.timestamp(),
            file: file.into(),
            public_key: parsed.public_key().raw.to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
        })
    }
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let dns = alternative.into_iter().flat_map(|it| &it.value.general_names);
    let dns = dns.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let dns: Vec<String> = dns.collect();
    if !dns.is_empty() {
        return dns;
    }
    let common = parsed.subject().iter_common_name();
    common.filter_map(|name| Some(name.as_str().ok()?.to_owned())).collect()
}

/// Every certificate in the folder: CAs first, then by name.
///
/// # Errors
/// The folder, or a file in it, cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let files = fs::read_dir(dir).map_err(|why| wrong(dir, format!("cannot be read: {why}")))?;
    let mut entries = Vec::new();
    for file in files {
        let file = file.map_err(|why| wrong(dir, why))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ca = |name: &&str| Kind::ALL.iter().any(|kind| **name == format!("{}-ca", kind.label()));
        let certificate = name.strip_suffix("-cert.pem");
        if name.starts_with('.') {
            continue;
        }
        if let Some(name) = certificate.or_else(|| name.strip_suffix(".pem").filter(is_ca)) {
            entries.push(Entry::read(name, &file)?);
        }
    }
    let authorities: Vec<(Vec<u8>, Kind)> = Kind::ALL
        .into_iter()
        .filter_map(|kind| Some((entries.iter().find(|it| it.file == kind.ca(dir))?.subject.clone(), kind)))
        .collect();
    for entry in &mut entries {
        let authority = authorities.iter().find(|(subject, _)| *subject == entry.issuer);
        entry.kind = authority.map(|(_, kind)| *kind);
    }
    entries.sort_by(|one, other| (!one.is_ca, &one.name).cmp(&(!other.is_ca, &other.name)));
    Ok(entries)
}

/// How a file gets into the folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Put {
    /// There is none of this name.
    New,
    /// Whatever is there is replaced.
    Replace,
}

/// Writes a file as a whole, or not at all.
pub(super) fn write(file: &Path, text: &str, mode: u32, put: Put) -> Result<(), StoreError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let new = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(mode).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        match put {
            Put::Replace => fs::rename(&new, file),
            // A rename would replace a file that another process made meanwhile.
            Put::New => fs::hard_link(&new, file),
        }
    };
    let outcome = written();
    let _ = fs::remove_file(&new);
    outcome.map_err(|why| wrong(file, format!("cannot be written: {why}")))
}

/// One process at a time changes the folder, while the answer lives.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let folder = File::open(dir).map_err(|why| {
        wrong(
            dir,
            format!("cannot be opened: {why}; `tandem pki init` makes a folder with CAs"),
        )
    })?;
    folder
        .try_lock()
        .map_err(|_| wrong(dir, "another `tandem pki` is changing it; try again when it has ended"))?;
    Ok(folder)
}

const INDEX: &str = "index.txt";
const INDEX_HEAD: &str = "# Every certificate of this folder, replaced ones included: kind, name, serial number, fingerprint, end (seconds since 1970)\n";

/// Adds what the index lacks: it keeps the certificates that were replaced, for revocation.
pub(super) fn index(dir: &Path) -> Result<(), StoreError> {
    let file = dir.join(INDEX);
    let mut text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => INDEX_HEAD.to_owned(),
        Err(why) => return Err(wrong(&file, format!("cannot be read: {why}"))),
    };
    for entry in list(dir)? {
        if !text.contains(&entry.fingerprint) {
            let kind = entry.kind.map_or("-", Kind::label);
            let ca = if entry.is_ca { "-ca" } else { "" };
            let (serial, fingerprint, end) = (&entry.serial, &entry.fingerprint, entry.not_after_unix_s);
            text.push_str(&format!("{kind}{ca} {} {serial} {fingerprint} {end}\n", entry.name));
        }
    }
    write(&file, &text, 0o644, Put::Replace)
}

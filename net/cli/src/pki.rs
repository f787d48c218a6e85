//! Certificates to start with: CAs for agents and switches, as `ovs-pki` makes them, one for control nodes, and
//! certificates by each. More of them are issued and renewed by [`issue`].

pub mod issue;
pub mod store;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

/// Why there are no certificates. Nothing that existed was touched.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// One of the files is there already; none was written.
    #[error("{} exists already and is never overwritten; choose an empty folder, or move it away", .0.display())]
    Exists(PathBuf),
    /// A file or the folder cannot be written.
    #[error("{}: cannot be written: {why}", file.display())]
    Write {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// A bug in Tandem.
    #[error("a certificate cannot be made: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Makes a folder of ECDSA P-256 keys and certificates of ten years, and answers the files in the order made.
///
/// `agent-ca` signs the agents, `switch-ca` the switches, `control-ca` the control nodes; the names of the files are `<name>.pem` or
/// `<name>-cert.pem`, and `<name>-key.pem` with mode 0600. Agents are `agent-a` and `agent-b`, or one `agent`
/// with `shared_agent`, for switches that pin the agent's certificate; control nodes are `control-1` and `control-2`.
/// An agent's file holds its chain with the root, for `--bootstrap-ca-cert`.
pub fn init(dir: &Path, shared_agent: bool) -> Result<Vec<PathBuf>, PkiError> {
    let agents: &[&str] = match shared_agent {
        true => &["agent"],
        false => &["agent-a", "agent-b"],
    };
    let mut files = Vec::new();
    let agent_ca = authority("Tandem agent CA")?;
    let switch_ca = authority("Tandem switch CA")?;
    let control_ca = authority("Tandem control node CA")?;
    for (name, ca) in [
        ("agent-ca", &agent_ca),
        ("switch-ca", &switch_ca),
        ("control-ca", &control_ca),
    ] {
        files.push((format!("{name}.pem"), ca.pem(), Mode::Public));
        files.push((format!("{name}-key.pem"), ca.key().serialize_pem(), Mode::Secret));
    }
    for name in agents {
        let (certificate, key) = signed(name, &agent_ca)?;
        let chain = format!("{certificate}{}", agent_ca.pem());
        files.push((format!("{name}-cert.pem"), chain, Mode::Public));
        files.push((format!("{name}-key.pem"), key, Mode::Secret));
    }
    for (name, ca) in [
        ("switch", &switch_ca),
        ("control-1", &control_ca),
        ("control-2", &control_ca),
    ] {
        let (certificate, key) = signed(name, ca)?;
        files.push((format!("{name}-cert.pem"), certificate, Mode::Public));
        files.push((format!("{name}-key.pem"), key, Mode::Secret));
    }
    write_all(dir, &files)
}

#[derive(Clone, Copy)]
enum Mode {
    Public = 0o644,
    Secret = 0o600,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = params(name, end(3650))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// A certificate that serves as client and as server, as ovs-pki's do, and its key, both PEM.
fn signed(name: &str, ca: &Authority) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = leaf(name, &[name.to_owned()], end(3650))?.signed_by(&key, ca)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A certificate with these DNS names, to be signed.
fn leaf(name: &str, dns: &[String], not_after: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(name, not_after)?;
    let names = dns
        .iter()
        .map(|name| Ok(rcgen::SanType::DnsName(name.as_str().try_into()?)));
    params.subject_alt_names = names.collect::<Result<_, rcgen::Error>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In so many days.
fn end(days: u32) -> OffsetDateTime {
    now() + DAY * days
}

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(UnixTime::now().as_secs())
}

fn params(name: &str, not_after: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    // A switch whose clock is a day late may still connect.
    params.not_before = now() - DAY;
    params.not_after = not_after;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tandem");
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// Sixteen positive random bytes, so that two CAs made by this program never issue the same one.
fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn write_all(dir: &Path, files: &[(String, String, Mode)]) -> Result<Vec<PathBuf>, PkiError> {
    let failed = |file: &Path, why| PkiError::Write {
        file: file.to_owned(),
        why,
    };
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, ..)| dir.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(PkiError::Exists(path.clone()));
    }
    for (path, (_, text, mode)) in paths.iter().zip(files) {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(*mode as u32)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| failed(path, e))?;
    }
    Ok(paths)
}

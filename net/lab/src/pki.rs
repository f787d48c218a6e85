//! A certificate authority for the length of a lab: EC P-256, by rcgen.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::{Error, Result};

/// An authority whose certificates all parts of a lab trust.
pub struct Pki {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// Three PEM files.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The certificate, followed by the authority's own.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authority that the other end must be signed by.
    pub ca: PathBuf,
}

impl Pki {
    /// A new authority, with its files in this folder.
    pub fn new(folder: PathBuf) -> Result<Self> {
        let mut params = params("tandem lab authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()?).map_err(failed)?;
        let pki = Self { folder, authority };
        write(&pki.ca(), &pki.authority.pem())?;
        Ok(pki)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca-cert.pem")
    }

    /// A certificate for this name: both its common name and its DNS name.
    pub fn issue(&self, name: &str) -> Result<Credentials> {
        let mut params = params(name)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key()?;
        let certificate = params.signed_by(&key, &self.authority).map_err(failed)?;
        let credentials = Credentials {
            certificate: self.folder.join(format!("{name}-cert.pem")),
            private_key: self.folder.join(format!("{name}-key.pem")),
            ca: self.ca(),
        };
        write(&credentials.certificate, &(certificate.pem() + &self.authority.pem()))?;
        write(&credentials.private_key, &key.serialize_pem())?;
        Ok(credentials)
    }
}

fn params(name: &str) -> Result<CertificateParams> {
    let names = if name.contains(' ') {
        Vec::new()
    } else {
        vec![name.to_owned()]
    };
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().map_err(failed)
}

fn failed(error: rcgen::Error) -> Error {
    Error::failed("make a certificate", error)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(Error::io(format!("write {}", file.display())))
}

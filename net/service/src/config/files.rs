//! The files that a configuration names, and those of this host.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The files that a configuration names.
pub trait Files {
    /// The whole of the file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether the file could be read.
    fn readable(&self, path: &Path) -> io::Result<()> {
        self.read(path).map(drop)
    }
}

/// The files of this host. Only regular files of at most [`FILE_BYTES_MAX`] can be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// Bytes of a configuration or of a list of MACs: some two million routes.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "it is larger than {} MiB",
                FILE_BYTES_MAX >> 20
            )));
        }
        Ok(bytes)
    }

    fn readable(&self, path: &Path) -> io::Result<()> {
        open(path).map(drop)
    }
}

/// Checks the file type first: opening a named pipe blocks until a writer opens it.
fn open(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

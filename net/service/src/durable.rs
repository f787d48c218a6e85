//! Files that are never half written.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces a file, or makes it: whatever dies meanwhile, there is the old file or the new one, as a whole.
///
/// The mode is that of the old file, or else such that only its owner reads it.
///
/// # Errors
/// The folder takes no file, or the disk is full. The old file is unchanged.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link is followed, and not replaced.
    let file = match std::fs::canonicalize(file) {
        Ok(there) => there,
        Err(_) => file.to_path_buf(),
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let mut name = OsString::from(".");
    name.push(file.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".new");
    let new = folder.join(name);
    let mode = std::fs::metadata(&file).map_or(0o600, |old| old.permissions().mode());
    let written = write(&new, bytes, mode).and_then(|()| std::fs::rename(&new, &file));
    if let Err(why) = written {
        let _ = std::fs::remove_file(&new);
        return Err(why);
    }
    File::open(folder)?.sync_all()
}

fn write(new: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(new)?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_for_its_owner_and_replaced_with_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        let mode = || std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
        replace(&file, b"one").expect("made");
        assert_eq!(
            (std::fs::read(&file).expect("a file"), mode()),
            (b"one".to_vec(), 0o600)
        );
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("changed");
        replace(&file, b"two").expect("replaced");
        assert_eq!(
            (std::fs::read(&file).expect("a file"), mode()),
            (b"two".to_vec(), 0o640)
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, link] = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::write(&file, "one").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        replace(&link, b"two").expect("replaced");
        assert!(std::fs::symlink_metadata(&link).expect("a link").is_symlink());
        assert_eq!(std::fs::read(&file).expect("a file"), b"two");
    }

    #[test]
    fn a_folder_that_takes_no_file_is_an_error() {
        assert!(replace(Path::new("/nowhere/a"), b"one").is_err());
    }
}

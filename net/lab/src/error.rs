//! Why a lab could not do what it was asked to do.

use std::{fmt, io};

/// What a lab answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Always the environment's fault, and always with what a person needs to fix it.
#[derive(thiserror::Error)]
pub enum Error {
    /// A program that the lab needs is not on this machine.
    #[error("`{program}` is missing: apt-get install {package}")]
    Missing {
        /// The program's name, without a folder.
        program: String,
        /// The Debian package that has it.
        package: String,
    },
    /// The operating system returned an error.
    #[error("{what}: {source}")]
    Io {
        /// The action that failed.
        what: String,
        /// Its reason.
        source: io::Error,
    },
    /// A program or a server answered, but not what was hoped for.
    #[error("{what} failed: {answer}")]
    Failed {
        /// The action that failed.
        what: String,
        /// The answer.
        answer: String,
    },
    /// A condition did not become true in time.
    #[error("gave up after {seconds} s of waiting for {what}\n{logs}")]
    Deadline {
        /// The condition that did not come true.
        what: String,
        /// For how long.
        seconds: u64,
        /// The last lines of every log in the scratch folder.
        logs: String,
    },
}

impl Error {
    /// For `map_err`, with what the operating system was asked to do.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The answer of a program or a server that was asked to do `what`.
    pub fn failed(what: impl Into<String>, answer: impl fmt::Display) -> Self {
        Self::Failed {
            what: what.into(),
            answer: answer.to_string(),
        }
    }
}

/// As `Display`: a test that returns an error shows it by `Debug`, and its text is for people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

//! Identities as types of their own, so that a thread cannot be passed where a run is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use ulid::{Generator, Ulid};

use super::ask::{NotARepoName, RepoName};

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl $name {
            /// A new identity, ordered by the time of its making.
            pub fn new() -> Self {
                Self(new_ulid())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ulid::DecodeError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ulid::from_string(text).map(Self)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// Sixteen bytes in the form of a UUID of a version (RFC 9562, section 4); version and variant take the place of six of their bits.
pub fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// A ULID greater than every one that this process made before, also within the same millisecond: what is written together is read in order.
pub fn new_ulid() -> Ulid {
    static LAST: Mutex<Generator> = Mutex::new(Generator::new());
    // The error says that the random part of this millisecond is used up.
    LAST.lock().unwrap_or_else(PoisonError::into_inner).generate().unwrap_or_else(|_| Ulid::new())
}

ulid_id!(
    /// An issue, or a pull request that track did not open, with all that happened on it.
    ThreadId
);
ulid_id!(
    /// One line of work of a thread: a branch, later its pull request.
    LineId
);
ulid_id!(
    /// One ask carried out by one agent on one runner.
    RunId
);
number_id!(
    /// GitHub's id of a repository; it survives renames and transfers.
    RepositoryId
);
number_id!(
    /// GitHub's id of a person, organization or app account; logins change, this does not.
    AccountId
);
number_id!(
    /// GitHub's id of one installation of the App.
    InstallationId
);
number_id!(
    /// The number of an issue or pull request within its repository; below zero that of a private task, which GitHub knows nothing of (B63).
    Number
);

impl Number {
    /// Whether it is that of a private task: nothing of GitHub's has it.
    pub fn is_private(self) -> bool {
        self.0 < 0
    }

    /// How people call it: `#7`, or `task 3`.
    pub fn named(self) -> String {
        if self.is_private() { format!("task {}", self.0.unsigned_abs()) } else { format!("#{self}") }
    }

    /// The same with its repository, as one word that commands take: `octo/hello#7`, or `octo/hello~3`.
    pub fn named_in(self, repository: &str) -> String {
        if self.is_private() {
            format!("{repository}~{}", self.0.unsigned_abs())
        } else {
            format!("{repository}#{self}")
        }
    }
}

impl LineId {
    /// The branch of this line for an issue or pull request: `track/issue-<number>-<last 8 of the ULID, lower case>`; for a private task
    /// `track/task-<number>-…`.
    pub fn branch(self, number: Number) -> String {
        let ulid = self.to_string().to_lowercase();
        let what = if number.is_private() { "task" } else { "issue" };
        format!("track/{what}-{}-{}", number.0.unsigned_abs(), &ulid[ulid.len() - 8..])
    }
}

/// The number of a thread as people write it for a command: `7`, `#7` or `octo/hello#7`, and for a private task `~3` or `octo/hello~3`.
///
/// # Errors
/// A sentence that says how it is written.
pub fn read_place(text: &str) -> Result<(Option<RepoName>, Number), String> {
    let wrong = || {
        "an issue or pull request is named like `octo/hello#7` or `7`, a private task like `octo/hello~3`".to_owned()
    };
    let (repository, sign, digits) = match text.rsplit_once(['#', '~']) {
        Some((repository, digits)) if text[repository.len()..].starts_with('~') => (repository, -1, digits),
        Some((repository, digits)) => (repository, 1, digits),
        None => ("", 1, text),
    };
    let repository = (!repository.is_empty()).then(|| repository.parse()).transpose();
    let repository = repository.map_err(|error: NotARepoName| error.to_string())?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<i64>() {
        Ok(number) if plain && number > 0 => Ok((repository, Number(sign * number))),
        _ => Err(wrong()),
    }
}

/// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);

impl Sha {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, as GitHub shows a commit.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> Self {
        sha.0
    }
}

/// Text that is no commit id.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a full commit id")]
pub struct NotASha(String);

impl TryFrom<String> for Sha {
    type Error = NotASha;

    fn try_from(text: String) -> Result<Self, NotASha> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if matches!(text.len(), 40 | 64) && text.bytes().all(hex) { Ok(Self(text)) } else { Err(NotASha(text)) }
    }
}

impl FromStr for Sha {
    type Err = NotASha;

    fn from_str(text: &str) -> Result<Self, NotASha> {
        Self::try_from(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_named_after_the_issue_and_the_line() {
        let line: LineId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(line.branch(Number(42)), "track/issue-42-q69g5fav");
        assert_eq!(line.branch(Number(-3)), "track/task-3-q69g5fav");
    }

    // B63
    #[test]
    fn a_place_is_read_as_it_is_named() {
        for (text, named) in [
            ("octo/hello#7", Some("octo/hello#7")),
            ("octo/hello~3", Some("octo/hello~3")),
            ("7", Some("-#7")),
            ("#7", Some("-#7")),
            ("~3", Some("-~3")),
            ("octo/hello~-3", None),
            ("octo/hello#0", None),
            ("octo/hello", None),
            ("#+7", None),
            ("octo/../x#7", None),
            ("", None),
        ] {
            let read = read_place(text).ok();
            let read =
                read.map(|(repo, number)| number.named_in(&repo.map_or("-".to_owned(), |repo| repo.to_string())));
            assert_eq!(read.as_deref(), named, "{text}");
        }
    }

    #[test]
    fn only_full_lower_case_hex_is_a_commit_id() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<Sha>().is_ok());
        for bad in ["", "0123456", "0123456789ABCDEF0123456789abcdef01234567", "--upload-pack=/bin/sh 789abcdef0123456"]
        {
            assert!(bad.parse::<Sha>().is_err(), "{bad}");
        }
    }
}

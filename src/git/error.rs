//! Why git could not do it, sorted by what the caller can do about it.

/// A failed git command. Texts are git's own, cut and cleaned of credentials and control characters.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program cannot be started.
    #[error("git cannot be started ({0}): install git and make sure that it is on the PATH of the track process")]
    NotInstalled(std::io::Error),
    /// The server does not accept the credential: forget the token and try once more with a new one.
    #[error("{what}: the server refuses the credential: {text}")]
    Denied {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
    /// No such repository, or hidden from this credential.
    #[error("{what}: there is no such repository, or the App is not installed on it: {text}")]
    NoRepository {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
    /// The commit or branch is not there (any more).
    #[error("{what}: there is no such commit or branch: {text}")]
    NoCommit {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
    /// The other side did not answer, or not to the end: try later.
    #[error("{what}: the other side cannot be reached: {text}")]
    Unreachable {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
    /// Another machine took too long: try later.
    #[error("{what}: not done after {seconds} s")]
    TimedOut {
        /// What was attempted.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// What needs no other machine took too long: the repository, or what was made of it, is too much for this one.
    #[error("{what}: not done after {seconds} s, with nothing to wait for but this machine: too much for it")]
    Slow {
        /// What was attempted.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// More bytes than are accepted.
    #[error("{what}: larger than is accepted: {text}")]
    TooLarge {
        /// What was attempted.
        what: String,
        /// The limit, or git's words.
        text: String,
    },
    /// What came is damaged or forged: fsck refused it, or objects were missing.
    #[error("{what}: what came is not sound: {text}")]
    Broken {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
    /// Anything else.
    #[error("{what} failed: {text}")]
    Failed {
        /// What was attempted.
        what: String,
        /// git's words.
        text: String,
    },
}

impl GitError {
    /// Whether waiting can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }
}

/// Sorts a failure by git's words (with `LC_ALL=C`), the only thing that it gives besides a code.
pub(super) fn classify(what: &str, text: String) -> GitError {
    let what = what.to_owned();
    let said = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&[
        "authentication failed",
        "could not read username",
        "could not read password",
        "returned error: 401",
        "returned error: 403",
    ]) {
        GitError::Denied { what, text }
    } else if says(&[
        "fsck error",
        "error in object",
        "did not send all necessary objects",
        "bad object",
        "pack is corrupted",
        "unresolved deltas",
    ]) {
        GitError::Broken { what, text }
    } else if says(&["died of signal 25", "file too large", "maximum allowed size"]) {
        GitError::TooLarge { what, text }
    } else if says(&["couldn't find remote ref", "not our ref", "unadvertised object"]) {
        GitError::NoCommit { what, text }
    } else if says(&["repository not found", "returned error: 404"])
        || (said.contains("repository '") && said.contains("' not found"))
    {
        GitError::NoRepository { what, text }
    } else if says(&[
        "could not resolve",
        "failed to connect",
        "couldn't connect",
        "connection refused",
        "connection reset",
        "connection closed",
        "connection timed out",
        "timed out",
        "operation too slow",
        "returned error: 5",
        "returned error: 429",
        "early eof",
        "rpc failed",
        "unexpected disconnect",
        "hung up",
        "empty reply",
    ]) {
        GitError::Unreachable { what, text }
    } else {
        GitError::Failed { what, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_become_something_to_branch_on() {
        type Is = fn(&GitError) -> bool;
        let cases: [(&str, Is); 9] = [
            ("fatal: Authentication failed for 'https://github.com/o/r.git/'", |e| {
                matches!(e, GitError::Denied { .. })
            }),
            (
                "remote: Write access to repository not granted.\nfatal: unable to access 'https://github.com/o/r/': The requested URL returned error: 403",
                |e| matches!(e, GitError::Denied { .. }),
            ),
            ("remote: Repository not found.\nfatal: repository 'https://github.com/o/r/' not found", |e| {
                matches!(e, GitError::NoRepository { .. })
            }),
            (
                "fatal: unable to access 'https://github.com/': Could not resolve host: github.com",
                GitError::is_transient,
            ),
            (
                "fatal: unable to access 'https://github.com/': The requested URL returned error: 502",
                GitError::is_transient,
            ),
            (
                "error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds",
                GitError::is_transient,
            ),
            ("error: index-pack died of signal 25", |e| matches!(e, GitError::TooLarge { .. })),
            ("error: object 1234: zeroPaddedFilemode\nfatal: fsck error in packed object", |e| {
                matches!(e, GitError::Broken { .. })
            }),
            ("fatal: remote error: upload-pack: not our ref 0123", |e| matches!(e, GitError::NoCommit { .. })),
        ];
        for (text, is) in cases {
            let error = classify("fetch", text.to_owned());
            assert!(is(&error), "{error:?}");
        }
    }
}

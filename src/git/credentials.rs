//! Hands a token to git through a FIFO: it is in no address, argument, environment or file, only in a pipe of the kernel that is gone with this process.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use secrecy::{ExposeSecret as _, SecretString};
use ulid::Ulid;

use super::command::Git;

/// Reads one record from the FIFO, byte by byte as a shell does with a pipe, so that the next reader finds the next record whole.
const HELPER: &str = r#"!f() { test "$1" = get || exit 0; while IFS= read -r line; do printf '%s\n' "$line"; test -n "$line" || break; done <"$TRACK_CREDENTIALS"; }; f"#;

/// Records written ahead. git asks once per process and is one process or two; all fit the pipe (64 KiB) for tokens of any known length.
const RECORDS: usize = 8;

/// A token on offer until this is dropped.
pub(super) struct Credentials {
    folder: PathBuf,
    fifo: PathBuf,
    /// Both ends are open here, so that writing does not wait for a reader and what was written stays until then.
    _pipe: File,
}

impl Credentials {
    /// Offers a token in a new folder below `parent`, both closed to other users.
    pub fn offer(parent: &Path, token: &SecretString) -> anyhow::Result<Self> {
        let token = token.expose_secret();
        ensure!(
            !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()),
            "the token is not one line of printable text"
        );
        let folder = parent.join(Ulid::new().to_string());
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let fifo = folder.join("credentials");
        let pipe = open(&fifo, token).with_context(|| format!("the FIFO {} cannot be made", fifo.display()));
        match pipe {
            Ok(pipe) => Ok(Self { folder, fifo, _pipe: pipe }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Lets `git` have the token for the server of `url` and for no other, wherever it may be redirected.
    pub fn apply<'a>(&self, git: Git<'a>, url: &str) -> Git<'a> {
        git.setting(format!("credential.{}.helper={HELPER}", origin(url))).env("TRACK_CREDENTIALS", &self.fifo)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a credential folder stays behind, empty of secrets");
        }
    }
}

fn open(fifo: &Path, token: &str) -> anyhow::Result<File> {
    mkfifoat(CWD, fifo, Mode::RUSR | Mode::WUSR)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut pipe = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(fifo)?;
    let record = format!("username=x-access-token\npassword={token}\n\n");
    pipe.write_all(record.repeat(RECORDS).as_bytes())?;
    Ok(pipe)
}

/// `scheme://host:port` of an address.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_one_server() {
        assert_eq!(origin("https://github.com/o/r.git"), "https://github.com");
        assert_eq!(origin("http://127.0.0.1:3000/o/r.git"), "http://127.0.0.1:3000");
        assert_eq!(origin("https://h"), "https://h");
    }

    #[test]
    fn a_token_that_could_break_the_record_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "a\nb", "a b"] {
            assert!(Credentials::offer(dir.path(), &SecretString::from(bad.to_owned())).is_err(), "{bad:?}");
        }
        // 64 KiB hold eight of the longest tokens.
        let offer = Credentials::offer(dir.path(), &SecretString::from("x".repeat(4_000))).unwrap();
        drop(offer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

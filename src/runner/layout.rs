//! Where things lie on a runner, and the command lines that reach them: composed of ids that the bot made and of checked paths, never of
//! text that people wrote.

use std::fmt::Display;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::host::HostError;
use crate::config::check_root;

/// The script that does everything on a runner.
pub(super) const SCRIPT: &str = include_str!("runner.sh");

static SCRIPT_HASH: LazyLock<String> = LazyLock::new(|| hex::encode(Sha256::digest(SCRIPT)));

/// `root/<instance>/` of one runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    base: String,
    instance: String,
}

impl Layout {
    /// Refuses a root or instance that could mean anything else in a shell than the path it is.
    pub fn new(root: &str, instance: &str) -> Result<Self, HostError> {
        check_root(root).map_err(|problem| {
            HostError::Setup(format!(
                "has the root {root:?}, which {problem}; it must be an absolute path or ~/…, of letters, digits, '.', '_' and '-'"
            ))
        })?;
        if !(4..=64).contains(&instance.len()) || !instance.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(HostError::Setup(format!("is given the instance id {instance:?}, which is malformed")));
        }
        let base = format!("{}/{instance}", root.strip_suffix('/').unwrap_or(root));
        Ok(Self { base, instance: instance.to_owned() })
    }

    /// The id of this installation of the bot, the last part of the path.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Runs one verb of the script; a leading `~` is expanded by the runner's bash.
    pub fn verb(&self, verb: &str, ids: &[&(dyn Display + Sync)]) -> String {
        let mut command = format!("bash {} {verb}", self.script());
        for id in ids {
            command.push(' ');
            command.push_str(&id.to_string());
        }
        debug_assert!(
            command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-/~".contains(&byte)),
            "{command}"
        );
        command
    }

    /// Succeeds if the script is there.
    pub fn look_for_script(&self) -> String {
        format!("test -e {}", self.script())
    }

    /// Takes the script from standard input; a cut transfer leaves nothing.
    pub fn install_script(&self) -> String {
        let (folder, script, hash) = (format!("{}/bin", self.base), self.script(), &*SCRIPT_HASH);
        format!(
            "umask 077 && mkdir -p {folder} && cat >{folder}/.new-$$ && \
             test \"$(sha256sum <{folder}/.new-$$)\" = '{hash}  -' && mv -f {folder}/.new-$$ {script}"
        )
    }

    fn script(&self) -> String {
        format!("{}/bin/runner-{}.sh", self.base, &SCRIPT_HASH[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_plain_path_or_refused() {
        for good in ["~/track", "/srv/track", "/srv/a.b_c-d/", "~/a/b"] {
            assert!(Layout::new(good, "0abc1234").is_ok(), "{good}");
        }
        // T22, T24
        for bad in
            ["", "/", "~", "~/", "track", "~root/x", "/a/../b", "/a//b", "/a b", "/$(id)", "/a;id", "/a\nb", "/ä", "-x"]
        {
            assert!(Layout::new(bad, "0abc1234").is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b/c", "abc$", "abc 1"] {
            assert!(Layout::new("/srv/track", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_verb_is_the_script_and_ids() {
        let layout = Layout::new("~/track/", "0abc1234").unwrap();
        let command = layout.verb("status", &[&"01ARZ3NDEKTSV4RRFFQ69G5FAV", &7, &1, &0]);
        assert_eq!(
            command.replace(&SCRIPT_HASH[..16], "H"),
            "bash ~/track/0abc1234/bin/runner-H.sh status 01ARZ3NDEKTSV4RRFFQ69G5FAV 7 1 0"
        );
    }
}

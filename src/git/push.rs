//! The only way to GitHub's branches: one reference, compared and set, never the base branch.

use std::fmt;

use super::error::{GitError, classify};
use super::mirror::{Mirror, Remote};
use crate::model::Sha;

/// The namespace in which the bot makes branches.
const OWN: &str = "track/";

/// A branch that the bot may push to: one of its own, or one that a line of work was explicitly given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineBranch(String);

/// A branch that the bot does not push to.
#[derive(Debug, thiserror::Error)]
#[error("track does not push to the branch {branch:?}: {reason}")]
pub struct NotALineBranch {
    branch: String,
    reason: &'static str,
}

impl LineBranch {
    /// A branch below `track/`, but not the base branch of its pull request.
    pub fn own(branch: &str, base: &str) -> Result<Self, NotALineBranch> {
        let refused = |reason| NotALineBranch { branch: branch.to_owned(), reason };
        if !branch.starts_with(OWN) {
            return Err(refused("it is not below track/"));
        }
        Self::given(branch, base)
    }

    /// Another branch that a person put in the hands of a line, but not the base branch of its pull request.
    pub fn given(branch: &str, base: &str) -> Result<Self, NotALineBranch> {
        let refused = |reason| NotALineBranch { branch: branch.to_owned(), reason };
        if branch == base {
            return Err(refused("it is the base branch"));
        }
        if !is_branch_name(branch) {
            return Err(refused("it is no valid branch name"));
        }
        Ok(Self(branch.to_owned()))
    }

    /// Its name, without `refs/heads/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LineBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to push.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Where to.
    pub branch: &'a LineBranch,
    /// The commit, present in the mirror.
    pub new: &'a Sha,
    /// Where the branch must be now; `None`: it must not exist.
    pub expected: Option<&'a Sha>,
}

/// What a push came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The branch is at the commit, by this push or an earlier one whose answer was lost.
    Pushed,
    /// The branch is not where it was expected; nothing was changed.
    Moved {
        /// Where it is; `None`: it does not exist.
        actual: Option<Sha>,
    },
    /// GitHub said no (a protected branch, a rule, a workflow file).
    Refused {
        /// GitHub's words.
        text: String,
    },
}

/// Sets one branch on GitHub to a commit if it is where it is expected to be. Doing it twice is doing it once.
///
/// # Errors
/// Only for what says nothing about the branch: no connection, a refused credential. The push may then have been carried out; repeating it is safe.
pub async fn push(mirror: &Mirror, remote: Remote<'_>, push: Push<'_>) -> Result<PushOutcome, GitError> {
    let reference = format!("refs/heads/{}", push.branch);
    if let Some(expected) = push.expected
        && mirror.has(expected).await?
        && !super::checks::is_ancestor(mirror, expected, push.new).await?
    {
        // The lease would allow it; people's commits on the branch would be gone (T32).
        let text =
            format!("{} does not descend from {}, the branch's present commit", push.new.short(), expected.short());
        return Ok(PushOutcome::Refused { text });
    }
    let what = "pushing to GitHub";
    let lease = format!("--force-with-lease={reference}:{}", push.expected.map_or("", Sha::as_str));
    let refspec = format!("{}:{reference}", push.new);
    let git = mirror.git(what).args([
        "push",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        &lease,
        "--",
        remote.url,
        &refspec,
    ]);
    let output = mirror.talk(git, remote).await?.run().await?;
    let Some((flag, summary)) = reference_status(&String::from_utf8_lossy(&output.stdout), &reference) else {
        return Err(classify(what, output.stderr));
    };
    if flag != '!' {
        // The push was carried out whatever becomes of the note, and the next fetch notes it too.
        if let Err(error) = mirror.note_branch(push.branch.as_str(), push.new).await {
            tracing::warn!("{error}");
        }
        return Ok(PushOutcome::Pushed);
    }
    // The words for "somebody was faster" depend on who noticed; where the branch is does not.
    let actual = remote_head(mirror, remote, &reference).await?;
    if actual.as_ref() == Some(push.new) {
        Ok(PushOutcome::Pushed)
    } else if actual.as_ref() != push.expected || summary.contains("stale info") {
        Ok(PushOutcome::Moved { actual })
    } else {
        Ok(PushOutcome::Refused { text: refusal(&summary, &output.stderr) })
    }
}

async fn remote_head(mirror: &Mirror, remote: Remote<'_>, reference: &str) -> Result<Option<Sha>, GitError> {
    let git = mirror.git("asking GitHub for the branch").args(["ls-remote", "--", remote.url, reference]);
    let output = mirror.talk(git, remote).await?.ok().await?;
    let text = String::from_utf8_lossy(&output);
    // The pattern also matches longer names that end in it.
    let line = text.lines().filter_map(|line| line.split_once('\t')).find(|(_, name)| *name == reference);
    Ok(line.and_then(|(sha, _)| sha.parse().ok()))
}

/// Flag and summary of a reference in the output of `git push --porcelain`: `<flag>\t<from>:<to>\t<summary>`.
fn reference_status(output: &str, reference: &str) -> Option<(char, String)> {
    output.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, to) = refs.rsplit_once(':')?;
        Some((flag.chars().next()?, summary.trim().to_owned())).filter(|_| to == reference)
    })
}

/// Why GitHub said no: the reason in the summary and what the server printed.
fn refusal(summary: &str, stderr: &str) -> String {
    let remote =
        stderr.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim).filter(|line| !line.is_empty());
    std::iter::once(summary).chain(remote).collect::<Vec<_>>().join("\n")
}

/// Whether git takes the name for a branch (git-check-ref-format(1)), decided more narrowly: no space, no control or invisible character at all.
fn is_branch_name(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let character = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
    (1..=200).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && name.split('/').all(part)
        && name.chars().all(character)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, git};
    use super::*;

    #[test]
    fn only_branches_of_a_line_are_pushed_to() {
        // T32
        assert!(LineBranch::own("track/issue-7-abcdefgh", "main").is_ok());
        assert!(LineBranch::given("feature/x", "main").is_ok());
        for (branch, base) in [
            ("main", "main"),
            ("feature/x", "main"),
            ("track/x", "track/x"),
            ("track/../main", "main"),
            ("track/", "main"),
            ("track/a b", "main"),
        ] {
            assert!(LineBranch::own(branch, base).is_err(), "{branch}");
        }
        for bad in
            ["main", "-x", "a..b", "a.lock", "a/.b", "a~1", "a@{1}", "a:b", "a\u{3000}b", "a*", "@", "a\nb", "x."]
        {
            assert!(LineBranch::given(bad, "main").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn porcelain_output_is_read_by_reference() {
        let output = "To https://h/o/r\n!\t0123:refs/heads/track/x\t[rejected] (stale info)\nDone\n";
        assert_eq!(reference_status(output, "refs/heads/track/x"), Some(('!', "[rejected] (stale info)".to_owned())));
        assert_eq!(reference_status(output, "refs/heads/x"), None);
        assert_eq!(reference_status("fatal: no\n", "refs/heads/x"), None);
    }

    // T32
    #[tokio::test]
    async fn a_push_compares_and_sets_one_branch() {
        let world = World::new().await;
        let (first, second) = (world.commit("a", "1"), world.commit("a", "2"));
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), super::super::Fetch::Heads).await.unwrap();
        let branch = LineBranch::own("track/issue-7-abc", "main").unwrap();
        let to = |new, expected| push(&mirror, world.remote(), Push { branch: &branch, new, expected });

        assert_eq!(to(&first, None).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(mirror.branch("track/issue-7-abc").await.unwrap().as_ref(), Some(&first));
        // The answer was lost and it is pushed again.
        assert_eq!(to(&first, None).await.unwrap(), PushOutcome::Pushed);
        assert_eq!(to(&second, None).await.unwrap(), PushOutcome::Moved { actual: Some(first.clone()) });
        assert_eq!(to(&second, Some(&first)).await.unwrap(), PushOutcome::Pushed);
        // Back to an older commit would take commits away.
        assert!(matches!(to(&first, Some(&second)).await.unwrap(), PushOutcome::Refused { .. }));
        // Somebody deleted it.
        git(&world.origin, &["update-ref", "-d", "refs/heads/track/issue-7-abc"]);
        assert_eq!(to(&second, Some(&first)).await.unwrap(), PushOutcome::Moved { actual: None });
        assert_eq!(git(&world.origin, &["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    }

    #[tokio::test]
    async fn what_the_server_refuses_is_told_in_its_words() {
        let world = World::new().await;
        let first = world.commit("a", "1");
        world.publish();
        let hook = world.origin.join("hooks/pre-receive");
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, "#!/bin/sh\necho 'error: GH006: Protected branch update failed.' >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), super::super::Fetch::Heads).await.unwrap();
        let branch = LineBranch::own("track/x", "main").unwrap();
        let outcome =
            push(&mirror, world.remote(), Push { branch: &branch, new: &first, expected: None }).await.unwrap();
        let PushOutcome::Refused { text } = outcome else { panic!("{outcome:?}") };
        insta::assert_snapshot!(text, @r"
        [remote rejected] (pre-receive hook declined)
        error: GH006: Protected branch update failed.
        ");
    }
}

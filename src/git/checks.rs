//! What an agent's result is, read from git's objects and not from the agent's words.

use std::time::Duration;

use super::error::{GitError, classify};
use super::mirror::Mirror;
use super::paths::{Refusal, leads_outside};
use crate::model::Sha;

/// Most bytes of new objects, as they are packed, that a result may bring (T32).
pub const PACK_BYTES: u64 = 50 * 1024 * 1024;

/// Time for counting the lines of a change.
const MEASURE: Duration = Duration::from_secs(10);
/// Most symbolic links that are looked at; more in one result is refused as a whole.
const LINKS: usize = 200;
/// A link's target is a path; what is longer is none.
const TARGET_BYTES: usize = 4096;

/// One commit of a result. Author and subject are the agent's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub sha: Sha,
    /// Its author's name.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

/// One changed path. A rename is a deletion and an addition, so that both names meet the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// git's letter: A, M, D or T.
    pub status: char,
    /// The mode after the change; 0 for a deletion.
    pub mode: u32,
    /// The object after the change.
    pub blob: Option<Sha>,
}

impl Change {
    /// Whether it is a symbolic link now.
    pub fn is_link(&self) -> bool {
        self.mode == 0o120_000
    }
}

/// Size of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffStat {
    /// Files changed.
    pub files: u64,
    /// Lines added; binary files count none.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
}

/// What a tree has that is not fetched and that prompt and comment mention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeNotes {
    /// There is a `.gitmodules`.
    pub submodules: bool,
    /// Some `.gitattributes` names the filter of Git LFS.
    pub lfs: bool,
}

/// Whether `given` is `result` or one of its ancestors.
pub async fn is_ancestor(mirror: &Mirror, given: &Sha, result: &Sha) -> Result<bool, GitError> {
    let what = "comparing with what was given";
    let missing = |sha: &Sha| classify(what, format!("bad object {sha}"));
    for sha in [given, result] {
        if !mirror.has(sha).await? {
            return Err(missing(sha));
        }
    }
    let git = mirror.git(what).args(["merge-base", "--is-ancestor", given.as_str(), result.as_str()]);
    Ok(git.run().await?.success)
}

/// Where two lines of commits parted; `None` where they have nothing in common.
pub async fn merge_base(mirror: &Mirror, one: &Sha, other: &Sha) -> Result<Option<Sha>, GitError> {
    let output =
        mirror.git("finding the common ancestor").args(["merge-base", one.as_str(), other.as_str()]).run().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.success))
}

/// The change of `base...head` as text.
pub async fn patch(mirror: &Mirror, base: &Sha, head: &Sha) -> Result<String, GitError> {
    let range = format!("{base}...{head}");
    let git = mirror.git("writing the change").args([
        "diff",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--find-renames",
        &range,
        "--",
    ]);
    Ok(String::from_utf8_lossy(&git.ok().await?).into_owned())
}

/// How many commits `result` has that `given` has not.
pub async fn count_commits(mirror: &Mirror, given: &Sha, result: &Sha) -> Result<u64, GitError> {
    let what = "counting the commits";
    let output = mirror.git(what).args(["rev-list", "--count", &format!("{given}..{result}"), "--"]).ok().await?;
    let text = String::from_utf8_lossy(&output);
    text.trim().parse().map_err(|_| unexpected(what))
}

/// The newest `limit` commits that `result` has and `given` has not, newest first.
pub async fn commits(mirror: &Mirror, given: &Sha, result: &Sha, limit: u32) -> Result<Vec<Commit>, GitError> {
    let git = mirror.git("listing the commits").args([
        "log",
        "--no-show-signature",
        "--no-mailmap",
        "--format=tformat:%H%x00%an%x00%s%x00",
        &format!("--max-count={limit}"),
        &format!("{given}..{result}"),
        "--",
    ]);
    Ok(parse_commits(&git.ok().await?))
}

/// The paths that merging `result` into `base` would change: the difference from their common ancestor.
pub async fn changes(mirror: &Mirror, base: &Sha, result: &Sha) -> Result<Vec<Change>, GitError> {
    let what = "listing the changed paths";
    let range = format!("{base}...{result}");
    let git =
        mirror.git(what).args(["diff", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", &range, "--"]);
    parse_changes(&git.ok().await?).ok_or_else(|| unexpected(what))
}

/// The size of what [`changes`] lists. It is only shown, so a change whose lines are too many to be counted in time has no size: no run
/// fails of it.
pub async fn diff_stat(mirror: &Mirror, base: &Sha, result: &Sha) -> Result<DiffStat, GitError> {
    let range = format!("{base}...{result}");
    let args = ["diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", &range, "--"];
    match mirror.git("measuring the change").args(args).timeout(MEASURE).ok().await {
        Ok(output) => Ok(parse_numstat(&output)),
        Err(error @ (GitError::Slow { .. } | GitError::TooLarge { .. })) => {
            tracing::warn!("the change is not measured: {error}");
            Ok(DiffStat::default())
        }
        Err(error) => Err(error),
    }
}

/// Bytes on disk of the objects that `result` brings beyond `given`; compare with [`PACK_BYTES`].
pub async fn new_bytes(mirror: &Mirror, given: &Sha, result: &Sha) -> Result<u64, GitError> {
    let what = "measuring the new objects";
    let args = ["rev-list", "--objects", "--disk-usage", result.as_str(), &format!("^{given}")];
    let output = mirror.git(what).args(args).ok().await?;
    String::from_utf8_lossy(&output).trim().parse().map_err(|_| unexpected(what))
}

/// The changed symbolic links that lead out of the tree (T35).
pub async fn escaping_links(mirror: &Mirror, changes: &[Change]) -> Result<Vec<Refusal>, GitError> {
    let links: Vec<_> = changes.iter().filter(|change| change.is_link()).collect();
    if links.len() > LINKS {
        let rule = format!("more than {LINKS} symbolic links are changed");
        return Ok(vec![Refusal { path: links[0].path.clone(), rule }]);
    }
    let mut refused = Vec::new();
    for link in links {
        let Some(blob) = &link.blob else { continue };
        let target = mirror.git("reading a link").args(["cat-file", "blob", blob.as_str()]).ok().await?;
        let outside = target.len() > TARGET_BYTES || leads_outside(&link.path, &String::from_utf8_lossy(&target));
        if outside {
            let rule = "symbolic links may not lead out of the repository".to_owned();
            refused.push(Refusal { path: link.path.clone(), rule });
        }
    }
    Ok(refused)
}

/// What the tree of a commit has that is not fetched; `None` where the commit is not here. One process, because it stands on the
/// path from a label to a working agent.
pub async fn tree_notes(mirror: &Mirror, commit: &Sha) -> Result<Option<TreeNotes>, GitError> {
    let what = "looking for submodules and LFS";
    let git = mirror.git(what).args([
        "grep",
        "--files-with-matches",
        "--fixed-strings",
        "-z",
        "-e",
        "filter=lfs",
        "-e",
        "[submodule",
        commit.as_str(),
        "--",
        ".gitmodules",
        ":(glob)**/.gitattributes",
    ]);
    let output = git.run().await?;
    // 1: there is neither. Everything above is git's own trouble, of which a commit that is not here is one.
    if !matches!(output.code, Some(0 | 1)) {
        return if mirror.has(commit).await? { Err(classify(what, output.stderr)) } else { Ok(None) };
    }
    let paths: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
    let named = |name: &[u8]| paths.iter().any(|path| path.ends_with(name));
    Ok(Some(TreeNotes { submodules: named(b":.gitmodules"), lfs: named(b".gitattributes") }))
}

fn unexpected(what: &str) -> GitError {
    classify(what, "git's output is not as expected".to_owned())
}

fn parse_commits(output: &[u8]) -> Vec<Commit> {
    let text = String::from_utf8_lossy(output);
    let fields: Vec<_> = text.split('\0').map(|field| field.trim_start_matches('\n')).collect();
    let commit = |fields: &[&str]| {
        let [sha, author, subject] = fields else { return None };
        Some(Commit { sha: sha.parse().ok()?, author: (*author).to_owned(), subject: (*subject).to_owned() })
    };
    fields.chunks(3).filter_map(commit).collect()
}

/// Reads `:<mode> <mode> <object> <object> <status>\0<path>\0`; `None` where it is anything else, which then is not let through unread.
fn parse_changes(output: &[u8]) -> Option<Vec<Change>> {
    let text = String::from_utf8_lossy(output);
    let mut fields = text.split('\0');
    let mut changes = Vec::new();
    loop {
        let head = match fields.next() {
            None | Some("") => return Some(changes),
            Some(head) => head.strip_prefix(':')?,
        };
        let path = fields.next()?.to_owned();
        let mut head = head.split(' ');
        let (_, mode, _, blob, status) = (head.next()?, head.next()?, head.next()?, head.next()?, head.next()?);
        let mode = u32::from_str_radix(mode, 8).ok()?;
        let blob = blob.parse().ok().filter(|_| mode != 0);
        changes.push(Change { path, status: status.chars().next()?, mode, blob });
    }
}

/// Reads `<added>\t<deleted>\t<path>\0`, with `-` for binary files.
fn parse_numstat(output: &[u8]) -> DiffStat {
    let text = String::from_utf8_lossy(output);
    let mut stat = DiffStat::default();
    for line in text.split('\0').filter(|line| !line.is_empty()) {
        let mut fields = line.splitn(3, '\t');
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        stat.insertions += number();
        stat.deletions += number();
        stat.files += 1;
    }
    stat
}

#[cfg(test)]
mod tests {
    use super::super::Fetch;
    use super::super::paths::{PathPolicy, refused_paths};
    use super::super::testing::{World, git};
    use super::*;

    #[tokio::test]
    async fn a_result_is_described_by_its_objects() {
        let world = World::new().await;
        let given = world.commit("a", "1\n2\n");
        world.commit("b\nc", "x\n");
        std::fs::create_dir_all(world.work.join(".github/workflows")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", world.work.join("out")).unwrap();
        std::os::unix::fs::symlink("a", world.work.join("in")).unwrap();
        std::fs::write(world.work.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
        git(&world.work, &["mv", "a", ".github/workflows/a.yml"]);
        let result = world.commit("d", "$(id) | tail\n");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();

        assert!(is_ancestor(&mirror, &given, &result).await.unwrap());
        assert!(!is_ancestor(&mirror, &result, &given).await.unwrap());
        assert!(is_ancestor(&mirror, &"0".repeat(40).parse().unwrap(), &result).await.is_err());
        assert_eq!(count_commits(&mirror, &given, &result).await.unwrap(), 2);
        let listed = commits(&mirror, &given, &result, 10).await.unwrap();
        assert_eq!((listed.len(), &listed[0].sha, listed[0].subject.as_str()), (2, &result, "change d"));
        assert_eq!(listed[0].author, "Agent");

        let changed = changes(&mirror, &given, &result).await.unwrap();
        let paths: Vec<_> = changed.iter().map(|change| (change.status, change.path.as_str())).collect();
        assert_eq!(
            paths,
            [
                ('A', ".gitattributes"),
                ('A', ".github/workflows/a.yml"),
                ('D', "a"),
                ('A', "b\nc"),
                ('A', "d"),
                ('A', "in"),
                ('A', "out")
            ]
        );
        assert_eq!(refused_paths(&changed, &PathPolicy::default())[0].path, ".github/workflows/a.yml");
        let escaping = escaping_links(&mirror, &changed).await.unwrap();
        assert_eq!(escaping.iter().map(|refusal| refusal.path.as_str()).collect::<Vec<_>>(), ["out"]);

        let stat = diff_stat(&mirror, &given, &result).await.unwrap();
        assert_eq!((stat.files, stat.insertions, stat.deletions), (7, 7, 2));
        let bytes = new_bytes(&mirror, &given, &result).await.unwrap();
        assert!((100..PACK_BYTES).contains(&bytes), "{bytes}");
        assert_eq!(tree_notes(&mirror, &result).await.unwrap(), Some(TreeNotes { submodules: false, lfs: true }));
        assert_eq!(tree_notes(&mirror, &given).await.unwrap(), Some(TreeNotes::default()));
        assert_eq!(tree_notes(&mirror, &"1".repeat(40).parse().unwrap()).await.unwrap(), None);
    }

    #[test]
    fn output_that_is_not_understood_is_not_let_through() {
        assert_eq!(parse_changes(b""), Some(Vec::new()));
        assert_eq!(parse_changes(b"warning: x\0"), None);
        assert_eq!(parse_changes(b":100644 100644 0 0 M"), None);
    }
}

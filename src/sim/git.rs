//! The git program on the simulator's bare repositories, cut off from the machine's own git configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Branch names and the commits they point to.
pub(super) type Branches = BTreeMap<String, String>;

/// A git command that runs in `folder` with nothing of the caller's environment but `PATH`.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs `command` with `input`, whatever its exit status.
pub(super) async fn output(command: &mut Command, input: &[u8]) -> anyhow::Result<std::process::Output> {
    let mut child = command.spawn().context("cannot start git: is it installed?")?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A git that has heard enough closes its end; its exit status says whether that was right.
            let _ = stdin.write_all(input).await;
        }
    };
    let (_, output) = tokio::join!(feed, child.wait_with_output());
    output.context("git was started but not waited for")
}

/// Runs git in `folder` and gives its standard output.
///
/// # Errors
/// Also an exit status other than 0, with what git said.
pub(super) async fn run(folder: &Path, args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let output = output(command(folder).args(args), input).await?;
    if !output.status.success() {
        bail!("git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// As [`run`], the output as text without the last line's end.
pub(super) async fn text(folder: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = run(folder, args, b"").await?;
    Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
}

/// Refuses workflow files to an App without the permission, in GitHub's words.
/// <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>
const PRE_RECEIVE: &str = r#"#!/bin/sh
[ -n "$SIM_REFUSE_WORKFLOWS" ] || exit 0
while read -r old new ref; do
    case $new in *[!0]*) ;; *) continue ;; esac
    path=$(git log --format= --name-only "$new" --not --all -- .github/workflows | head -n 1)
    [ -z "$path" ] && continue
    echo "refusing to allow a GitHub App to create or update workflow \`$path\` without \`workflows\` permission" >&2
    exit 1
done
"#;

/// What every bare repository has in its configuration.
const CONFIG: &str = "\
[gc]
	auto = 0
[receive]
	autogc = false
	hideRefs = refs/pull
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
";

/// Makes a bare repository that answers as GitHub's do: any commit may be asked for, `refs/pull` is read-only.
pub(super) async fn init(folder: &Path) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot make {}", folder.display()))?;
    run(folder, &["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."], b"").await?;
    let config = folder.join("config");
    let made = tokio::fs::read_to_string(&config).await?;
    tokio::fs::write(&config, made + CONFIG).await?;
    let hook = folder.join("hooks/pre-receive");
    tokio::fs::create_dir_all(folder.join("hooks")).await?;
    tokio::fs::write(&hook, PRE_RECEIVE).await?;
    tokio::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).await?;
    Ok(())
}

/// All branches.
pub(super) async fn branches(folder: &Path) -> anyhow::Result<Branches> {
    let list = text(folder, &["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"]).await?;
    Ok(list.lines().filter_map(|line| line.split_once(' ')).map(|(sha, name)| (name.into(), sha.into())).collect())
}

/// What a commit is made of.
pub(super) struct NewCommit<'a> {
    pub branch: &'a str,
    /// The branch or commit it stands on; none for a root.
    pub parent: Option<&'a str>,
    pub author: &'a str,
    pub message: &'a str,
    pub files: &'a [(&'a str, &'a str)],
    /// Seconds since the epoch.
    pub time: i64,
}

/// Makes one commit on a branch and gives its id.
pub(super) async fn commit(folder: &Path, new: NewCommit<'_>) -> anyhow::Result<String> {
    let NewCommit { branch, parent, author, message, files, time } = new;
    let mut stream = format!(
        "commit refs/heads/{branch}\ncommitter {author} <{author}@users.noreply.localhost> {time} +0000\ndata {}\n{message}\n",
        message.len()
    );
    if let Some(parent) = parent {
        stream.push_str(&format!("from {parent}^0\n"));
    }
    for (path, content) in files {
        stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
    }
    run(folder, &["fast-import", "--quiet"], stream.as_bytes()).await.context("cannot make the commit")?;
    text(folder, &["rev-parse", &format!("refs/heads/{branch}")]).await
}

/// A commit as the shapes of the API need it.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub sha: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub author: Signature,
    pub committer: Signature,
    pub message: String,
}

/// Who made a commit, and when (RFC 3339).
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub name: String,
    pub email: String,
    pub date: String,
}

/// At most `limit` commits of a range such as `main..topic` or one commit with `limit` 1, oldest first.
pub(super) async fn log(folder: &Path, range: &str, limit: usize) -> anyhow::Result<Vec<Commit>> {
    let format = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x00";
    let limit = format!("--max-count={limit}");
    let list = text(folder, &["log", "-z", &limit, format, "--end-of-options", range, "--"]).await?;
    let fields: Vec<&str> = list.split('\0').collect();
    // With -z each record ends in one more NUL than its format: eleven fields, the last of them empty.
    let mut commits: Vec<Commit> = fields
        .chunks(11)
        .filter_map(|record| match record {
            [sha, tree, parents, an, ae, ad, cn, ce, cd, message, ..] => Some(Commit {
                sha: (*sha).to_owned(),
                tree: (*tree).to_owned(),
                parents: parents.split_whitespace().map(str::to_owned).collect(),
                author: Signature { name: (*an).to_owned(), email: (*ae).to_owned(), date: (*ad).to_owned() },
                committer: Signature { name: (*cn).to_owned(), email: (*ce).to_owned(), date: (*cd).to_owned() },
                message: message.trim_end().to_owned(),
            }),
            _ => None,
        })
        .collect();
    commits.reverse();
    Ok(commits)
}

/// The commit that a branch, tag or commit id names.
pub(super) async fn resolve(folder: &Path, name: &str) -> Option<String> {
    if name.starts_with('-') {
        return None;
    }
    for candidate in [format!("refs/heads/{name}"), format!("refs/tags/{name}"), name.to_owned()] {
        let found = text(folder, &["rev-parse", "--quiet", "--verify", &format!("{candidate}^{{commit}}")]).await;
        if let Ok(sha) = found {
            return Some(sha);
        }
    }
    None
}

/// The content of a file in a commit.
pub(super) async fn file(folder: &Path, commit: &str, path: &str) -> Option<Vec<u8>> {
    run(folder, &["cat-file", "blob", &format!("{commit}:{path}")], b"").await.ok()
}

/// How many commits and files two commits differ by, from their common ancestor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Difference {
    pub commits: u64,
    pub files: u64,
    pub additions: u64,
    pub deletions: u64,
}

/// Counts what a pull request from `head` into `base` would bring.
pub(super) async fn difference(folder: &Path, base: &str, head: &str) -> anyhow::Result<Difference> {
    let count = text(folder, &["rev-list", "--count", &format!("{base}..{head}")]).await?;
    let mut difference = Difference { commits: count.parse().unwrap_or(0), ..Difference::default() };
    for file in changed_files(folder, base, head).await? {
        difference.files += 1;
        difference.additions += file.additions;
        difference.deletions += file.deletions;
    }
    Ok(difference)
}

/// One changed file of a comparison.
pub(super) struct ChangedFile {
    pub path: String,
    pub additions: u64,
    pub deletions: u64,
}

/// The files that a pull request from `head` into `base` would change.
pub(super) async fn changed_files(folder: &Path, base: &str, head: &str) -> anyhow::Result<Vec<ChangedFile>> {
    let range = format!("{base}...{head}");
    let list = text(folder, &["diff", "--numstat", "--no-renames", "-z", &range, "--"]).await?;
    let files = list.split('\0').filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        // Binary files have "-" for both counts.
        let (added, deleted, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some(ChangedFile {
            path: path.to_owned(),
            additions: added.parse().unwrap_or(0),
            deletions: deleted.parse().unwrap_or(0),
        })
    });
    Ok(files.collect())
}

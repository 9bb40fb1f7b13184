//! One bare repository per repository on GitHub, and the four ways in which commits travel through it, but for the push to GitHub.

use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;

use super::checks::PACK_BYTES;
use super::command::Git;
use super::credentials::Credentials;
use super::error::{GitError, classify};
use crate::model::{Kept, RepositoryId, RunId, Sha};

/// The folder of the mirrors below `$TRACK_HOME`.
const ROOT: &str = "mirrors";
/// Time for a command that talks to another machine: the first fetch of a large repository takes minutes.
pub(super) const NETWORK: Duration = Duration::from_secs(15 * 60);
/// Time without a single byte from GitHub after which a transfer is given up.
const STALLED_SECONDS: u32 = 60;
/// Largest file that receiving a result may write. The bases of a thin pack are added to it, so this is more than the limit on what is new.
const RECEIVED_FILE_BYTES: u64 = 4 * PACK_BYTES;
/// Faults of old, honest history that GitHub has and that harm nobody; a repository with them must be usable.
const TOLERATED_FROM_GITHUB: &[&str] =
    &["badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode", "zeroPaddedDate"];

/// The mirrors of this bot.
#[derive(Clone, Debug)]
pub struct Mirrors {
    root: PathBuf,
    credentials: PathBuf,
    known: Arc<Mutex<HashMap<RepositoryId, Mirror>>>,
}

/// The mirror of one repository. Cloning it shares what is known of it and its lock.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(super) dir: PathBuf,
    credentials: PathBuf,
    /// Whether the repository on disk is known to be whole.
    whole: Arc<tokio::sync::OnceCell<()>>,
    /// Held while branches are fetched: of two that fetch the same ones, one would find them moved under its hands. Everything else writes
    /// references of its own or one at a time, for which git's locks suffice, and reading needs none; a fetch may take minutes.
    branches: Arc<tokio::sync::Mutex<()>>,
}

/// A repository on GitHub.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// Its address, without credentials.
    pub url: &'a str,
    /// The token for it; a local repository needs none.
    pub token: Option<&'a SecretString>,
}

/// A repository on a runner, reached without any credential of GitHub's.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// A path or an `ssh://` address.
    pub url: String,
    /// Environment of git (`GIT_SSH_COMMAND`).
    pub env: Vec<(String, String)>,
    /// What is started there instead of git's own `upload-pack` or `receive-pack`.
    pub pack_program: Option<String>,
}

/// What to fetch from GitHub.
#[derive(Clone, Copy, Debug)]
pub enum Fetch<'a> {
    /// Every branch, and forget those that are gone.
    Heads,
    /// One commit, which need not be on a branch of this repository (the head of a pull request).
    Commit(&'a Sha),
}

impl Mirrors {
    /// The mirrors below `$TRACK_HOME`. Folders in which a killed bot offered credentials are removed.
    pub fn new(home: &Path) -> anyhow::Result<Self> {
        // git runs in /, so relative paths would lead elsewhere.
        let home = std::path::absolute(home).context("TRACK_HOME")?;
        let (root, credentials) = (home.join(ROOT), home.join("credentials"));
        if credentials.exists() {
            std::fs::remove_dir_all(&credentials)
                .with_context(|| format!("{} cannot be emptied", credentials.display()))?;
        }
        for folder in [&root, &credentials] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Ok(Self { root, credentials, known: Arc::default() })
    }

    /// Where the mirror of a repository lies below `$TRACK_HOME`.
    pub fn folder(home: &Path, repository: RepositoryId) -> PathBuf {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        in_root(&home.join(ROOT), repository)
    }

    /// The mirror of a repository, made if it is not there yet. It holds no commit before the first fetch.
    pub async fn open(&self, repository: RepositoryId) -> Result<Mirror, GitError> {
        let mirror = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Mirror {
                dir: in_root(&self.root, repository),
                credentials: self.credentials.clone(),
                whole: Arc::default(),
                branches: Arc::default(),
            };
            known.entry(repository).or_insert_with(new).clone()
        };
        let make = || async {
            // Making it again changes nothing that is there, and completes what a kill left half made.
            let git = mirror.git("making the mirror").args(["init", "--quiet", "--bare", "--template="]);
            git.ok().await?;
            let dir = mirror.dir.clone();
            let removed = tokio::task::spawn_blocking(move || remove_leftovers(&dir)).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, %repository, "leftovers of a killed git stay in the mirror");
            }
            Ok(())
        };
        mirror.whole.get_or_try_init(make).await?;
        Ok(mirror)
    }

    /// Whether there is a mirror of a repository.
    pub fn has(&self, repository: RepositoryId) -> bool {
        in_root(&self.root, repository).exists()
    }

    /// Removes the mirror of a repository that nobody works with.
    pub async fn remove(&self, repository: RepositoryId) -> std::io::Result<()> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&repository);
        tokio::fs::remove_dir_all(in_root(&self.root, repository)).await
    }
}

impl Mirror {
    /// Brings commits from GitHub, received with fsck.
    pub async fn fetch(&self, remote: Remote<'_>, what: Fetch<'_>) -> Result<(), GitError> {
        let mut git = self.git("fetching from GitHub");
        for fault in TOLERATED_FROM_GITHUB {
            git = git.setting(format!("fetch.fsck.{fault}=ignore"));
        }
        let refspec = match what {
            Fetch::Heads => "+refs/heads/*:refs/remotes/origin/*".to_owned(),
            // Kept by a reference, so that it is complete and stays.
            Fetch::Commit(sha) => format!("+{sha}:refs/track/commits/{sha}"),
        };
        git = git.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]);
        let mut _held = None;
        if matches!(what, Fetch::Heads) {
            git = git.args(["--prune"]);
            _held = Some(self.branches.lock().await);
        }
        self.talk(git.args(["--", remote.url, &refspec]), remote).await?.ok().await.map(drop)
    }

    /// Whether a commit is here, so that a fetch can be left out.
    pub async fn has(&self, sha: &Sha) -> Result<bool, GitError> {
        let git = self.git("looking for a commit").args(["cat-file", "-e", &format!("{sha}^{{commit}}")]);
        Ok(git.run().await?.success)
    }

    /// Where a branch was at the last fetch.
    pub async fn branch(&self, branch: &str) -> Result<Option<Sha>, GitError> {
        self.resolve(&format!("refs/remotes/origin/{branch}")).await
    }

    /// The kept result of a run.
    pub async fn result(&self, run: RunId) -> Result<Option<Sha>, GitError> {
        self.kept(Kept::Result, run).await
    }

    /// What is kept of a run.
    pub async fn kept(&self, kept: Kept, run: RunId) -> Result<Option<Sha>, GitError> {
        self.resolve(&kept.reference(run)).await
    }

    /// Gives a commit to a runner's repository under `reference`.
    pub async fn push_given(&self, endpoint: &Endpoint, sha: &Sha, reference: &str) -> Result<(), GitError> {
        let git = self.git("giving the commit to the runner").args(["push", "--quiet", "--no-verify"]);
        let git = match &endpoint.pack_program {
            Some(program) => git.args([format!("--receive-pack={program}")]),
            None => git,
        };
        let git = git.args(["--", &endpoint.url, &format!("+{sha}:{reference}")]);
        reach(git, endpoint)?.ok().await.map(drop)
    }

    /// Brings what an agent made (`from` names it in the runner's repository) and keeps it as the result of the run, synced to disk.
    ///
    /// # Errors
    /// [`GitError::Broken`] where fsck refuses it, [`GitError::TooLarge`] where it is far over the limit; the exact limit is [`super::checks::new_bytes`].
    pub async fn fetch_result(&self, endpoint: &Endpoint, from: &str, run: RunId) -> Result<Sha, GitError> {
        self.keep(endpoint, from, (Kept::Result, run)).await
    }

    /// The same for whatever else is kept of a run.
    pub async fn keep(&self, endpoint: &Endpoint, from: &str, (kept, run): (Kept, RunId)) -> Result<Sha, GitError> {
        let what = "bringing the result from the runner";
        let kept = kept.reference(run);
        // With loose objects synced too: the runner may forget the result once it is here (P3).
        let git =
            self.git(what).setting("core.fsync=committed,loose-object".to_owned()).file_bytes(RECEIVED_FILE_BYTES);
        let git = git.args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]);
        let git = match &endpoint.pack_program {
            Some(program) => git.args([format!("--upload-pack={program}")]),
            None => git,
        };
        let git = git.args(["--", &endpoint.url, &format!("+{from}:{kept}")]);
        reach(git, endpoint)?.ok().await?;
        let missing = || classify(what, format!("{kept} is no commit"));
        self.resolve(&kept).await?.ok_or_else(missing)
    }

    /// A command in this mirror.
    pub(super) fn git<'a>(&self, what: &'a str) -> Git<'a> {
        Git::new(what, &self.dir)
    }

    /// Prepares a command that talks to GitHub; the token is on offer until the returned [`Talk`] has ended.
    pub(super) async fn talk<'a>(&self, git: Git<'a>, remote: Remote<'a>) -> Result<Talk<'a>, GitError> {
        // A connection on which nothing comes any more, not even GitHub's signs of life, is given up long before the time is over.
        let git =
            git.setting("http.lowSpeedLimit=1".to_owned()).setting(format!("http.lowSpeedTime={STALLED_SECONDS}"));
        let git = git.setting(allow(remote.url)?).network(NETWORK).secret(remote.token);
        let Some(token) = remote.token else { return Ok(Talk { git, credentials: None }) };
        let credentials = Credentials::offer(&self.credentials, token)
            .map_err(|error| classify("offering the token to git", format!("{error:#}")))?;
        Ok(Talk { git: credentials.apply(git, remote.url), credentials: Some(credentials) })
    }

    /// Notes where a branch is now, after a push of our own.
    pub(super) async fn note_branch(&self, branch: &str, sha: &Sha) -> Result<(), GitError> {
        let reference = format!("refs/remotes/origin/{branch}");
        self.git("noting the branch").args(["update-ref", &reference, sha.as_str()]).ok().await.map(drop)
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Sha>, GitError> {
        let git = self.git("resolving a reference");
        let git =
            git.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{reference}^{{commit}}")]);
        let output = git.run().await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|_| output.success))
    }
}

/// A command together with the token that it may ask for.
pub(super) struct Talk<'a> {
    git: Git<'a>,
    credentials: Option<Credentials>,
}

impl Talk<'_> {
    pub async fn ok(self) -> Result<Vec<u8>, GitError> {
        let Self { git, credentials } = self;
        let result = git.ok().await;
        drop(credentials);
        result
    }

    pub async fn run(self) -> Result<super::command::Output, GitError> {
        let Self { git, credentials } = self;
        let result = git.run().await;
        drop(credentials);
        result
    }
}

fn in_root(root: &Path, repository: RepositoryId) -> PathBuf {
    root.join(format!("{repository}.git"))
}

/// Prepares a command that talks to a runner. It starts ssh or a script, which want to know whose home they are in.
fn reach<'a>(git: Git<'a>, endpoint: &Endpoint) -> Result<Git<'a>, GitError> {
    let mut git = git.setting(allow(&endpoint.url)?).network(NETWORK);
    for name in ["HOME", "USER", "LOGNAME"] {
        git = git.pass(name);
    }
    for (name, value) in &endpoint.env {
        git = git.env(name, value);
    }
    Ok(git)
}

/// Allows the one transport that an address needs; `ext::` and its like are never among them (T33).
fn allow(url: &str) -> Result<String, GitError> {
    let transport = match url.split_once("://") {
        Some((scheme @ ("https" | "http" | "ssh" | "file"), _)) => scheme,
        None if url.starts_with('/') => "file",
        _ => {
            return Err(classify(
                "reading an address",
                format!("{url:?} is neither an http(s) or ssh address nor an absolute path"),
            ));
        }
    };
    Ok(format!("protocol.{transport}.allow=always"))
}

/// Removes what a git that was killed left: locks would stop every later command, half packs fill the disk. Nothing else works in the mirror at this time.
fn remove_leftovers(dir: &Path) -> std::io::Result<()> {
    let mut folders = vec![dir.join("refs")];
    let mut leftovers = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().ends_with(".lock") {
                leftovers.push(entry.path());
            }
        }
    }
    let flat = |folder: &Path, is: fn(&str) -> bool| -> std::io::Result<Vec<PathBuf>> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| is(&name.to_string_lossy()));
        Ok(paths.into_iter().filter(named).collect())
    };
    leftovers.extend(flat(dir, |name| name.ends_with(".lock"))?);
    leftovers.extend(flat(&dir.join("objects/pack"), |name| name.starts_with("tmp_"))?);
    for path in leftovers {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, git};
    use super::*;
    use axum::http::{HeaderMap, StatusCode};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use std::io::{Read as _, Write as _};
    use std::os::unix::process::CommandExt as _;
    use std::process::Stdio;

    #[tokio::test]
    async fn branches_come_and_go_with_github() {
        let world = World::new().await;
        let first = world.commit("a", "1");
        world.publish();
        git(&world.origin, &["branch", "old", "main"]);
        let mirror = world.mirror().await;
        assert!(!mirror.has(&first).await.unwrap());
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        assert!(mirror.has(&first).await.unwrap());
        assert_eq!(mirror.branch("old").await.unwrap(), Some(first.clone()));

        git(&world.origin, &["branch", "-D", "old"]);
        git(&world.work, &["commit", "--quiet", "--amend", "--message", "rewritten"]);
        world.publish();
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        assert_eq!(mirror.branch("old").await.unwrap(), None);
        assert_ne!(mirror.branch("main").await.unwrap(), Some(first));
    }

    #[tokio::test]
    async fn a_commit_on_no_branch_is_fetched_by_its_id() {
        let world = World::new().await;
        let head = world.commit("a", "1");
        let url = world.origin.to_str().unwrap().to_owned();
        git(&world.work, &["push", "--quiet", &url, "HEAD:refs/pull/1/head"]);
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Commit(&head)).await.unwrap();
        assert!(mirror.has(&head).await.unwrap());
        let gone: Sha = "1".repeat(40).parse().unwrap();
        let error = mirror.fetch(world.remote(), Fetch::Commit(&gone)).await.unwrap_err();
        assert!(matches!(error, GitError::NoCommit { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn commits_go_to_a_runner_and_come_back_as_the_result() {
        let world = World::new().await;
        let given = world.commit("a", "1");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();

        let bare = world.dir.path().join("runner.git");
        git(world.dir.path(), &["init", "--quiet", "--bare", bare.to_str().unwrap()]);
        let program = |verb: &str| Some(format!("env SEEN=$TRACK_TEST git {verb}"));
        let env = vec![("TRACK_TEST".to_owned(), "1".to_owned())];
        let url = bare.to_str().unwrap().to_owned();
        let to = Endpoint { url: url.clone(), env: env.clone(), pack_program: program("receive-pack") };
        mirror.push_given(&to, &given, "refs/heads/given").await.unwrap();
        assert_eq!(git(&bare, &["rev-parse", "given"]), given.as_str());

        let result = world.commit("a", "2");
        git(&world.work, &["push", "--quiet", &url, "HEAD:refs/heads/result"]);
        let from = Endpoint { url, env, pack_program: program("upload-pack") };
        let run = RunId::new();
        assert_eq!(mirror.fetch_result(&from, "refs/heads/result", run).await.unwrap(), result);
        assert_eq!(mirror.result(run).await.unwrap(), Some(result));
        assert_eq!(mirror.result(RunId::new()).await.unwrap(), None);
    }

    // T32, T33
    #[tokio::test]
    async fn a_result_with_unsound_objects_is_not_taken() {
        let world = World::new().await;
        world.commit("a", "1");
        let blob = git(&world.work, &["hash-object", "-w", "a"]);
        let tree = world.dir.path().join("tree");
        std::fs::write(&tree, format!("100644 blob {blob}\t.GIT\n")).unwrap();
        let made = std::process::Command::new("git")
            .args(["mktree"])
            .current_dir(&world.work)
            .stdin(std::fs::File::open(&tree).unwrap())
            .output()
            .unwrap();
        let tree = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let commit = git(&world.work, &["commit-tree", &tree, "-m", "hostile"]);
        git(&world.work, &["update-ref", "refs/heads/hostile", &commit]);
        let endpoint = Endpoint { url: world.work.to_str().unwrap().to_owned(), ..Endpoint::default() };
        let mirror = world.mirror().await;
        let run = RunId::new();
        let error = mirror.fetch_result(&endpoint, "refs/heads/hostile", run).await.unwrap_err();
        assert!(matches!(error, GitError::Broken { .. }), "{error:?}");
        assert_eq!(mirror.result(run).await.unwrap(), None);
    }

    // T33
    #[tokio::test]
    async fn addresses_that_run_programs_are_refused() {
        let world = World::new().await;
        let mirror = world.mirror().await;
        let canary = world.dir.path().join("canary");
        for url in [
            format!("ext::sh -c touch% {}", canary.display()),
            "-uploadpack".to_owned(),
            "host:path".to_owned(),
            "git://h/x".to_owned(),
        ] {
            assert!(mirror.fetch(Remote { url: &url, token: None }, Fetch::Heads).await.is_err(), "{url}");
        }
        assert!(!canary.exists());
    }

    #[tokio::test]
    async fn what_a_killed_git_left_does_not_stop_the_next() {
        let world = World::new().await;
        world.commit("a", "1");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let lock = mirror.dir.join("refs/remotes/origin/main.lock");
        std::fs::write(&lock, "").unwrap();
        world.commit("a", "2");
        world.publish();
        assert!(mirror.fetch(world.remote(), Fetch::Heads).await.is_err());
        let after_restart = Mirrors::new(&world.dir.path().join("home")).unwrap().open(RepositoryId(5)).await.unwrap();
        after_restart.fetch(world.remote(), Fetch::Heads).await.unwrap();
    }

    #[tokio::test]
    async fn a_fetch_that_stalls_holds_up_nothing_but_other_fetches() {
        let world = World::new().await;
        let head = world.commit("a", "1");
        world.publish();
        let mirrors = Mirrors::new(&world.dir.path().join("home")).unwrap();
        let mirror = mirrors.open(RepositoryId(5)).await.unwrap();
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        // A server that takes the request and never answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/octo/hello.git", listener.local_addr().unwrap());
        let stalled = mirror.clone();
        let fetch = tokio::spawn(async move { stalled.fetch(Remote { url: &url, token: None }, Fetch::Heads).await });
        let _connection = listener.accept().await.unwrap();

        let work = async {
            let mirror = mirrors.open(RepositoryId(5)).await.unwrap();
            assert!(super::super::checks::is_ancestor(&mirror, &head, &head).await.unwrap());
            mirror.note_branch("track/x", &head).await.unwrap();
            let endpoint = Endpoint { url: world.work.to_str().unwrap().to_owned(), ..Endpoint::default() };
            mirror.fetch_result(&endpoint, "HEAD", RunId::new()).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(20), work).await.expect("the others go on");
        assert!(!fetch.is_finished());
        fetch.abort();
    }

    /// Where a token can be seen while git has it: command lines, environments, and files below a folder.
    fn sightings(token: &str, folder: &Path) -> Vec<String> {
        let mut seen = Vec::new();
        let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let path = process.path().join(file);
                if std::fs::read(&path).is_ok_and(|bytes| holds(&bytes)) {
                    seen.push(path.display().to_string());
                }
            }
        }
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && std::fs::read(entry.path()).is_ok_and(|bytes| holds(&bytes)) {
                    seen.push(entry.path().display().to_string());
                }
            }
        }
        seen
    }

    // T39
    #[tokio::test]
    async fn receiving_stops_at_the_size_limit() {
        let world = World::new().await;
        // Digits of a linear congruence, which zlib cannot shrink below the limit.
        let noise: String = (0..60_000u64).map(|n| n.wrapping_mul(6_364_136_223_846_793_005).to_string()).collect();
        world.commit("noise", &noise);
        world.publish();
        let mirror = world.mirror().await;
        let git = mirror.git("receiving").setting(allow(world.remote().url).unwrap()).file_bytes(100_000);
        let error = git.args(["fetch", "--quiet", world.remote().url, "main"]).ok().await.unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
    }

    #[test]
    fn a_token_in_an_argument_environment_or_file_would_be_seen() {
        let dir = tempfile::tempdir().unwrap();
        let token = RunId::new().to_string();
        std::fs::write(dir.path().join("file"), &token).unwrap();
        let mut cat = std::process::Command::new("cat");
        cat.arg0(&token).env("X", &token).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cat.spawn().unwrap();
        // `spawn` may return before the kernel has set the new arguments: a program that answers has its own.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let seen = sightings(&token, dir.path());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    // T30
    #[tokio::test]
    async fn the_token_reaches_the_server_and_is_seen_nowhere_else() {
        const TOKEN: &str = "ghs_canary.not-in-argv-env-or-disk";
        let world = World::new().await;
        let home = world.dir.path().join("home");
        let seen: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
        let (shared, folder) = (seen.clone(), home.clone());
        let handler = move |headers: HeaderMap| {
            let (shared, folder) = (shared.clone(), folder.clone());
            async move {
                let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("x-access-token:{TOKEN}")));
                match headers.get("authorization") {
                    Some(value) if value.as_bytes() == expected.as_bytes() => {
                        shared.lock().unwrap().push(sightings(TOKEN, &folder));
                        (StatusCode::NOT_FOUND, [("www-authenticate", "")])
                    }
                    _ => (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"GitHub\"")]),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/octo/hello.git", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap() });

        let mirror = world.mirror().await;
        let token = SecretString::from(TOKEN.to_owned());
        let error = mirror.fetch(Remote { url: &url, token: Some(&token) }, Fetch::Heads).await.unwrap_err();
        assert!(matches!(error, GitError::NoRepository { .. }), "{error:?}");
        assert_eq!(*seen.lock().unwrap(), [Vec::<String>::new()]);
        assert_eq!(sightings(TOKEN, &home), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(home.join("credentials")).unwrap().count(), 0);

        let wrong = SecretString::from("ghs_other".to_owned());
        let error = mirror.fetch(Remote { url: &url, token: Some(&wrong) }, Fetch::Heads).await.unwrap_err();
        assert!(matches!(error, GitError::Denied { .. }), "{error:?}");
        assert!(!error.to_string().contains("ghs_other"));
    }
}

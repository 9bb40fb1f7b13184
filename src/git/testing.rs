//! Real repositories in a folder for the tests of this module: an origin that stands for GitHub, and a clone in which somebody works.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Mirror, Mirrors, Remote};
use crate::model::{RepositoryId, Sha};

/// Runs git and gives what it prints.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Agent", "-c", "user.email=agent@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The folder and the repositories in it.
pub struct World {
    pub dir: tempfile::TempDir,
    pub origin: PathBuf,
    pub work: PathBuf,
    pub mirrors: Mirrors,
    url: String,
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (origin, work) = (dir.path().join("origin.git"), dir.path().join("work"));
        git(dir.path(), &["init", "--quiet", "--bare", origin.to_str().unwrap()]);
        git(dir.path(), &["init", "--quiet", work.to_str().unwrap()]);
        let mirrors = Mirrors::new(&dir.path().join("home")).unwrap();
        let url = origin.to_str().unwrap().to_owned();
        Self { dir, origin, work, mirrors, url }
    }

    /// Writes a file and commits everything.
    pub fn commit(&self, path: &str, content: &str) -> Sha {
        std::fs::write(self.work.join(path), content).unwrap();
        git(&self.work, &["add", "--all"]);
        git(&self.work, &["commit", "--quiet", "--message", &format!("change {path}")]);
        git(&self.work, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    /// Brings the work to the origin's main branch.
    pub fn publish(&self) {
        git(&self.work, &["push", "--quiet", "--force", &self.url, "HEAD:refs/heads/main"]);
    }

    pub async fn mirror(&self) -> Mirror {
        self.mirrors.open(RepositoryId(5)).await.unwrap()
    }

    pub fn remote(&self) -> Remote<'_> {
        Remote { url: &self.url, token: None }
    }
}

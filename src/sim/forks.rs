//! Forks: other people's copies of a repository, from which they open pull requests.

use anyhow::Context as _;

use crate::model::Number;

use super::changes::{NewPull, find};
use super::world::Repository;
use super::{Sim, git, pushes};

impl Sim {
    /// Opens a pull request into the default branch with one commit in `who`'s fork, which is made as `who/<name>` if it
    /// is not there and on which the App is not installed; gives its number. The branch is `patch-1`, `patch-2`, ….
    ///
    /// # Errors
    /// An unknown repository or person, and what git says.
    pub async fn fork_pull(
        &self,
        repository: &str,
        who: &str,
        files: &[(&str, &str)],
        (title, body): (&str, &str),
    ) -> anyhow::Result<Number> {
        let _one_at_a_time = self.inner.pushes.lock().await;
        let fork = self.fork(repository, who).await?;
        let (folder, fork_folder, base, branch, time) = {
            let world = self.inner.world();
            let (of, fork) = (find(&world, repository)?, world.repositories.get(&fork).context("the fork is gone")?);
            let branch = format!("patch-{}", fork.branches.len());
            (of.folder.clone(), fork.folder.clone(), of.default_branch.clone(), branch, world.now() / 1000)
        };
        let parent = format!("refs/heads/{base}");
        let new = git::NewCommit { branch: &branch, parent: Some(&parent), author: who, message: title, files, time };
        let head_sha = git::commit(&fork_folder, new).await?;
        pushes::bring(&fork_folder, &folder, &head_sha).await?;
        let branches = git::branches(&fork_folder).await?;
        let base_sha = git::text(&folder, &["rev-parse", &parent]).await?;
        let difference = git::difference(&folder, &base_sha, &head_sha).await?;
        let number = self.act(repository, who, |world, id, actor| {
            if let Some(fork) = world.repositories.get_mut(&fork) {
                fork.branches = branches;
            }
            let new = NewPull {
                title,
                body,
                head_repository: fork,
                head_ref: &branch,
                head_sha: &head_sha,
                base_ref: &base,
                base_sha: &base_sha,
                draft: false,
                difference,
            };
            Ok(world.open_pull(id, actor, new)?)
        })?;
        pushes::set_pull_ref(&folder, number, &head_sha).await?;
        Ok(Number(number))
    }

    /// The id of somebody's fork, which is made if it is not there.
    async fn fork(&self, repository: &str, who: &str) -> anyhow::Result<i64> {
        let (of, owner) = {
            let world = self.inner.world();
            let of = find(&world, repository)?.clone();
            let owner = world.account_of(who).with_context(|| format!("the simulator has no account {who}"))?.id;
            let fork = world.repositories.values().find(|fork| fork.fork_of == Some(of.id) && fork.owner == owner);
            if let Some(fork) = fork {
                return Ok(fork.id);
            }
            (of, owner)
        };
        let full_name = format!("{who}/{}", of.name);
        let folder = self.inner.folder.join(who).join(format!("{}.git", of.name));
        git::init(&folder).await?;
        let source = of.folder.to_string_lossy();
        git::run(&folder, &["fetch", "--quiet", &source, "+refs/heads/*:refs/heads/*"], b"").await?;
        let branches = git::branches(&folder).await?;
        let mut world = self.inner.world();
        let (id, created_at) = (world.next_id(), world.now());
        let fork = Repository {
            id,
            owner,
            full_name,
            earlier_names: Vec::new(),
            folder,
            created_at,
            roles: Default::default(),
            branches,
            issues: Default::default(),
            gone: Default::default(),
            checks: Vec::new(),
            fork_of: Some(of.id),
            ..of
        };
        world.repositories.insert(id, fork);
        Ok(id)
    }
}

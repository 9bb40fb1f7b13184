//! What people do: the world is built in silence, then people act, and GitHub tells the App by webhooks.

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use crate::model::{AccountId, Number, RepositoryId};

use super::changes::{NewIssue, NewPull, find};
use super::world::{Actor, Gone, Issue, Pull, Repository, World};
use super::{Sim, git, pushes};

/// What somebody may do in a repository, in GitHub's words, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing, as a stranger in a private repository.
    None,
    /// Reads; what everybody has who was given nothing else.
    Read,
    /// Labels and closes.
    Triage,
    /// Pushes.
    Write,
    /// Manages without the dangerous parts.
    Maintain,
    /// Everything.
    Admin,
}

impl Role {
    /// The `role_name` of the permission endpoint.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The older `permission` of that endpoint, which knows four words only.
    /// <https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user>
    pub fn permission(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}

/// World building: nothing here sends a webhook, except a push.
impl Sim {
    /// A person of that login; the one there is if there is one.
    pub fn add_user(&self, login: &str) -> AccountId {
        AccountId(self.inner.world().add_account(login, "User"))
    }

    /// A bot of that login, e.g. `dependabot[bot]`.
    pub fn add_bot(&self, login: &str) -> AccountId {
        AccountId(self.inner.world().add_account(login, "Bot"))
    }

    /// An organization of that login, to own repositories.
    pub fn add_organization(&self, login: &str) -> AccountId {
        AccountId(self.inner.world().add_account(login, "Organization"))
    }

    /// A repository `owner/name` with one commit on `main`, or an empty one without files; the App is installed on it.
    ///
    /// # Errors
    /// A name that GitHub would not have, one that is taken, and what git says.
    pub async fn add_repository(&self, full_name: &str, files: &[(&str, &str)]) -> anyhow::Result<RepositoryId> {
        let (owner, name) = full_name.split_once('/').context("a repository is named owner/name")?;
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        ensure!(plain(owner) && plain(name), "{full_name} is no name of a repository");
        ensure!(self.inner.world().repository(full_name).is_none(), "there is a repository {full_name} already");
        let folder = self.inner.folder.join(owner).join(format!("{name}.git"));
        git::init(&folder).await?;
        if !files.is_empty() {
            let time = self.inner.world().now() / 1000;
            let message = "Start the project";
            let new = git::NewCommit { branch: "main", parent: None, author: owner, message, files, time };
            git::commit(&folder, new).await?;
        }
        let branches = git::branches(&folder).await?;

        let mut world = self.inner.world();
        let now = world.now();
        let account = world.add_account(owner, "User");
        world.install(account);
        let id = world.next_id();
        let repository = Repository {
            id,
            owner: account,
            name: name.to_owned(),
            full_name: format!("{}/{name}", world.login(account)),
            earlier_names: Vec::new(),
            folder,
            default_branch: "main".to_owned(),
            archived: false,
            public: false,
            issues_off: false,
            created_at: now,
            roles: Default::default(),
            labels: Default::default(),
            branches,
            issues: Default::default(),
            gone: Default::default(),
            checks: Vec::new(),
            fork_of: None,
        };
        world.repositories.insert(id, repository);
        Ok(RepositoryId(id))
    }

    /// Gives somebody a role; the account is made if it is not there.
    ///
    /// # Errors
    /// An unknown repository.
    pub fn set_role(&self, repository: &str, login: &str, role: Role) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        let account = world.add_account(login, "User");
        if let Some(repository) = world.repositories.get_mut(&id) {
            repository.roles.insert(account, role);
        }
        Ok(())
    }

    /// The owner pushes one commit with one file to a branch, as [`Sim::push_to`].
    ///
    /// # Errors
    /// An unknown repository, and what git says.
    pub async fn commit_file(
        &self,
        repository: &str,
        branch: &str,
        path: &str,
        content: &str,
    ) -> anyhow::Result<String> {
        let owner = {
            let world = self.inner.world();
            world.login(find(&world, repository)?.owner).to_owned()
        };
        self.push_to(repository, &owner, branch, path, content).await
    }
}

/// People act: the state changes, and the webhooks that GitHub sends for it are queued in order.
/// Every function fails for a repository, person, issue or comment that the simulator does not have.
impl Sim {
    /// Opens an issue with labels: `issues.opened`, then `issues.labeled` for each label.
    ///
    /// # Errors
    /// See above.
    pub async fn open_issue(
        &self,
        repository: &str,
        author: &str,
        (title, body): (&str, &str),
        labels: &[&str],
    ) -> anyhow::Result<Number> {
        self.act(repository, author, |world, id, actor| {
            Ok(Number(world.open_issue(id, actor, NewIssue { title, body, labels })?))
        })
    }

    /// Puts a label on an issue or pull request.
    ///
    /// # Errors
    /// See above.
    pub async fn label(&self, repository: &str, actor: &str, number: Number, label: &str) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.label(id, actor, number.0, label)?))
    }

    /// Takes a label off.
    ///
    /// # Errors
    /// See above; also a label that is not on it.
    pub async fn unlabel(&self, repository: &str, actor: &str, number: Number, label: &str) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.unlabel(id, actor, number.0, label)?))
    }

    /// Comments on an issue or pull request; gives the comment's id.
    ///
    /// # Errors
    /// See above.
    pub async fn comment(&self, repository: &str, author: &str, number: Number, body: &str) -> anyhow::Result<i64> {
        self.act(repository, author, |world, id, actor| Ok(world.comment(id, actor, number.0, body)?))
    }

    /// Changes what a comment says.
    ///
    /// # Errors
    /// See above.
    pub async fn edit_comment(&self, repository: &str, actor: &str, comment: i64, body: &str) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.edit_comment(id, actor, comment, body)?))
    }

    /// Takes a comment away.
    ///
    /// # Errors
    /// See above.
    pub async fn delete_comment(&self, repository: &str, actor: &str, comment: i64) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.delete_comment(id, actor, comment)?))
    }

    /// Changes title and body of an issue or pull request.
    ///
    /// # Errors
    /// See above.
    pub async fn edit_issue(
        &self,
        repository: &str,
        actor: &str,
        number: Number,
        (title, body): (&str, &str),
    ) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| {
            Ok(world.edit_issue(id, actor, number.0, (Some(title), Some(body)))?)
        })
    }

    /// Closes an issue or, without merging it, a pull request.
    ///
    /// # Errors
    /// See above.
    pub async fn close(&self, repository: &str, actor: &str, number: Number) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.set_open(id, actor, number.0, false)?))
    }

    /// Opens an issue or pull request again.
    ///
    /// # Errors
    /// See above.
    pub async fn reopen(&self, repository: &str, actor: &str, number: Number) -> anyhow::Result<()> {
        self.act(repository, actor, |world, id, actor| Ok(world.set_open(id, actor, number.0, true)?))
    }

    /// Pushes one commit with one file to a branch, which is made from the default branch if it is not there; gives the
    /// commit. Pull requests from the branch move, and a `push` webhook goes out.
    ///
    /// # Errors
    /// See above, and what git says.
    pub async fn push_to(
        &self,
        repository: &str,
        who: &str,
        branch: &str,
        path: &str,
        content: &str,
    ) -> anyhow::Result<String> {
        let _one_at_a_time = self.inner.pushes.lock().await;
        let (id, actor, folder, parent, author, time) = self.act(repository, who, |world, id, actor| {
            let of = find(world, repository)?;
            let parent = [branch, &of.default_branch].into_iter().find(|name| of.branches.contains_key(*name));
            let parent = parent.map(|name| format!("refs/heads/{name}"));
            let author = world.login(actor.account).to_owned();
            Ok((id, actor, of.folder.clone(), parent, author, world.now() / 1000))
        })?;
        let message = format!("Update {path}");
        let files = [(path, content)];
        let new = git::NewCommit {
            branch,
            parent: parent.as_deref(),
            author: &author,
            message: &message,
            files: &files,
            time,
        };
        let sha = git::commit(&folder, new).await?;
        pushes::noticed(&self.inner, id, actor).await?;
        Ok(sha)
    }

    /// Lets a branch point to another commit, whatever it pointed to.
    ///
    /// # Errors
    /// See above; also a commit that is not there.
    pub async fn force_push(&self, repository: &str, who: &str, branch: &str, to: &str) -> anyhow::Result<()> {
        self.update_ref(repository, who, &["update-ref", &format!("refs/heads/{branch}"), to]).await
    }

    /// Takes a branch away; pull requests from it close.
    ///
    /// # Errors
    /// See above.
    pub async fn delete_branch(&self, repository: &str, who: &str, branch: &str) -> anyhow::Result<()> {
        self.update_ref(repository, who, &["update-ref", "-d", &format!("refs/heads/{branch}")]).await
    }

    async fn update_ref(&self, repository: &str, who: &str, command: &[&str]) -> anyhow::Result<()> {
        let _one_at_a_time = self.inner.pushes.lock().await;
        let (id, actor, folder) =
            self.act(repository, who, |world, id, actor| Ok((id, actor, find(world, repository)?.folder.clone())))?;
        git::run(&folder, command, b"").await?;
        pushes::noticed(&self.inner, id, actor).await
    }

    /// Takes a pull request back to a draft, or says that it is ready for review.
    ///
    /// # Errors
    /// See above.
    pub async fn set_draft(&self, repository: &str, who: &str, pull: Number, draft: bool) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| {
            let issue = world.issue_mut(id, pull.0).and_then(|issue| issue.pull.as_mut());
            issue.context("there is no such pull request")?.draft = draft;
            let action = if draft { "converted_to_draft" } else { "ready_for_review" };
            Ok(world.issue_event(id, pull.0, actor, (action, json!({})))?)
        })
    }

    /// Leads a pull request to another branch: `pull_request.edited` with `changes.base`.
    ///
    /// # Errors
    /// See above; also a branch that is not there.
    pub async fn retarget(&self, repository: &str, who: &str, pull: Number, base: &str) -> anyhow::Result<()> {
        let (folder, head, base_sha) = self.act(repository, who, |world, _, _| {
            let of = find(world, repository)?;
            let head = of.issues.get(&pull.0).and_then(|issue| issue.pull.as_ref()).map(|pull| pull.head_sha.clone());
            let base_sha = of.branches.get(base).with_context(|| format!("there is no branch {base}"))?.clone();
            Ok((of.folder.clone(), head.context("there is no such pull request")?, base_sha))
        })?;
        let difference = git::difference(&folder, &base_sha, &head).await?;
        self.act(repository, who, |world, id, actor| {
            let issue = world.issue_mut(id, pull.0).and_then(|issue| issue.pull.as_mut());
            let of = issue.context("there is no such pull request")?;
            let from_ref = std::mem::replace(&mut of.base_ref, base.to_owned());
            let from_sha = std::mem::replace(&mut of.base_sha, base_sha);
            of.difference = difference;
            let base = json!({ "ref": { "from": from_ref }, "sha": { "from": from_sha } });
            Ok(world.issue_event(id, pull.0, actor, ("edited", json!({ "changes": { "base": base } })))?)
        })
    }

    /// Takes an issue away for good.
    ///
    /// # Errors
    /// See above.
    pub async fn delete_issue(&self, repository: &str, who: &str, number: Number) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| {
            world.issue_event(id, number.0, actor, ("deleted", json!({})))?;
            if let Some(of) = world.repositories.get_mut(&id) {
                of.issues.remove(&number.0);
                of.gone.insert(number.0, Gone::Deleted);
            }
            Ok(())
        })
    }

    /// Moves an issue to another repository of the same owner; gives its number there. `issues.transferred` here, then
    /// `issues.opened` there.
    ///
    /// # Errors
    /// See above.
    pub async fn transfer_issue(
        &self,
        repository: &str,
        who: &str,
        number: Number,
        to: &str,
    ) -> anyhow::Result<Number> {
        self.act(repository, who, |world, id, actor| {
            Ok(Number(world.transfer(id, actor, number.0, find(world, to)?.id)?))
        })
    }

    /// Lets nobody comment on an issue or pull request any more but people with write access.
    ///
    /// # Errors
    /// See above.
    pub async fn lock_issue(&self, repository: &str, who: &str, number: Number) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| {
            world.issue_mut(id, number.0).context("there is no such issue")?.locked = true;
            world.record(id, number.0, actor, ("locked", None))?;
            Ok(world.issue_event(id, number.0, actor, ("locked", json!({})))?)
        })
    }

    /// Opens a pull request from a branch of the same repository.
    ///
    /// # Errors
    /// See above; also a branch that is not there.
    pub async fn open_pull(
        &self,
        repository: &str,
        author: &str,
        (head, base): (&str, &str),
        (title, body): (&str, &str),
    ) -> anyhow::Result<Number> {
        let (folder, head_sha, base_sha) = {
            let world = self.inner.world();
            let of = find(&world, repository)?;
            let tip = |name: &str| of.branches.get(name).cloned().with_context(|| format!("there is no branch {name}"));
            (of.folder.clone(), tip(head)?, tip(base)?)
        };
        let difference = git::difference(&folder, &base_sha, &head_sha).await?;
        let number = self.act(repository, author, |world, id, actor| {
            let new = NewPull {
                title,
                body,
                head_repository: id,
                head_ref: head,
                head_sha: &head_sha,
                base_ref: base,
                base_sha: &base_sha,
                draft: false,
                difference,
            };
            Ok(world.open_pull(id, actor, new)?)
        })?;
        pushes::set_pull_ref(&folder, number, &head_sha).await?;
        Ok(Number(number))
    }

    /// Merges a pull request with a merge commit, and closes the issues that its body says it closes.
    ///
    /// # Errors
    /// See above; also one that is closed or conflicts.
    pub async fn merge_pull(&self, repository: &str, actor: &str, number: Number) -> anyhow::Result<()> {
        let _one_at_a_time = self.inner.pushes.lock().await;
        let (folder, pull, title, body, time) = {
            let world = self.inner.world();
            let of = find(&world, repository)?;
            let issue = of.issues.get(&number.0).context("there is no such pull request")?;
            let Some(pull) = issue.pull.clone().filter(|_| issue.open) else {
                bail!("{number} is no open pull request")
            };
            (of.folder.clone(), pull, issue.title.clone(), issue.body.clone(), world.now() / 1000)
        };
        let merge = merge_commit(&folder, &pull, &format!("Merge pull request #{number}\n\n{title}"), time).await?;
        let (id, who) = self.act(repository, actor, |world, id, actor| {
            let now = world.now();
            let of = world.issue_mut(id, number.0).context("there is no such pull request")?;
            if let Issue { pull: Some(pull), .. } = of {
                pull.merged_at = Some(now);
                pull.merge_commit = Some(merge);
            }
            world.set_open(id, actor, number.0, false)?;
            Ok((id, actor))
        })?;
        pushes::noticed(&self.inner, id, who).await?;
        let mut world = self.inner.world();
        for closed in closed_by(&body) {
            if world.issue(id, closed).is_some() {
                world.set_open(id, who, closed, false)?;
            }
        }
        Ok(())
    }

    /// Does something to the world as somebody in a repository.
    pub(super) fn act<T>(
        &self,
        repository: &str,
        login: &str,
        what: impl FnOnce(&mut World, i64, Actor) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        let account = world.account_of(login).with_context(|| format!("the simulator has no account {login}"))?.id;
        what(&mut world, id, Actor { account, app: false })
    }
}

/// Merges head into base in the bare repository; gives the merge commit.
async fn merge_commit(folder: &std::path::Path, pull: &Pull, message: &str, time: i64) -> anyhow::Result<String> {
    let base = git::text(folder, &["rev-parse", &format!("refs/heads/{}", pull.base_ref)]).await?;
    let tree = git::text(folder, &["merge-tree", "--write-tree", &base, &pull.head_sha]).await;
    let tree = tree.context("the pull request conflicts with its base")?;
    let date = format!("{time} +0000");
    let mut command = git::command(folder);
    command.args(["commit-tree", &tree, "-p", &base, "-p", &pull.head_sha, "-m", message]);
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "GitHub")
            .env(format!("GIT_{who}_EMAIL"), "noreply@localhost")
            .env(format!("GIT_{who}_DATE"), &date);
    }
    let output = git::output(&mut command, b"").await?;
    ensure!(output.status.success(), "cannot make the merge commit");
    let merge = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    git::run(folder, &["update-ref", &format!("refs/heads/{}", pull.base_ref), &merge, &base], b"").await?;
    Ok(merge)
}

/// The numbers behind `closes #`, `fixes #` and `resolves #`.
/// <https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue>
fn closed_by(body: &str) -> Vec<i64> {
    let words: Vec<&str> = body.split_whitespace().collect();
    let pairs = words.windows(2).filter_map(|pair| {
        let verb = pair[0].to_ascii_lowercase();
        let verb = verb.trim_end_matches(':').trim_end_matches(['s', 'd']).trim_end_matches('e');
        let digits = pair[1].strip_prefix('#')?.trim_end_matches(|c: char| !c.is_ascii_digit());
        matches!(verb, "clos" | "fix" | "resolv").then(|| digits.parse().ok())?
    });
    pairs.collect()
}

//! What owners do with repositories and with the App's installation, and what checks say of commits. The App is told of
//! all but the latter.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads#installation>

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::changes::find;
use super::webhooks::{self, Outgoing};
use super::world::{Actor, CheckRun, Repository, World};
use super::{Sim, json};

/// Every function fails for a repository that the simulator does not have.
impl Sim {
    /// Takes a repository out of the installation: `installation_repositories.removed`.
    ///
    /// # Errors
    /// See above; also where the App is not installed.
    pub async fn remove_from_installation(&self, repository: &str) -> anyhow::Result<()> {
        self.reach(repository, false)
    }

    /// Puts a repository into the installation again: `installation_repositories.added`.
    ///
    /// # Errors
    /// See above; also where the App is not installed.
    pub async fn add_to_installation(&self, repository: &str) -> anyhow::Result<()> {
        self.reach(repository, true)
    }

    fn reach(&self, repository: &str, reached: bool) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let of = find(&world, repository)?;
        let (id, owner) = (of.id, of.owner);
        let installation = world.installation_on(owner).context("the App is not installed there")?;
        let (on, mut excluded) = (installation.id, installation.excluded.clone());
        if reached {
            excluded.remove(&id)
        } else {
            excluded.insert(id)
        };
        world.reach_exactly(on, excluded);
        Ok(())
    }

    /// Suspends the App on an owner's repositories: its tokens open nothing, and it is told of nothing but this.
    pub async fn suspend(&self, owner: &str) {
        self.set_suspended(owner, true);
    }

    /// Takes that back.
    pub async fn unsuspend(&self, owner: &str) {
        self.set_suspended(owner, false);
    }

    fn set_suspended(&self, owner: &str, suspended: bool) {
        let mut world = self.inner.world();
        let (now, account) = (world.now(), world.add_account(owner, "User"));
        let Some(id) = world.installation_on(account).map(|installation| installation.id) else { return };
        if let Some(installation) = world.installations.get_mut(&id) {
            installation.suspended_at = suspended.then_some(now);
        }
        let action = if suspended { "suspend" } else { "unsuspend" };
        world.emit_installation(id, "installation", json!({ "action": action }));
    }

    /// Takes the App away from an owner's repositories: `installation.deleted`.
    pub fn uninstall(&self, owner: &str) {
        let mut world = self.inner.world();
        let account = world.add_account(owner, "User");
        world.uninstalled(account);
    }

    /// Takes the App away and puts it there again: another installation, old tokens end.
    pub fn reinstall(&self, owner: &str) {
        let mut world = self.inner.world();
        let account = world.add_account(owner, "User");
        world.uninstalled(account);
        world.install(account);
        world.installation_event(account, "created");
    }

    /// Gives a repository another name; the old one redirects. `repository.renamed`.
    ///
    /// # Errors
    /// See above.
    pub fn rename(&self, repository: &str, name: &str) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let of = find(&world, repository)?;
        let (id, full_name, from) = (of.id, format!("{}/{name}", world.login(of.owner)), of.name.clone());
        if let Some(of) = world.repositories.get_mut(&id) {
            of.earlier_names.push(std::mem::replace(&mut of.full_name, full_name));
            name.clone_into(&mut of.name);
        }
        let changes = json!({ "repository": { "name": { "from": from } } });
        world.repository_event(id, json!({ "action": "renamed", "changes": changes }));
        Ok(())
    }

    /// Lets everybody read a repository, without a token too; the App is not told.
    ///
    /// # Errors
    /// See above.
    pub fn make_public(&self, repository: &str) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        if let Some(repository) = world.repositories.get_mut(&id) {
            repository.public = true;
        }
        Ok(())
    }

    /// Archives a repository, or takes that back: `repository.archived` or `repository.unarchived`.
    ///
    /// # Errors
    /// See above.
    pub fn set_archived(&self, repository: &str, archived: bool) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        if let Some(repository) = world.repositories.get_mut(&id) {
            repository.archived = archived;
        }
        let action = if archived { "archived" } else { "unarchived" };
        world.repository_event(id, json!({ "action": action }));
        Ok(())
    }

    /// Turns the issues of a repository off, or on again; what is there already stays.
    ///
    /// # Errors
    /// See above.
    pub fn set_issues(&self, repository: &str, on: bool) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        if let Some(repository) = world.repositories.get_mut(&id) {
            repository.issues_off = !on;
        }
        world.repository_event(id, json!({ "action": "edited" }));
        Ok(())
    }

    /// Takes a repository away for good: `repository.deleted`. Pull requests from it, if it is a fork, stay without it.
    ///
    /// # Errors
    /// See above, and a folder that cannot be removed.
    pub async fn delete_repository(&self, repository: &str) -> anyhow::Result<()> {
        let folder = {
            let mut world = self.inner.world();
            let id = find(&world, repository)?.id;
            world.repository_event(id, json!({ "action": "deleted" }));
            let pulls = world.repositories.values_mut().flat_map(|of| of.issues.values_mut());
            for pull in pulls.filter_map(|issue| issue.pull.as_mut()) {
                pull.head_repository = pull.head_repository.filter(|head| *head != id);
            }
            world.repositories.remove(&id).context("it is gone already")?.folder
        };
        tokio::fs::remove_dir_all(folder).await.context("cannot remove the repository's folder")
    }

    /// Lets a check of a commit be over with a conclusion of GitHub's, e.g. `failure`; an earlier run of it is forgotten.
    ///
    /// # Errors
    /// See above.
    pub fn set_check(
        &self,
        repository: &str,
        sha: &str,
        name: &str,
        conclusion: &str,
        summary: &str,
    ) -> anyhow::Result<()> {
        let mut world = self.inner.world();
        let repository = find(&world, repository)?.id;
        let (id, at) = (world.next_id(), world.now());
        let run = CheckRun {
            id,
            sha: sha.to_owned(),
            name: name.to_owned(),
            conclusion: conclusion.to_owned(),
            summary: summary.to_owned(),
            at,
        };
        if let Some(of) = world.repositories.get_mut(&repository) {
            of.checks.retain(|check| check.sha != sha || check.name != name);
            of.checks.push(run);
        }
        Ok(())
    }
}

impl World {
    /// Lets an installation reach all repositories but these, and tells the App what that adds and removes.
    pub(super) fn reach_exactly(&mut self, installation: i64, excluded: BTreeSet<i64>) {
        let Some(of) = self.installations.get_mut(&installation) else { return };
        let before = std::mem::replace(&mut of.excluded, excluded.clone());
        let listed = |ids: &mut dyn Iterator<Item = &i64>| -> Vec<Value> {
            ids.filter_map(|id| self.repositories.get(id)).map(listed).collect()
        };
        let (added, removed) = (listed(&mut before.difference(&excluded)), listed(&mut excluded.difference(&before)));
        let selection = if excluded.is_empty() { "all" } else { "selected" };
        for (action, added, removed) in [("added", added, Vec::new()), ("removed", Vec::new(), removed)] {
            if added.is_empty() && removed.is_empty() {
                continue;
            }
            let payload = json!({
                "action": action,
                "repositories_added": added,
                "repositories_removed": removed,
                "repository_selection": selection,
                "requester": null,
            });
            self.emit_installation(installation, "installation_repositories", payload);
        }
    }

    /// Tells the App that it is taken away, and takes it away.
    fn uninstalled(&mut self, account: i64) {
        self.installation_event(account, "deleted");
        self.uninstall(account);
    }

    /// Tells the App of its installation on an account, with the repositories that it reaches.
    pub(super) fn installation_event(&mut self, account: i64, action: &str) {
        let Some(id) = self.installation_on(account).map(|installation| installation.id) else { return };
        let reached = self.repositories.values().filter(|of| self.installed(of).is_some_and(|on| on.id == id));
        let repositories: Vec<Value> = reached.map(listed).collect();
        let payload = json!({ "action": action, "repositories": repositories, "requester": null });
        self.emit_installation(id, "installation", payload);
    }

    /// Queues a webhook about an installation, by its account.
    fn emit_installation(&mut self, id: i64, event: &str, mut payload: Value) {
        let Some(url) = self.app.webhook_url.clone() else { return };
        let Some(installation) = self.installations.get(&id) else { return };
        let more = json!({
            "installation": json::installation(self, installation),
            "sender": json::account(self, installation.account),
        });
        json::extend(&mut payload, more);
        self.enqueue(Outgoing {
            guid: webhooks::new_guid(),
            event: event.to_owned(),
            action: payload.get("action").and_then(Value::as_str).map(str::to_owned),
            installation: Some(id),
            repository: None,
            payload: payload.to_string().into(),
            redelivery: false,
            url,
        });
    }

    /// Queues the webhook about a repository, by its owner.
    fn repository_event(&mut self, id: i64, payload: Value) {
        if let Some(owner) = self.repositories.get(&id).map(|of| of.owner) {
            self.emit(id, "repository", Actor { account: owner, app: false }, payload);
        }
    }
}

/// A repository as installation events list it.
fn listed(of: &Repository) -> Value {
    json!({
        "id": of.id,
        "node_id": format!("R_{}", of.id),
        "name": of.name,
        "full_name": of.full_name,
        "private": !of.public,
    })
}

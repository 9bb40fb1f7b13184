//! What happens in the simulated GitHub, whoever does it: each function changes the state and queues the webhooks that
//! GitHub sends for it. People come here through `acts`, the App through `rest`.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::git::Difference;
use super::json;
use super::webhooks::{self, Outgoing};
use super::world::{Actor, Gone, Issue, IssueComment, IssueEvent, IssueReaction, Label, Pull, Repository, World};

/// The events that the simulated GitHub tells of.
pub(super) const EVENTS: [&str; 7] = [
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
];

/// The reactions that there are.
pub(super) const REACTIONS: [&str; 8] = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];

/// An issue that is about to be opened.
pub(super) struct NewIssue<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub labels: &'a [&'a str],
}

/// A pull request that is about to be opened.
pub(super) struct NewPull<'a> {
    pub title: &'a str,
    pub body: &'a str,
    /// Where the branch is: this repository or a fork.
    pub head_repository: i64,
    pub head_ref: &'a str,
    pub head_sha: &'a str,
    pub base_ref: &'a str,
    pub base_sha: &'a str,
    pub draft: bool,
    pub difference: Difference,
}

/// What a reaction is put on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// An issue or pull request, by number.
    Issue(i64),
    /// A comment, by id.
    Comment(i64),
    /// A comment on lines, by id.
    ReviewComment(i64),
}

/// Something that is not there, or not any more.
#[derive(Debug, thiserror::Error)]
#[error("there is no such {0}")]
pub(super) struct Missing(pub &'static str);

impl World {
    /// Opens an issue and puts its labels on; gives its number.
    pub fn open_issue(&mut self, repository: i64, actor: Actor, new: NewIssue<'_>) -> Result<i64, Missing> {
        let number = self.insert_issue(repository, actor, (new.title, new.body), None)?;
        for label in new.labels {
            self.put_label(repository, number, label)?;
        }
        self.issue_event(repository, number, actor, ("opened", json!({})))?;
        for label in new.labels {
            self.record(repository, number, actor, ("labeled", Some(label)))?;
            let label = self.label_json(repository, label)?;
            self.issue_event(repository, number, actor, ("labeled", json!({ "label": label })))?;
        }
        Ok(number)
    }

    /// Opens a pull request; gives its number.
    pub fn open_pull(&mut self, repository: i64, actor: Actor, new: NewPull<'_>) -> Result<i64, Missing> {
        let head = self.repositories.get(&new.head_repository).ok_or(Missing("repository"))?;
        let pull = Pull {
            head_owner: head.owner,
            head_repository: Some(head.id),
            id: self.next_id(),
            head_ref: new.head_ref.to_owned(),
            head_sha: new.head_sha.to_owned(),
            base_ref: new.base_ref.to_owned(),
            base_sha: new.base_sha.to_owned(),
            draft: new.draft,
            merged_at: None,
            merge_commit: None,
            difference: new.difference,
            earlier_heads: Vec::new(),
            reviews: Vec::new(),
            comments: Vec::new(),
            resolved: Default::default(),
        };
        let number = self.insert_issue(repository, actor, (new.title, new.body), Some(pull))?;
        self.issue_event(repository, number, actor, ("opened", json!({})))?;
        Ok(number)
    }

    /// Puts a label on; nothing happens if it is there.
    pub fn label(&mut self, repository: i64, actor: Actor, number: i64, label: &str) -> Result<(), Missing> {
        if !self.put_label(repository, number, label)? {
            return Ok(());
        }
        self.record(repository, number, actor, ("labeled", Some(label)))?;
        let label = self.label_json(repository, label)?;
        self.issue_event(repository, number, actor, ("labeled", json!({ "label": label })))
    }

    /// Takes a label off.
    pub fn unlabel(&mut self, repository: i64, actor: Actor, number: i64, label: &str) -> Result<(), Missing> {
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        let place = issue.labels.iter().position(|name| name.eq_ignore_ascii_case(label)).ok_or(Missing("label"))?;
        let name = issue.labels.remove(place);
        self.record(repository, number, actor, ("unlabeled", Some(&name)))?;
        let label = self.label_json(repository, &name)?;
        self.issue_event(repository, number, actor, ("unlabeled", json!({ "label": label })))
    }

    /// Changes title or body.
    pub fn edit_issue(
        &mut self,
        repository: i64,
        actor: Actor,
        number: i64,
        (title, body): (Option<&str>, Option<&str>),
    ) -> Result<(), Missing> {
        let now = self.now();
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        let mut changes = json!({});
        if let Some(title) = title.filter(|title| *title != issue.title) {
            changes["title"] = json!({ "from": issue.title });
            issue.title = title.to_owned();
        }
        if let Some(body) = body.filter(|body| *body != issue.body) {
            changes["body"] = json!({ "from": issue.body });
            issue.body = body.to_owned();
        }
        if changes == json!({}) {
            return Ok(());
        }
        issue.updated_at = now;
        self.issue_event(repository, number, actor, ("edited", json!({ "changes": changes })))
    }

    /// Closes or opens again; nothing happens if it is so already.
    pub fn set_open(&mut self, repository: i64, actor: Actor, number: i64, open: bool) -> Result<(), Missing> {
        let now = self.now();
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        if issue.open == open {
            return Ok(());
        }
        issue.open = open;
        issue.closed_at = (!open).then_some(now);
        issue.state_reason = match (issue.pull.is_some(), open) {
            (true, _) => None,
            (false, true) => Some("reopened"),
            (false, false) => Some("completed"),
        };
        let event = if open { "reopened" } else { "closed" };
        self.record(repository, number, actor, (event, None))?;
        self.issue_event(repository, number, actor, (event, json!({})))
    }

    /// Moves an issue to another repository; gives its number there.
    pub fn transfer(&mut self, from: i64, actor: Actor, number: i64, to: i64) -> Result<i64, Missing> {
        let old = self.issue(from, number).ok_or(Missing("issue"))?.clone();
        let new = self.insert_issue(to, old.author, (&old.title, &old.body), None)?;
        let moved = self.issue_mut(to, new).ok_or(Missing("issue"))?;
        *moved = Issue { id: moved.id, number: new, ..old };
        let show = |repository: i64, number: i64| {
            let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
            let issue = of.issues.get(&number).ok_or(Missing("issue"))?;
            Ok((json::issue(self, of, issue), json::repository(self, of)))
        };
        let ((old_issue, old_repository), (new_issue, new_repository)) = (show(from, number)?, show(to, new)?);
        let changes = json!({ "changes": { "new_issue": new_issue, "new_repository": new_repository } });
        self.issue_event(from, number, actor, ("transferred", changes))?;
        if let Some(of) = self.repositories.get_mut(&from) {
            of.issues.remove(&number);
            of.gone.insert(number, Gone::Transferred(to, new));
        }
        let changes = json!({ "changes": { "old_issue": old_issue, "old_repository": old_repository } });
        self.issue_event(to, new, actor, ("opened", changes))?;
        Ok(new)
    }

    /// Says something; gives the comment's id.
    pub fn comment(&mut self, repository: i64, actor: Actor, number: i64, body: &str) -> Result<i64, Missing> {
        let (now, id) = (self.now(), self.next_id());
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        issue.updated_at = now;
        issue.comments.push(IssueComment {
            id,
            author: actor,
            body: body.to_owned(),
            edits: 0,
            created_at: now,
            updated_at: now,
            reactions: Vec::new(),
        });
        self.comment_event(repository, id, actor, ("created", json!({})))?;
        Ok(id)
    }

    /// Changes what a comment says.
    pub fn edit_comment(&mut self, repository: i64, actor: Actor, id: i64, body: &str) -> Result<(), Missing> {
        let now = self.now();
        let comment = self.comment_mut(repository, id)?;
        let from = std::mem::replace(&mut comment.body, body.to_owned());
        comment.edits += 1;
        comment.updated_at = now;
        self.comment_event(repository, id, actor, ("edited", json!({ "changes": { "body": { "from": from } } })))
    }

    /// Takes a comment away.
    pub fn delete_comment(&mut self, repository: i64, actor: Actor, id: i64) -> Result<(), Missing> {
        self.comment_event(repository, id, actor, ("deleted", json!({})))?;
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        let (number, place) = of.find_comment(id).ok_or(Missing("comment"))?;
        of.issues.get_mut(&number).ok_or(Missing("issue"))?.comments.remove(place);
        Ok(())
    }

    /// Reacts; gives the reaction and whether it is new. GitHub sends no webhook for reactions.
    pub fn react(
        &mut self,
        repository: i64,
        actor: Actor,
        target: Target,
        content: &str,
    ) -> Result<(IssueReaction, bool), Missing> {
        let (now, id) = (self.now(), self.next_id());
        let reactions = self.reactions_mut(repository, target)?;
        let same = reactions.iter().find(|there| there.account == actor.account && there.content == content);
        if let Some(there) = same {
            return Ok((there.clone(), false));
        }
        let reaction = IssueReaction { id, account: actor.account, content: content.to_owned(), created_at: now };
        reactions.push(reaction.clone());
        Ok((reaction, true))
    }

    /// The reactions on something.
    pub fn reactions_mut(&mut self, repository: i64, target: Target) -> Result<&mut Vec<IssueReaction>, Missing> {
        match target {
            Target::Issue(number) => Ok(&mut self.issue_mut(repository, number).ok_or(Missing("issue"))?.reactions),
            Target::Comment(id) => Ok(&mut self.comment_mut(repository, id)?.reactions),
            Target::ReviewComment(id) => Ok(&mut self.review_comment_mut(repository, id)?.reactions),
        }
    }

    /// Queues a webhook about a repository if the App is subscribed to its event.
    pub fn emit(&mut self, repository: i64, event: &str, actor: Actor, payload: Value) {
        if self.app.events.iter().any(|subscribed| subscribed == event) {
            self.emit_any(repository, event, actor, payload);
        }
    }

    /// Queues a webhook about a repository and gives its id; nothing is sent without a webhook URL, and nothing about a
    /// repository that the App's installation does not reach.
    pub fn emit_any(&mut self, repository: i64, event: &str, actor: Actor, mut payload: Value) -> String {
        let guid = webhooks::new_guid();
        let Some(url) = self.app.webhook_url.clone() else { return guid };
        let of = self.repositories.get(&repository);
        let installation = of.and_then(|of| self.installed(of)).filter(|on| on.suspended_at.is_none());
        let (Some(of), Some(installation)) = (of, installation.map(|on| on.id)) else { return guid };
        let more = json!({
            "repository": json::repository(self, of),
            "sender": json::account(self, actor.account),
            "installation": { "id": installation, "node_id": format!("MDIz_{installation}") },
        });
        json::extend(&mut payload, more);
        let action = payload.get("action").and_then(Value::as_str).map(str::to_owned);
        self.enqueue(Outgoing {
            guid: guid.clone(),
            event: event.to_owned(),
            action,
            installation: Some(installation),
            repository: Some(repository),
            payload: payload.to_string().into(),
            redelivery: false,
            url,
        });
        guid
    }

    /// Hands a webhook to the task that delivers.
    pub fn enqueue(&self, outgoing: Outgoing) {
        self.pending.send_modify(|pending| *pending += 1);
        if self.queue.send(outgoing).is_err() {
            // The simulator was stopped: nobody delivers any more.
            self.pending.send_modify(|pending| *pending -= 1);
        }
    }

    /// Queues the webhook about an issue or pull request.
    pub fn issue_event(
        &mut self,
        repository: i64,
        number: i64,
        actor: Actor,
        (action, more): (&str, Value),
    ) -> Result<(), Missing> {
        let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
        let issue = of.issues.get(&number).ok_or(Missing("issue"))?;
        let (event, mut payload) = match &issue.pull {
            Some(pull) => (
                "pull_request",
                json!({ "action": action, "number": number, "pull_request": json::pull(self, of, issue, pull) }),
            ),
            None => ("issues", json!({ "action": action, "issue": json::issue(self, of, issue) })),
        };
        json::extend(&mut payload, more);
        self.emit(repository, event, actor, payload);
        Ok(())
    }

    /// Adds a label to a repository, or gives the one that is there.
    pub fn define_label(&mut self, repository: i64, name: &str) -> Result<&mut Label, Missing> {
        let id = self.next_id();
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        let new = || Label { id, color: "ededed".to_owned(), description: None };
        Ok(of.labels.entry(known_label(of.labels.keys(), name)).or_insert_with(new))
    }

    /// Adds an entry to the issue-events API.
    pub fn record(
        &mut self,
        repository: i64,
        number: i64,
        actor: Actor,
        (event, label): (&'static str, Option<&str>),
    ) -> Result<(), Missing> {
        let (created_at, id) = (self.now(), self.next_id());
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        issue.updated_at = created_at;
        issue.events.push(IssueEvent { id, actor, event, label: label.map(str::to_owned), created_at });
        Ok(())
    }

    /// Puts a label on in silence; whether it is new there.
    fn put_label(&mut self, repository: i64, number: i64, label: &str) -> Result<bool, Missing> {
        self.define_label(repository, label)?;
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        let name = known_label(of.labels.keys(), label);
        let issue = of.issues.get_mut(&number).ok_or(Missing("issue"))?;
        let new = !issue.labels.contains(&name);
        if new {
            issue.labels.push(name);
        }
        Ok(new)
    }

    fn insert_issue(
        &mut self,
        repository: i64,
        author: Actor,
        (title, body): (&str, &str),
        pull: Option<Pull>,
    ) -> Result<i64, Missing> {
        let (now, id) = (self.now(), self.next_id());
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        // No number is given twice.
        let number = of.issues.keys().chain(of.gone.keys()).max().map_or(1, |last| last + 1);
        let issue = Issue {
            id,
            number,
            title: title.to_owned(),
            body: body.to_owned(),
            author,
            open: true,
            state_reason: None,
            locked: false,
            labels: Vec::new(),
            comments: Vec::new(),
            reactions: Vec::new(),
            events: Vec::new(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            pull,
        };
        of.issues.insert(number, issue);
        Ok(number)
    }

    fn comment_mut(&mut self, repository: i64, id: i64) -> Result<&mut IssueComment, Missing> {
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        let mut comments = of.issues.values_mut().flat_map(|issue| &mut issue.comments);
        comments.find(|comment| comment.id == id).ok_or(Missing("comment"))
    }

    fn comment_event(
        &mut self,
        repository: i64,
        id: i64,
        actor: Actor,
        (action, more): (&str, Value),
    ) -> Result<(), Missing> {
        let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
        let (number, place) = of.find_comment(id).ok_or(Missing("comment"))?;
        let issue = of.issues.get(&number).ok_or(Missing("issue"))?;
        let mut payload = json!({
            "action": action,
            "issue": json::issue(self, of, issue),
            "comment": json::comment(self, of, issue, &issue.comments[place]),
        });
        json::extend(&mut payload, more);
        self.emit(repository, "issue_comment", actor, payload);
        Ok(())
    }

    fn label_json(&self, repository: i64, name: &str) -> Result<Value, Missing> {
        let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
        let name = known_label(of.labels.keys(), name);
        let label = of.labels.get(&name).ok_or(Missing("label"))?;
        Ok(json::label(self, of, &name, label))
    }
}

/// The repository `owner/name`, or an error that says so.
pub(super) fn find<'a>(world: &'a World, full_name: &str) -> anyhow::Result<&'a Repository> {
    world.repository(full_name).with_context(|| format!("the simulator has no repository {full_name}"))
}

/// The name as the repository spells it: labels are the same whatever their case.
fn known_label<'a>(mut names: impl Iterator<Item = &'a String>, name: &str) -> String {
    names.find(|known| known.eq_ignore_ascii_case(name)).map_or_else(|| name.to_owned(), Clone::clone)
}

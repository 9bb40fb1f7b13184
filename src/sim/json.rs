//! GitHub's shapes of things, with the fields that <https://docs.github.com/en/rest> documents as required, for answers
//! and webhook payloads alike.

mod app;
mod commit;
mod review;

use serde_json::{Map, Value, json};

use super::world::{
    Account, Actor, Issue, IssueComment, IssueEvent, IssueReaction, Label, Pull, Repository, World, stamp,
};

pub(super) use app::{app, installation};
pub(super) use commit::commit;
pub(super) use review::{review, review_comment};

/// An account, as `user`, `owner`, `sender`.
pub(super) fn account(world: &World, id: i64) -> Value {
    let ghost = Account { id: 10_137, login: "ghost".to_owned(), kind: "User" };
    let account = world.accounts.get(&id).unwrap_or(&ghost);
    let login = &account.login;
    let url = format!("{}/users/{login}", world.api());
    json!({
        "login": login,
        "id": account.id,
        "node_id": format!("U_{}", account.id),
        "avatar_url": format!("{}/avatars/{}", world.server, account.id),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{}/{login}", world.server),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": account.kind,
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// Paths below a repository's URL that its shape lists as `<name>_url`.
const REPOSITORY_URLS: [(&str, &str); 36] = [
    ("archive", "/{archive_format}{/ref}"),
    ("assignees", "/assignees{/user}"),
    ("blobs", "/git/blobs{/sha}"),
    ("branches", "/branches{/branch}"),
    ("collaborators", "/collaborators{/collaborator}"),
    ("comments", "/comments{/number}"),
    ("commits", "/commits{/sha}"),
    ("compare", "/compare/{base}...{head}"),
    ("contents", "/contents/{+path}"),
    ("contributors", "/contributors"),
    ("deployments", "/deployments"),
    ("downloads", "/downloads"),
    ("events", "/events"),
    ("forks", "/forks"),
    ("git_commits", "/git/commits{/sha}"),
    ("git_refs", "/git/refs{/sha}"),
    ("git_tags", "/git/tags{/sha}"),
    ("hooks", "/hooks"),
    ("issue_comment", "/issues/comments{/number}"),
    ("issue_events", "/issues/events{/number}"),
    ("issues", "/issues{/number}"),
    ("keys", "/keys{/key_id}"),
    ("labels", "/labels{/name}"),
    ("languages", "/languages"),
    ("merges", "/merges"),
    ("milestones", "/milestones{/number}"),
    ("notifications", "/notifications{?since,all,participating}"),
    ("pulls", "/pulls{/number}"),
    ("releases", "/releases{/id}"),
    ("stargazers", "/stargazers"),
    ("statuses", "/statuses/{sha}"),
    ("subscribers", "/subscribers"),
    ("subscription", "/subscription"),
    ("tags", "/tags"),
    ("teams", "/teams"),
    ("trees", "/git/trees{/sha}"),
];

/// A repository.
pub(super) fn repository(world: &World, repository: &Repository) -> Value {
    let url = repository_url(world, repository);
    let html = format!("{}/{}", world.server, repository.full_name);
    let open = repository.issues.values().filter(|issue| issue.open).count();
    let mut value = json!({
        "id": repository.id,
        "node_id": format!("R_{}", repository.id),
        "name": repository.name,
        "full_name": repository.full_name,
        "private": !repository.public,
        "visibility": if repository.public { "public" } else { "private" },
        "owner": account(world, repository.owner),
        "html_url": html,
        "description": null,
        "fork": repository.fork_of.is_some(),
        "url": url,
        "clone_url": format!("{html}.git"),
        "git_url": format!("{html}.git"),
        "ssh_url": format!("{html}.git"),
        "svn_url": html,
        "mirror_url": null,
        "homepage": null,
        "created_at": stamp(repository.created_at),
        "updated_at": stamp(repository.created_at),
        "pushed_at": stamp(repository.created_at),
        "default_branch": repository.default_branch,
        "archived": repository.archived,
    });
    let more = json!({
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": null,
        "has_issues": !repository.issues_off,
        "has_projects": false,
        "has_downloads": false,
        "has_wiki": false,
        "has_pages": false,
        "has_discussions": false,
        "forks_count": 0,
        "disabled": false,
        "open_issues_count": open,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "forks": 0,
        "open_issues": open,
        "watchers": 0,
    });
    extend(&mut value, more);
    if let Value::Object(fields) = &mut value {
        fields.extend(REPOSITORY_URLS.map(|(name, path)| (format!("{name}_url"), json!(format!("{url}{path}")))));
    }
    value
}

/// An issue, or the issue half of a pull request.
pub(super) fn issue(world: &World, repository: &Repository, issue: &Issue) -> Value {
    let url = format!("{}/issues/{}", repository_url(world, repository), issue.number);
    let mut value = json!({
        "url": url,
        "repository_url": repository_url(world, repository),
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "timeline_url": format!("{url}/timeline"),
        "html_url": html_url(world, repository, issue),
        "id": issue.id,
        "node_id": format!("I_{}", issue.id),
        "number": issue.number,
        "title": issue.title,
        "body": body(&issue.body),
        "user": account(world, issue.author.account),
        "labels": labels(world, repository, issue),
        "state": state(issue),
        "state_reason": issue.state_reason,
        "locked": issue.locked,
        "active_lock_reason": null,
        "assignee": null,
        "assignees": [],
        "milestone": null,
        "comments": issue.comments.len(),
        "created_at": stamp(issue.created_at),
        "updated_at": stamp(issue.updated_at),
        "closed_at": issue.closed_at.map(stamp),
        "closed_by": null,
        "author_association": association(world, repository, issue.author),
        "reactions": rollup(&format!("{url}/reactions"), &issue.reactions),
        "performed_via_github_app": via(world, issue.author),
    });
    if let (Some(pull), Value::Object(fields)) = (&issue.pull, &mut value) {
        let html = html_url(world, repository, issue);
        let links = json!({
            "url": format!("{}/pulls/{}", repository_url(world, repository), issue.number),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "merged_at": pull.merged_at.map(stamp),
        });
        fields.insert("pull_request".to_owned(), links);
        fields.insert("draft".to_owned(), json!(pull.draft));
    }
    value
}

/// A pull request, in full.
pub(super) fn pull(world: &World, repository: &Repository, issue: &Issue, pull: &Pull) -> Value {
    let mut value = simple_pull(world, repository, issue, pull);
    let more = json!({
        "merged": pull.merged_at.is_some(),
        "mergeable": null,
        "rebaseable": null,
        "mergeable_state": "unknown",
        "merged_by": null,
        "comments": issue.comments.len(),
        "review_comments": pull.comments.len(),
        "maintainer_can_modify": false,
        "commits": pull.difference.commits,
        "additions": pull.difference.additions,
        "deletions": pull.difference.deletions,
        "changed_files": pull.difference.files,
    });
    extend(&mut value, more);
    value
}

/// A pull request as the webhooks about its reviews have it.
pub(super) fn simple_pull(world: &World, repository: &Repository, issue: &Issue, pull: &Pull) -> Value {
    let base_url = repository_url(world, repository);
    let url = format!("{base_url}/pulls/{}", issue.number);
    let issue_url = format!("{base_url}/issues/{}", issue.number);
    let html = html_url(world, repository, issue);
    let side = |owner: i64, of: Option<&Repository>, name: &str, sha: &str| {
        json!({
            "label": format!("{}:{name}", world.login(owner)),
            "ref": name,
            "sha": sha,
            "user": account(world, owner),
            "repo": of.map(|of| self::repository(world, of)),
        })
    };
    let head = pull.head_repository.and_then(|id| world.repositories.get(&id));
    let link = |href: String| json!({ "href": href });
    let mut value = json!({
        "url": url,
        "id": pull.id,
        "node_id": format!("PR_{}", pull.id),
        "html_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "issue_url": issue_url,
        "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"),
        "review_comment_url": format!("{base_url}/pulls/comments{{/number}}"),
        "comments_url": format!("{issue_url}/comments"),
        "statuses_url": format!("{base_url}/statuses/{}", pull.head_sha),
        "number": issue.number,
        "state": state(issue),
        "locked": issue.locked,
        "active_lock_reason": null,
        "title": issue.title,
        "user": account(world, issue.author.account),
        "body": body(&issue.body),
        "labels": labels(world, repository, issue),
        "milestone": null,
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "created_at": stamp(issue.created_at),
        "updated_at": stamp(issue.updated_at),
        "closed_at": issue.closed_at.map(stamp),
        "merged_at": pull.merged_at.map(stamp),
        "merge_commit_sha": pull.merge_commit,
        "head": side(pull.head_owner, head, &pull.head_ref, &pull.head_sha),
        "base": side(repository.owner, Some(repository), &pull.base_ref, &pull.base_sha),
        "author_association": association(world, repository, issue.author),
        "auto_merge": null,
        "draft": pull.draft,
    });
    let more = json!({
        "_links": {
            "self": link(url.clone()),
            "html": link(html),
            "issue": link(issue_url.clone()),
            "comments": link(format!("{issue_url}/comments")),
            "review_comments": link(format!("{url}/comments")),
            "review_comment": link(format!("{base_url}/pulls/comments{{/number}}")),
            "commits": link(format!("{url}/commits")),
            "statuses": link(format!("{base_url}/statuses/{}", pull.head_sha)),
        },
    });
    extend(&mut value, more);
    value
}

/// A comment of an issue or pull request.
pub(super) fn comment(world: &World, repository: &Repository, issue: &Issue, comment: &IssueComment) -> Value {
    let url = format!("{}/issues/comments/{}", repository_url(world, repository), comment.id);
    json!({
        "url": url,
        "html_url": format!("{}#issuecomment-{}", html_url(world, repository, issue), comment.id),
        "issue_url": format!("{}/issues/{}", repository_url(world, repository), issue.number),
        "id": comment.id,
        "node_id": format!("IC_{}", comment.id),
        "user": account(world, comment.author.account),
        "created_at": stamp(comment.created_at),
        "updated_at": stamp(comment.updated_at),
        "author_association": association(world, repository, comment.author),
        "body": comment.body,
        "reactions": rollup(&format!("{url}/reactions"), &comment.reactions),
        "performed_via_github_app": via(world, comment.author),
    })
}

/// A label of a repository.
pub(super) fn label(world: &World, repository: &Repository, name: &str, label: &Label) -> Value {
    json!({
        "id": label.id,
        "node_id": format!("LA_{}", label.id),
        "url": format!("{}/labels/{name}", repository_url(world, repository)),
        "name": name,
        "color": label.color,
        "default": false,
        "description": label.description,
    })
}

/// The labels of an issue.
pub(super) fn labels(world: &World, repository: &Repository, issue: &Issue) -> Vec<Value> {
    let known = issue.labels.iter().filter_map(|name| Some((name, repository.labels.get(name)?)));
    known.map(|(name, of)| label(world, repository, name, of)).collect()
}

/// A reaction.
pub(super) fn reaction(world: &World, reaction: &IssueReaction) -> Value {
    json!({
        "id": reaction.id,
        "node_id": format!("REA_{}", reaction.id),
        "user": account(world, reaction.account),
        "content": reaction.content,
        "created_at": stamp(reaction.created_at),
    })
}

/// An entry of the issue-events API.
pub(super) fn event(world: &World, repository: &Repository, event: &IssueEvent) -> Value {
    let mut value = json!({
        "id": event.id,
        "node_id": format!("LE_{}", event.id),
        "url": format!("{}/issues/events/{}", repository_url(world, repository), event.id),
        "actor": account(world, event.actor.account),
        "event": event.event,
        "commit_id": null,
        "commit_url": null,
        "created_at": stamp(event.created_at),
        "performed_via_github_app": via(world, event.actor),
    });
    if let (Some(name), Value::Object(fields)) = (&event.label, &mut value) {
        let color = repository.labels.get(name).map_or("ededed", |label| &label.color);
        fields.insert("label".to_owned(), json!({ "name": name, "color": color }));
    }
    value
}

/// Adds the fields of one object to another.
pub(super) fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (value, more) {
        fields.extend(more);
    }
}

/// The URL of a repository in the API.
pub(super) fn repository_url(world: &World, repository: &Repository) -> String {
    format!("{}/repos/{}", world.api(), repository.full_name)
}

/// The page of an issue or pull request.
pub(super) fn html_url(world: &World, repository: &Repository, issue: &Issue) -> String {
    let kind = if issue.pull.is_some() { "pull" } else { "issues" };
    format!("{}/{}/{kind}/{}", world.server, repository.full_name, issue.number)
}

/// GitHub's word for open or not.
pub(super) fn state(issue: &Issue) -> &'static str {
    if issue.open { "open" } else { "closed" }
}

/// GitHub gives null for a body that was left empty.
fn body(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The App, if it was the App's doing.
fn via(world: &World, actor: Actor) -> Value {
    if actor.app { app(world) } else { Value::Null }
}

/// How the author stands to the repository, in GitHub's word.
pub(super) fn association(world: &World, repository: &Repository, author: Actor) -> &'static str {
    if author.account == repository.owner {
        "OWNER"
    } else if author.account != world.bot && repository.roles.contains_key(&author.account) {
        "COLLABORATOR"
    } else {
        "NONE"
    }
}

/// How many reactions of each kind.
pub(super) fn rollup(url: &str, reactions: &[IssueReaction]) -> Value {
    let count = |content: &str| reactions.iter().filter(|reaction| reaction.content == content).count();
    let mut value = Map::new();
    value.insert("url".to_owned(), json!(url));
    value.insert("total_count".to_owned(), json!(reactions.len()));
    for content in super::changes::REACTIONS {
        value.insert(content.to_owned(), json!(count(content)));
    }
    value.into()
}

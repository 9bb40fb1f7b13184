//! Commits. <https://docs.github.com/en/rest/commits/commits>

use serde_json::{Value, json};

use super::repository_url;
use crate::sim::git::{Commit, Signature};
use crate::sim::world::{Repository, World};

/// A commit as the commits API shows it.
pub(in crate::sim) fn commit(world: &World, repository: &Repository, commit: &Commit) -> Value {
    let url = repository_url(world, repository);
    let html = format!("{}/{}/commit", world.server, repository.full_name);
    let signature = |of: &Signature| json!({ "name": of.name, "email": of.email, "date": of.date });
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|sha| json!({ "sha": sha, "url": format!("{url}/commits/{sha}"), "html_url": format!("{html}/{sha}") }))
        .collect();
    json!({
        "sha": commit.sha,
        "node_id": format!("C_{}", commit.sha),
        "url": format!("{url}/commits/{}", commit.sha),
        "html_url": format!("{html}/{}", commit.sha),
        "comments_url": format!("{url}/commits/{}/comments", commit.sha),
        "commit": {
            "url": format!("{url}/git/commits/{}", commit.sha),
            "author": signature(&commit.author),
            "committer": signature(&commit.committer),
            "message": commit.message,
            "tree": { "sha": commit.tree, "url": format!("{url}/git/trees/{}", commit.tree) },
            "comment_count": 0,
            "verification": { "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null },
        },
        "author": null,
        "committer": null,
        "parents": parents,
    })
}

//! Repositories: contents, branches, commits, and what somebody may do there.
//! <https://docs.github.com/en/rest/repos>

use std::path::PathBuf;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::sim::app_auth::Access::{Read, Write};
use crate::sim::app_auth::Caller;
use crate::sim::git::{self, ChangedFile};
use crate::sim::json;
use crate::sim::world::{Repository, World};

use super::{Answer, Call, Reply, broken, invalid, not_found, refusal};

pub(super) fn get(call: &Call<'_>, repo: &str) -> Answer {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("metadata", Read)])?;
    Ok(Reply::json(200, &json::repository(&world, known(&world, id)?)))
}

/// A file, in base64, or as it is for `Accept: application/vnd.github.raw`. Folders are not listed.
pub(super) async fn contents(call: &Call<'_>, repo: &str, path: &str) -> Answer {
    let place = place(call, repo)?;
    let name = call.query.get("ref").map_or(place.default_branch.as_str(), String::as_str);
    let name = name.strip_prefix("refs/heads/").unwrap_or(name);
    let no_commit = || refusal(404, &format!("No commit found for the ref {name}"));
    let commit = git::resolve(&place.folder, name).await.ok_or_else(no_commit)?;
    let content = git::file(&place.folder, &commit, path).await.ok_or_else(not_found)?;
    if call.accept.contains("raw") {
        return Ok(Reply::raw(200, "application/vnd.github.raw+json; charset=utf-8", content));
    }
    let sha = git::text(&place.folder, &["rev-parse", &format!("{commit}:{path}")]).await.map_err(broken)?;
    // GitHub breaks the lines after 60 characters, so whoever decodes must expect line ends.
    let encoded = base64::engine::general_purpose::STANDARD.encode(&content);
    let lines: Vec<String> = encoded.as_bytes().chunks(60).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    let url = format!("{}?ref={name}", call.url);
    let (git_url, html_url) = (format!("{}/git/blobs/{sha}", place.url), format!("{}/blob/{name}/{path}", place.html));
    Ok(Reply::json(
        200,
        &json!({
            "type": "file",
            "encoding": "base64",
            "size": content.len(),
            "name": path.rsplit('/').next(),
            "path": path,
            "content": if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" },
            "sha": sha,
            "url": url,
            "git_url": git_url,
            "html_url": html_url,
            "download_url": null,
            "_links": { "self": url, "git": git_url, "html": html_url },
        }),
    ))
}

pub(super) async fn branch(call: &Call<'_>, repo: &str, name: &str) -> Answer {
    let place = place(call, repo)?;
    if name.is_empty() {
        let list = place.branches.iter().map(|(name, sha)| {
            let commit = json!({ "sha": sha, "url": format!("{}/commits/{sha}", place.url) });
            json!({ "name": name, "commit": commit, "protected": false })
        });
        return Ok(call.page(list.collect()));
    }
    let sha = place.branches.get(name).ok_or_else(|| refusal(404, "Branch not found"))?;
    let commits = git::log(&place.folder, sha, 1).await.map_err(broken)?;
    let commit = commits.first().ok_or_else(not_found)?;
    let world = call.inner.world();
    Ok(Reply::json(
        200,
        &json!({
            "name": name,
            "commit": json::commit(&world, known(&world, place.id)?, commit),
            "_links": { "self": call.url, "html": format!("{}/tree/{name}", place.html) },
            "protected": false,
            "protection": { "enabled": false },
            "protection_url": format!("{}/protection", call.url),
        }),
    ))
}

pub(super) fn git_ref(call: &Call<'_>, repo: &str, name: &str) -> Answer {
    let place = place(call, repo)?;
    if place.branches.is_empty() {
        return Err(refusal(409, "Git Repository is empty."));
    }
    let sha = place.branches.get(name).ok_or_else(not_found)?;
    Ok(Reply::json(200, &reference(&place, name, sha)))
}

pub(super) fn matching_refs(call: &Call<'_>, repo: &str, prefix: &str) -> Answer {
    let place = place(call, repo)?;
    let matching = place.branches.iter().filter(|(name, _)| name.starts_with(prefix));
    Ok(call.page(matching.map(|(name, sha)| reference(&place, name, sha)).collect()))
}

pub(super) async fn commit(call: &Call<'_>, repo: &str, name: &str) -> Answer {
    let place = place(call, repo)?;
    let no_commit = || refusal(422, &format!("No commit found for SHA: {name}"));
    let sha = git::resolve(&place.folder, name).await.ok_or_else(no_commit)?;
    if call.accept.contains("vnd.github.sha") {
        return Ok(Reply::raw(200, "application/vnd.github.sha; charset=utf-8", sha));
    }
    let commits = git::log(&place.folder, &sha, 1).await.map_err(broken)?;
    let commit = commits.first().ok_or_else(no_commit)?;
    let world = call.inner.world();
    let mut value = json::commit(&world, known(&world, place.id)?, commit);
    value["stats"] = json!({ "additions": 0, "deletions": 0, "total": 0 });
    value["files"] = json!([]);
    Ok(Reply::json(200, &value))
}

/// `<base>...<head>`, both of this repository.
pub(super) async fn compare(call: &Call<'_>, repo: &str, range: &str) -> Answer {
    let place = place(call, repo)?;
    let (base, head) = range.split_once("...").ok_or_else(not_found)?;
    let base = git::resolve(&place.folder, base).await.ok_or_else(not_found)?;
    let head = git::resolve(&place.folder, head).await.ok_or_else(not_found)?;
    let ancestor = git::text(&place.folder, &["merge-base", &base, &head]).await.map_err(|_| not_found())?;
    let ahead = git::log(&place.folder, &format!("{base}..{head}"), 250).await.map_err(broken)?;
    let behind = git::log(&place.folder, &format!("{head}..{base}"), 10_000).await.map_err(broken)?.len();
    let files = git::changed_files(&place.folder, &base, &head).await.map_err(broken)?;
    let ends = [&base, &ancestor].map(|sha| async { git::log(&place.folder, sha, 1).await.map_err(broken) });
    let [base_commit, ancestor_commit] = ends;
    let (base_commit, ancestor_commit) = (base_commit.await?, ancestor_commit.await?);
    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let world = call.inner.world();
    let of = known(&world, place.id)?;
    let commit = |commit| json::commit(&world, of, commit);
    Ok(Reply::json(
        200,
        &json!({
            "url": call.url,
            "html_url": format!("{}/compare/{range}", place.html),
            "permalink_url": format!("{}/compare/{range}", place.html),
            "diff_url": format!("{}/compare/{range}.diff", place.html),
            "patch_url": format!("{}/compare/{range}.patch", place.html),
            "base_commit": base_commit.first().map(commit),
            "merge_base_commit": ancestor_commit.first().map(commit),
            "status": status,
            "ahead_by": ahead.len(),
            "behind_by": behind,
            "total_commits": ahead.len(),
            "commits": ahead.iter().map(commit).collect::<Vec<Value>>(),
            "files": files.iter().map(|file| changed_file(&place.url, &head, file)).collect::<Vec<Value>>(),
        }),
    ))
}

pub(super) fn permission(call: &Call<'_>, repo: &str, login: &str) -> Answer {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("metadata", Read)])?;
    if matches!(call.caller, Caller::Nobody) {
        return Err(refusal(401, "Requires authentication"));
    }
    let no_user = || refusal(404, &format!("{login} is not a user"));
    let account = world.account_of(login).ok_or_else(no_user)?.id;
    let role = world.role(known(&world, id)?, account);
    let mut user = json::account(&world, account);
    user["role_name"] = json!(role.name());
    user["permissions"] = json!({
        "pull": role.permission() != "none",
        "triage": !matches!(role.name(), "none" | "read"),
        "push": matches!(role.permission(), "write" | "admin"),
        "maintain": matches!(role.name(), "maintain" | "admin"),
        "admin": role.name() == "admin",
    });
    let value = json!({ "permission": role.permission(), "role_name": role.name(), "user": user });
    Ok(Reply::json(200, &value))
}

pub(super) fn create_label(call: &Call<'_>, repo: &str) -> Answer {
    let mut world = call.inner.world();
    let id = call.repository(&world, repo, &[("issues", Write), ("pull_requests", Write)])?;
    let name = call.required("Label", "name")?;
    if known(&world, id)?.labels.contains_key(name) {
        return Err(invalid(&[json!({ "resource": "Label", "code": "already_exists", "field": "name" })]));
    }
    let label = world.define_label(id, name)?;
    if let Some(color) = call.text("color") {
        label.color = color.to_owned();
    }
    label.description = call.text("description").map(str::to_owned);
    let label = label.clone();
    Ok(Reply::json(201, &json::label(&world, known(&world, id)?, name, &label)))
}

pub(super) fn get_label(call: &Call<'_>, repo: &str, name: &str) -> Answer {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("issues", Read), ("pull_requests", Read)])?;
    let of = known(&world, id)?;
    let label = of.labels.get(name).ok_or_else(not_found)?;
    Ok(Reply::json(200, &json::label(&world, of, name, label)))
}

/// A changed file of a comparison or pull request.
pub(super) fn changed_file(repository_url: &str, head: &str, file: &ChangedFile) -> Value {
    let path = &file.path;
    json!({
        "sha": null,
        "filename": path,
        "status": "modified",
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": format!("{repository_url}/blob/{head}/{path}"),
        "raw_url": format!("{repository_url}/raw/{head}/{path}"),
        "contents_url": format!("{repository_url}/contents/{path}?ref={head}"),
    })
}

/// The repository of an id that was just looked up.
pub(super) fn known(world: &World, id: i64) -> Result<&Repository, Reply> {
    world.repositories.get(&id).ok_or_else(not_found)
}

/// What is needed of a repository while git works on it, without holding the world.
pub(super) struct Place {
    pub id: i64,
    pub folder: PathBuf,
    pub default_branch: String,
    pub branches: git::Branches,
    pub url: String,
    pub html: String,
}

impl Place {
    pub(super) fn of(world: &World, repository: &Repository) -> Self {
        Self {
            id: repository.id,
            folder: repository.folder.clone(),
            default_branch: repository.default_branch.clone(),
            branches: repository.branches.clone(),
            url: json::repository_url(world, repository),
            html: format!("{}/{}", world.server, repository.full_name),
        }
    }
}

/// A repository whose commits the caller may read.
fn place(call: &Call<'_>, repo: &str) -> Result<Place, Reply> {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("contents", Read)])?;
    Ok(Place::of(&world, known(&world, id)?))
}

fn reference(place: &Place, name: &str, sha: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{name}"),
        "node_id": format!("REF_{sha}"),
        "url": format!("{}/git/refs/heads/{name}", place.url),
        "object": { "type": "commit", "sha": sha, "url": format!("{}/git/commits/{sha}", place.url) },
    })
}

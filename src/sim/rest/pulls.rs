//! Pull requests; their reviews are in `reviews`.
//! <https://docs.github.com/en/rest/pulls>

use serde_json::{Value, json};

use crate::sim::app_auth::Access::{Read, Write};
use crate::sim::changes::NewPull;
use crate::sim::world::{Issue, Pull, Repository, World};
use crate::sim::{git, json, pushes};

use super::repos::{Place, changed_file, known};
use super::{Answer, Call, Reply, bot, broken, invalid, not_found};

/// Newest first, `state` open unless asked otherwise, `head` as `owner:branch`.
pub(super) fn list(call: &Call<'_>, repo: &str) -> Answer {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("pull_requests", Read)])?;
    let of = known(&world, id)?;
    let state = call.query.get("state").map_or("open", String::as_str);
    let wanted = |issue: &Issue, pull: &Pull| {
        let label = format!("{}:{}", world.login(pull.head_owner), pull.head_ref);
        // GitHub ignores a head without an owner.
        let head = call.query.get("head").filter(|head| head.contains(':'));
        (state == "all" || state == json::state(issue))
            && head.is_none_or(|head| head.eq_ignore_ascii_case(&label))
            && call.query.get("base").is_none_or(|base| *base == pull.base_ref)
    };
    let pulls = of.issues.values().rev().filter_map(|issue| {
        let pull = issue.pull.as_ref().filter(|pull| wanted(issue, pull))?;
        Some(json::pull(&world, of, issue, pull))
    });
    Ok(call.page(pulls.collect()))
}

pub(super) async fn create(call: &Call<'_>, repo: &str) -> Answer {
    let place = {
        let world = call.inner.world();
        let id = call.repository(&world, repo, &[("pull_requests", Write)])?;
        Place::of(&world, known(&world, id)?)
    };
    let wrong = |field: &str| invalid(&[json!({ "resource": "PullRequest", "field": field, "code": "invalid" })]);
    let custom =
        |message: String| invalid(&[json!({ "resource": "PullRequest", "code": "custom", "message": message })]);
    let (title, base) = (call.required("PullRequest", "title")?, call.required("PullRequest", "base")?);
    let head = call.required("PullRequest", "head")?;
    let owner = repo.split('/').next().unwrap_or_default();
    let head = match head.split_once(':') {
        Some((whose, head)) if whose.eq_ignore_ascii_case(owner) => head,
        Some(_) => return Err(wrong("head")),
        None => head,
    };
    let base_sha = place.branches.get(base).ok_or_else(|| wrong("base"))?;
    let head_sha = place.branches.get(head).ok_or_else(|| wrong("head"))?;
    let difference = git::difference(&place.folder, base_sha, head_sha).await.map_err(broken)?;
    if difference.commits == 0 {
        return Err(custom(format!("No commits between {base} and {head}")));
    }
    let (number, value) = {
        let mut world = call.inner.world();
        let open = known(&world, place.id)?.issues.values().filter(|issue| issue.open);
        let mut open = open.filter_map(|issue| issue.pull.as_ref());
        if open.any(|pull| pull.head_ref == head && pull.base_ref == base) {
            return Err(custom(format!("A pull request already exists for {owner}:{head}.")));
        }
        let new = NewPull {
            title,
            body: call.text("body").unwrap_or_default(),
            head_repository: place.id,
            head_ref: head,
            head_sha,
            base_ref: base,
            base_sha,
            draft: call.body.get("draft").and_then(Value::as_bool).unwrap_or(false),
            difference,
        };
        let actor = bot(&world);
        let number = world.open_pull(place.id, actor, new)?;
        let (of, issue, pull) = find(&world, place.id, number)?;
        (number, json::pull(&world, of, issue, pull))
    };
    pushes::set_pull_ref(&place.folder, number, head_sha).await.map_err(broken)?;
    Ok(Reply::json(201, &value))
}

/// Also as a diff, for `Accept: application/vnd.github.diff`.
pub(super) async fn get(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let (place, number, ends) = reach(call, repo, number)?;
    if call.accept.contains("diff") {
        let range = format!("{}...{}", ends.0, ends.1);
        let diff = git::run(&place.folder, &["diff", &range, "--"], b"").await.map_err(broken)?;
        return Ok(Reply::raw(200, "application/vnd.github.diff; charset=utf-8", diff));
    }
    let base = {
        let world = call.inner.world();
        let (_, _, pull) = find(&world, place.id, number)?;
        place.branches.get(&pull.base_ref).unwrap_or(&ends.0).clone()
    };
    let merges = git::run(&place.folder, &["merge-tree", "--write-tree", &base, &ends.1], b"").await.is_ok();
    let world = call.inner.world();
    let (of, issue, pull) = find(&world, place.id, number)?;
    let mut value = json::pull(&world, of, issue, pull);
    if issue.open {
        value["mergeable"] = json!(merges);
        value["mergeable_state"] = json!(if merges { "clean" } else { "dirty" });
    }
    Ok(Reply::json(200, &value))
}

pub(super) fn edit(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let mut world = call.inner.world();
    let id = call.repository(&world, repo, &[("pull_requests", Write)])?;
    let number: i64 = number.parse().map_err(|_| not_found())?;
    let (_, issue, pull) = find(&world, id, number)?;
    if !issue.open && call.text("state") == Some("open") {
        reopens(&world, pull)?;
    }
    let actor = bot(&world);
    world.edit_issue(id, actor, number, (call.text("title"), call.text("body")))?;
    if let Some(state) = call.text("state") {
        world.set_open(id, actor, number, state == "open")?;
    }
    let (of, issue, pull) = find(&world, id, number)?;
    Ok(Reply::json(200, &json::pull(&world, of, issue, pull)))
}

/// Neither what was merged is opened again, nor what has no branch any more.
fn reopens(world: &World, pull: &Pull) -> Result<(), Reply> {
    let head = pull.head_repository.and_then(|id| world.repositories.get(&id));
    let branch = head.and_then(|of| of.branches.get(&pull.head_ref));
    let message = if pull.merged_at.is_some() {
        "state cannot be changed. The pull request cannot be reopened.".to_owned()
    } else if branch.is_none() {
        format!("state cannot be changed. The {} branch has been deleted.", pull.head_ref)
    } else if branch != Some(&pull.head_sha) {
        format!("state cannot be changed. The {} branch was force-pushed or recreated.", pull.head_ref)
    } else {
        return Ok(());
    };
    Err(invalid(&[json!({ "resource": "PullRequest", "code": "invalid", "field": "state", "message": message })]))
}

pub(super) async fn commits(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let (place, _, (base, head)) = reach(call, repo, number)?;
    let commits = git::log(&place.folder, &format!("{base}..{head}"), 250).await.map_err(broken)?;
    let world = call.inner.world();
    let of = known(&world, place.id)?;
    Ok(call.page(commits.iter().map(|commit| json::commit(&world, of, commit)).collect()))
}

pub(super) async fn files(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let (place, _, (base, head)) = reach(call, repo, number)?;
    let files = git::changed_files(&place.folder, &base, &head).await.map_err(broken)?;
    Ok(call.page(files.iter().map(|file| changed_file(&place.url, &head, file)).collect()))
}

/// The place, number, and base and head commits of a pull request that the caller may read.
pub(super) fn reach(call: &Call<'_>, repo: &str, number: &str) -> Result<(Place, i64, (String, String)), Reply> {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("pull_requests", Read)])?;
    let number: i64 = number.parse().map_err(|_| not_found())?;
    let (of, _, pull) = find(&world, id, number)?;
    Ok((Place::of(&world, of), number, (pull.base_sha.clone(), pull.head_sha.clone())))
}

pub(super) fn find(world: &World, repository: i64, number: i64) -> Result<(&Repository, &Issue, &Pull), Reply> {
    let of = known(world, repository)?;
    let issue = of.issues.get(&number).ok_or_else(not_found)?;
    Ok((of, issue, issue.pull.as_ref().ok_or_else(not_found)?))
}

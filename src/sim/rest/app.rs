//! The App: itself, its installations and their tokens, its webhook's deliveries, and accounts.
//! <https://docs.github.com/en/rest/apps>

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::sim::app_auth::{Caller, SUSPENDED, in_scope, rank};
use crate::sim::webhooks::{self, DeliveryRecord};
use crate::sim::world::{Installation, Repository, Token, World, stamp};
use crate::sim::{json, manifest};

use super::{Answer, Call, Reply, not_found, refusal};

pub(super) fn get(call: &Call<'_>) -> Answer {
    call.app_only()?;
    Ok(Reply::json(200, &json::app(&call.inner.world())))
}

/// Hands out what was made when the App was created from a manifest, once.
/// <https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest>
pub(super) fn convert(call: &Call<'_>, code: &str) -> Answer {
    let mut world = call.inner.world();
    let pem = manifest::redeem(&mut world, code).ok_or_else(not_found)?;
    let mut value = json::app(&world);
    value["pem"] = json!(pem.expose_secret());
    value["webhook_secret"] = json!(world.app.webhook_url.is_some().then(|| world.app.webhook_secret.expose_secret()));
    value["client_secret"] = json!(world.app.client_secret.expose_secret());
    Ok(Reply::json(201, &value))
}

pub(super) fn rate_limit() -> Reply {
    let rate = json!({ "limit": 15_000, "remaining": 15_000, "used": 0, "reset": 0 });
    Reply::json(200, &json!({ "resources": { "core": rate, "search": rate }, "rate": rate }))
}

pub(super) fn installations(call: &Call<'_>) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    Ok(call.page(world.installations.values().map(|one| json::installation(&world, one)).collect()))
}

pub(super) fn installation(call: &Call<'_>, id: &str) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    Ok(Reply::json(200, &json::installation(&world, find(&world, id)?)))
}

pub(super) fn repository_installation(call: &Call<'_>, repo: &str) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    let installation = world.repository(repo).and_then(|of| world.installed(of)).ok_or_else(not_found)?;
    Ok(Reply::json(200, &json::installation(&world, installation)))
}

/// Makes a token, narrowed to the repositories and permissions that were asked for.
pub(super) fn create_token(call: &Call<'_>, id: &str) -> Answer {
    call.app_only()?;
    let mut world = call.inner.world();
    let installation = find(&world, id)?.clone();
    if installation.suspended_at.is_some() {
        return Err(refusal(403, SUSPENDED));
    }
    let repositories = narrowed_repositories(&world, &installation, call.body)?;
    let permissions = narrowed_permissions(&world, call.body)?;
    let expires_at = world.now() + call.inner.token_life.as_millis() as i64;
    let secret = format!("ghs_{}", hex::encode(rand::random::<[u8; 18]>()));
    let mut value = json!({
        "token": secret,
        "expires_at": stamp(expires_at),
        "permissions": permissions,
        "repository_selection": if repositories.is_some() { "selected" } else { "all" },
    });
    if let Some(ids) = &repositories {
        let of = ids.iter().filter_map(|id| world.repositories.get(id));
        value["repositories"] = of.map(|of| json::repository(&world, of)).collect();
    }
    world.tokens.insert(secret, Token { installation: installation.id, permissions, repositories, expires_at });
    Ok(Reply::json(201, &value))
}

pub(super) fn revoke(call: &Call<'_>) -> Answer {
    let Caller::Installation(secret, _) = call.caller else { return Err(refusal(401, "Requires authentication")) };
    call.inner.world().tokens.remove(secret);
    Ok(Reply::empty(204))
}

pub(super) fn repositories(call: &Call<'_>) -> Answer {
    let Caller::Installation(_, token) = call.caller else { return Err(refusal(401, "Requires authentication")) };
    let world = call.inner.world();
    let reached = world.repositories.values().filter(|of| in_scope(&world, token, of));
    let all: Vec<Value> = reached.map(|of| json::repository(&world, of)).collect();
    let total = all.len();
    let (page, headers) = call.slice(all);
    let value = json!({ "total_count": total, "repositories": page, "repository_selection": "all" });
    Ok(Reply::json(200, &value).with_headers(headers))
}

pub(super) fn hook_config(call: &Call<'_>) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    let value = json!({
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
        "url": world.app.webhook_url,
    });
    Ok(Reply::json(200, &value))
}

pub(super) fn set_hook_config(call: &Call<'_>) -> Answer {
    call.app_only()?;
    if let Some(url) = call.text("url") {
        call.inner.world().app.webhook_url = Some(url.to_owned());
    }
    if let Some(secret) = call.text("secret") {
        call.inner.world().app.webhook_secret = secret.into();
    }
    hook_config(call)
}

/// The deliveries log, newest first. The cursor is the id that the page before ended with.
pub(super) fn deliveries(call: &Call<'_>) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    let size = call.query.get("per_page").and_then(|size| size.parse().ok()).unwrap_or(30).clamp(1, 100);
    let before = match call.query.get("cursor") {
        Some(cursor) => {
            cursor.strip_prefix("v1_").and_then(|id| id.parse().ok()).ok_or_else(|| refusal(400, "Invalid cursor"))?
        }
        None => i64::MAX,
    };
    let older: Vec<&DeliveryRecord> =
        world.deliveries.iter().rev().filter(|record| record.id < before).take(size + 1).collect();
    let page: Vec<Value> = older.iter().take(size).map(|record| summary(record)).collect();
    let more = older.get(size).and_then(|_| older.get(size - 1)).map(|last| {
        let url = format!("{}?per_page={size}&cursor=v1_{}", call.url, last.id);
        ("link".to_owned(), format!("<{url}>; rel=\"next\""))
    });
    Ok(Reply::json(200, &page.into()).with_headers(more))
}

pub(super) fn delivery(call: &Call<'_>, id: &str) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    let record = find_delivery(&world, id)?;
    let mut value = summary(record);
    let headers: Value = record.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let payload: Value = serde_json::from_slice(&record.payload).unwrap_or_default();
    value["url"] = json!(record.url);
    value["request"] = json!({ "headers": headers, "payload": payload });
    value["response"] = json!({ "headers": {}, "payload": "" });
    Ok(Reply::json(200, &value))
}

pub(super) fn redeliver(call: &Call<'_>, id: &str) -> Answer {
    call.app_only()?;
    let world = call.inner.world();
    let again = webhooks::again(find_delivery(&world, id)?, world.app.webhook_url.as_deref());
    world.enqueue(again);
    Ok(Reply::json(202, &json!({})))
}

pub(super) fn user(call: &Call<'_>, login: &str) -> Answer {
    let world = call.inner.world();
    let id = world.account_of(login).ok_or_else(not_found)?.id;
    Ok(Reply::json(200, &account_in_full(&world, id)))
}

/// An account with what only its own endpoint tells.
pub(super) fn account_in_full(world: &World, id: i64) -> Value {
    let mut value = json::account(world, id);
    for (name, more) in [
        ("name", Value::Null),
        ("company", Value::Null),
        ("blog", json!("")),
        ("location", Value::Null),
        ("email", Value::Null),
        ("hireable", Value::Null),
        ("bio", Value::Null),
        ("public_repos", json!(0)),
        ("public_gists", json!(0)),
        ("followers", json!(0)),
        ("following", json!(0)),
        ("created_at", json!(stamp(0))),
        ("updated_at", json!(stamp(0))),
    ] {
        value[name] = more;
    }
    value
}

fn find<'w>(world: &'w World, id: &str) -> Result<&'w Installation, Reply> {
    id.parse().ok().and_then(|id: i64| world.installations.get(&id)).ok_or_else(not_found)
}

fn find_delivery<'w>(world: &'w World, id: &str) -> Result<&'w DeliveryRecord, Reply> {
    let id: i64 = id.parse().map_err(|_| not_found())?;
    world.deliveries.iter().find(|record| record.id == id).ok_or_else(not_found)
}

fn summary(record: &DeliveryRecord) -> Value {
    json!({
        "id": record.id,
        "guid": record.guid,
        "delivered_at": stamp(record.delivered_at),
        "redelivery": record.redelivery,
        "duration": record.duration,
        "status": record.status,
        "status_code": record.status_code,
        "event": record.event,
        "action": record.action,
        "installation_id": record.installation,
        "repository_id": record.repository,
        "throttled_at": null,
    })
}

fn narrowed_repositories(world: &World, installation: &Installation, body: &Value) -> Result<Option<Vec<i64>>, Reply> {
    let list = |field: &str| body.get(field).and_then(Value::as_array).filter(|list| !list.is_empty());
    let reached = |of: &&Repository| world.installed(of).is_some_and(|on| on.id == installation.id);
    let mine: Vec<_> = world.repositories.values().filter(reached).collect();
    let mut chosen = Vec::new();
    for id in list("repository_ids").into_iter().flatten() {
        chosen.push(mine.iter().find(|of| Some(of.id) == id.as_i64()));
    }
    for name in list("repositories").into_iter().flatten() {
        chosen.push(mine.iter().find(|of| Some(of.name.as_str()) == name.as_str()));
    }
    if chosen.is_empty() {
        return Ok(None);
    }
    let ids: Option<Vec<i64>> = chosen.into_iter().map(|of| of.map(|of| of.id)).collect();
    let refused =
        "There is at least one repository that does not exist or is not accessible to the parent installation.";
    ids.map(Some).ok_or_else(|| refusal(422, refused))
}

fn narrowed_permissions(world: &World, body: &Value) -> Result<BTreeMap<String, String>, Reply> {
    let granted = &world.app.permissions;
    let Some(asked) = body.get("permissions").and_then(Value::as_object).filter(|asked| !asked.is_empty()) else {
        return Ok(granted.clone());
    };
    let mut narrowed = BTreeMap::new();
    for (name, level) in asked {
        let level = level.as_str().unwrap_or_default();
        let most = granted.get(name).map_or(0, |level| rank(level));
        if rank(level) == 0 || rank(level) > most {
            return Err(refusal(422, "The permissions requested are not granted to this installation."));
        }
        narrowed.insert(name.clone(), level.to_owned());
    }
    // Every token of an App can read metadata.
    narrowed.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    Ok(narrowed)
}

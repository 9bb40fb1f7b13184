//! The App and its installations. <https://docs.github.com/en/rest/apps/apps>

use serde_json::{Value, json};

use super::account;
use crate::sim::world::{Installation, World, stamp};

/// The App.
pub(in crate::sim) fn app(world: &World) -> Value {
    json!({
        "id": world.app.id,
        "slug": world.app.slug,
        "node_id": format!("A_{}", world.app.id),
        "client_id": world.app.client_id,
        "owner": account(world, world.app_owner),
        "name": world.app.name,
        "description": "",
        "external_url": world.server,
        "html_url": format!("{}/apps/{}", world.server, world.app.slug),
        "created_at": stamp(0),
        "updated_at": stamp(0),
        "permissions": world.app.permissions,
        "events": world.app.events,
        "installations_count": world.installations.len(),
    })
}

/// An installation of the App.
pub(in crate::sim) fn installation(world: &World, installation: &Installation) -> Value {
    let kind = world.accounts.get(&installation.account).map_or("User", |account| account.kind);
    let login = world.login(installation.account);
    json!({
        "id": installation.id,
        "account": account(world, installation.account),
        "repository_selection": if installation.excluded.is_empty() { "all" } else { "selected" },
        "access_tokens_url": format!("{}/app/installations/{}/access_tokens", world.api(), installation.id),
        "repositories_url": format!("{}/installation/repositories", world.api()),
        "html_url": format!("{}/organizations/{login}/settings/installations/{}", world.server, installation.id),
        "app_id": world.app.id,
        "app_slug": world.app.slug,
        "target_id": installation.account,
        "target_type": kind,
        "permissions": world.app.permissions,
        "events": world.app.events,
        "single_file_name": null,
        "single_file_paths": [],
        "has_multiple_single_files": false,
        "created_at": stamp(installation.created_at),
        "updated_at": stamp(installation.created_at),
        "suspended_by": installation.suspended_at.map(|_| account(world, installation.account)),
        "suspended_at": installation.suspended_at.map(stamp),
    })
}

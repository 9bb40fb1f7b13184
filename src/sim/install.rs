//! Installing the App: the page on which an owner chooses repositories, and where it leads.
//! <https://docs.github.com/en/apps/using-github-apps/installing-a-github-app-from-a-third-party>

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use super::web::{Fields, hidden, redirect, shown, told};
use super::world::{Account, World};
use super::{Inner, pages};
use crate::markup::escape;

/// The App's own page.
pub(super) fn about(world: &World, slug: &str) -> Option<Response> {
    (world.app.slug == slug).then_some(())?;
    let name = escape(&world.app.name);
    let body = format!(
        "<h1>{name}</h1><p class=quiet>An App of {}</p><p><a href=\"/apps/{}/installations/new\">Install {name}</a></p>",
        escape(&world.app.owner),
        escape(slug)
    );
    Some(shown(StatusCode::OK, pages::page(&world.app.name, &body), &[]))
}

/// The page with the accounts on which the App can be installed; none for an App that there is not.
pub(super) fn ask(world: &World, slug: &str, fields: &Fields) -> Option<Response> {
    (world.app.slug == slug).then_some(())?;
    let name = escape(&world.app.name);
    let state = fields.get("state");
    let boxes: String =
        world.accounts.values().filter(|of| may_have(world, of)).map(|of| form(world, of, state)).collect();
    let body = format!("<h1>Install {name}</h1>{boxes}");
    let onward: Vec<&str> = world.app.setup_url.as_deref().into_iter().collect();
    Some(shown(StatusCode::OK, pages::page(&format!("Install {}", world.app.name), &body), &onward))
}

/// One that is not public is for its owner alone.
fn may_have(world: &World, account: &Account) -> bool {
    account.kind != "Bot" && (world.app.public || account.id == world.app_owner)
}

fn form(world: &World, account: &Account, state: Option<&str>) -> String {
    let (login, slug) = (escape(&account.login), escape(&world.app.slug));
    let there = world.installation_on(account.id);
    let all = there.is_none_or(|on| on.excluded.is_empty());
    let checked = |yes: bool| if yes { " checked" } else { "" };
    let repositories = world.repositories.values().filter(|of| of.owner == account.id).map(|of| {
        let chosen = there.is_some_and(|on| !all && !on.excluded.contains(&of.id));
        let name = escape(&of.full_name);
        format!(
            "<li><label><input type=checkbox name=repository value=\"{name}\"{}> {name}</label></li>",
            checked(chosen)
        )
    });
    let button = if there.is_some() { "Save" } else { "Install" };
    format!(
        "<form class=box method=post action=\"/apps/{slug}/installations\"><header><b>{login}</b></header><div>{}\
         <p><label><input type=radio name=selection value=all{}> All repositories</label></p>\
         <p><label><input type=radio name=selection value=selected{}> Only select repositories</label></p>\
         <ul>{}</ul><p><button>{button} on {login}</button></p></div></form>",
        hidden(&[("account", Some(account.login.as_str())), ("state", state)]),
        checked(all),
        checked(!all),
        repositories.collect::<String>(),
    )
}

/// Installs the App on what was chosen, or changes what it reaches there, and leads to where its maker wants people.
pub(super) fn install(inner: &Arc<Inner>, slug: &str, fields: &Fields) -> Option<Response> {
    let mut world = inner.world();
    (world.app.slug == slug).then_some(())?;
    let account = world.account_of(fields.get("account")?).filter(|of| may_have(&world, of))?.id;
    let mine: Vec<(i64, String)> =
        world.repositories.values().filter(|of| of.owner == account).map(|of| (of.id, of.full_name.clone())).collect();
    let chosen: Vec<&str> = fields.all("repository").collect();
    let excluded: BTreeSet<i64> = match fields.get("selection") {
        Some("selected") => {
            mine.iter().filter(|(_, name)| !chosen.contains(&name.as_str())).map(|(id, _)| *id).collect()
        }
        _ => BTreeSet::new(),
    };
    if excluded.len() == mine.len() && !mine.is_empty() {
        let sentence = "Select at least one repository, or choose all of them.";
        return Some(told(StatusCode::UNPROCESSABLE_ENTITY, "No repository", sentence));
    }
    if let Some(there) = world.installation_on(account) {
        // As on GitHub, nobody is led on who only changed what is reached.
        let id = there.id;
        world.reach_exactly(id, excluded);
        return Some(told(StatusCode::OK, "Saved", &format!("{} reaches what was selected.", world.app.name)));
    }
    world.install(account);
    let id = world.installation_on(account)?.id;
    if let Some(installation) = world.installations.get_mut(&id) {
        installation.excluded = excluded;
    }
    world.installation_event(account, "created");
    let id = id.to_string();
    Some(match world.app.setup_url.clone() {
        Some(url) => {
            let state = fields.get("state").map(|state| ("state", state));
            let told = [("installation_id", id.as_str()), ("setup_action", "install")];
            redirect(&url, &told.into_iter().chain(state).collect::<Vec<_>>())
        }
        None => told(StatusCode::OK, "Installed", &format!("{} is installed.", world.app.name)),
    })
}

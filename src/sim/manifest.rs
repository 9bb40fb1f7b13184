//! Creating an App from a manifest: the page on which GitHub asks whether to, and the code by which the App's secrets are handed out.
//! The App that the world had before is no more; there is one at a time.
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;

use crate::model::Millis;

use super::changes::EVENTS;
use super::web::{Fields, hidden, person_field, redirect, shown, told};
use super::world::World;
use super::{AppSettings, Inner, app_keys, pages};
use crate::markup::escape;

const CODE_LIFE: Millis = 3_600_000;
/// GitHub's limit for names of Apps.
const LONGEST_NAME: usize = 34;

/// What a code is worth: the private key of the App that was created. The rest stands in the App's settings.
pub(super) struct Conversion {
    pem: SecretString,
    expires_at: Millis,
}

/// What GitHub reads of a manifest.
#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    url: Option<String>,
    hook_attributes: Option<Hook>,
    redirect_url: Option<String>,
    #[serde(default)]
    callback_urls: Vec<String>,
    setup_url: Option<String>,
    #[serde(default)]
    default_permissions: BTreeMap<String, String>,
    #[serde(default)]
    default_events: Vec<String>,
    #[serde(default)]
    public: bool,
}

#[derive(Deserialize)]
struct Hook {
    url: Option<String>,
    active: Option<bool>,
}

impl Manifest {
    /// A manifest that GitHub would take.
    fn read(text: Option<&str>) -> Result<Self, String> {
        let text = text.ok_or("The configuration does not appear to be a valid GitHub App manifest.")?;
        let manifest: Self = serde_json::from_str(text)
            .map_err(|error| format!("The configuration does not appear to be a valid GitHub App manifest. {error}"))?;
        let without_url = || "Error \"url\" wasn't supplied.".to_owned();
        manifest.url.as_deref().filter(|url| is_web(url)).ok_or_else(without_url)?;
        match &manifest.hook_attributes {
            Some(hook) => drop(hook.url.as_deref().filter(|url| is_web(url)).ok_or_else(without_url)?),
            None if manifest.default_events.is_empty() => {}
            None => {
                return Err(
                    "Default events cannot be subscribed to without a webhook: Hook url cannot be blank.".to_owned()
                );
            }
        }
        if let Some(level) = manifest.default_permissions.values().find(|level| !is_level(level)) {
            return Err(format!("Default permissions: {level} is no level of access."));
        }
        if let Some(event) = manifest.default_events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            return Err(format!("Default events unsupported: {event}"));
        }
        let onward = manifest.redirect_url.iter().chain(&manifest.callback_urls).chain(&manifest.setup_url);
        match onward.into_iter().find(|url| !is_web(url)) {
            Some(url) => Err(format!("{url} must be a valid URL.")),
            None => Ok(manifest),
        }
    }
}

fn is_web(url: &str) -> bool {
    let uri = url.parse::<axum::http::Uri>();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

fn is_level(level: &str) -> bool {
    matches!(level, "read" | "write" | "admin")
}

/// Asks whether to create the App, for the person who is signed in or for an organization.
pub(super) fn confirm(world: &World, organization: Option<&str>, fields: &Fields) -> Response {
    let manifest = match Manifest::read(fields.get("manifest")) {
        Ok(manifest) => manifest,
        Err(why) => return told(StatusCode::UNPROCESSABLE_ENTITY, "Invalid GitHub App configuration", &why),
    };
    if organization.is_some_and(|login| world.organization(login).is_none()) {
        return told(StatusCode::NOT_FOUND, "Not found", "There is no such organization.");
    }
    let name = manifest.name.clone().unwrap_or_default();
    form(world, organization, fields, &manifest, (&name, None))
}

fn form(
    world: &World,
    organization: Option<&str>,
    fields: &Fields,
    manifest: &Manifest,
    (name, wrong): (&str, Option<&str>),
) -> Response {
    let (action, whose, person) = match organization {
        Some(login) => (format!("/organizations/{}/settings/apps", escape(login)), escape(login), String::new()),
        None => {
            let person = person_field(world, fields.get("login"));
            ("/settings/apps".to_owned(), "your account".to_owned(), format!("<p>{person}</p>"))
        }
    };
    let carried = hidden(&["manifest", "state"].map(|name| (name, fields.get(name))));
    let wrong_box = wrong.map(|why| format!("<p role=alert>{}</p>", escape(why))).unwrap_or_default();
    let permissions = manifest.default_permissions.iter();
    let permissions = permissions.map(|(of, level)| format!("<li>{}: {}</li>", escape(of), escape(level)));
    let body = format!(
        "<h1>Create GitHub App</h1>{wrong_box}<div class=box><header>From a manifest</header><div>\
         <form method=post action=\"{action}\">{carried}{person}\
         <p><label>GitHub App name <input name=name required maxlength={LONGEST_NAME} value=\"{}\"></label></p>\
         <p>It asks for</p><ul>{}</ul><p><button>Create GitHub App for {whose}</button></p></form></div></div>",
        escape(name),
        permissions.collect::<String>(),
    );
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let onward: Vec<&str> = manifest.redirect_url.as_deref().into_iter().collect();
    shown(status, pages::page("Create GitHub App", &body), &onward)
}

/// Creates the App and leads back to whose manifest it was.
pub(super) async fn create(inner: &Arc<Inner>, organization: Option<&str>, fields: &Fields) -> Response {
    let manifest = match Manifest::read(fields.get("manifest")) {
        Ok(manifest) => manifest,
        Err(why) => return told(StatusCode::UNPROCESSABLE_ENTITY, "Invalid GitHub App configuration", &why),
    };
    // It takes a while, and others are to be answered meanwhile.
    let keys = tokio::task::spawn_blocking(app_keys::generate).await;
    let Ok(Ok((pem, public_key_pem))) = keys else {
        return told(StatusCode::INTERNAL_SERVER_ERROR, "No key", "The simulator could not make a key for the App.");
    };
    let mut world = inner.world();
    let owner = match organization {
        Some(login) => world.organization(login),
        None => world.acting(fields.get("login")),
    };
    let Some(owner) = owner else {
        return told(StatusCode::NOT_FOUND, "Not found", "There is nobody here for whom it could be created.");
    };
    let name = fields.get("name").unwrap_or_default().trim().to_owned();
    let slug = slug(&name);
    if let Some(why) = unusable(&world, owner, &name, &slug) {
        return form(&world, organization, fields, &manifest, (&name, Some(&why)));
    }
    let created = world.created(manifest, public_key_pem, (name, slug, owner));
    let (app, redirect_url) = match created {
        Ok(created) => created,
        Err(error) => return told(StatusCode::INTERNAL_SERVER_ERROR, "No App", &format!("{error:#}")),
    };
    let code = hex::encode(rand::random::<[u8; 20]>());
    let expires_at = world.now() + CODE_LIFE;
    world.web.conversions.insert(code.clone(), Conversion { pem, expires_at });
    match redirect_url {
        Some(url) => {
            let state = fields.get("state").map(|state| ("state", state));
            redirect(&url, &[("code", code.as_str())].into_iter().chain(state).collect::<Vec<_>>())
        }
        None => redirect(&format!("/apps/{app}"), &[]),
    }
}

/// The private key that a code is worth; it is worth it once.
pub(super) fn redeem(world: &mut World, code: &str) -> Option<SecretString> {
    let now = world.now();
    world.web.conversions.remove(code).filter(|conversion| conversion.expires_at > now).map(|conversion| conversion.pem)
}

impl World {
    /// Puts the App of a manifest in the place of the one there is; gives its slug, and where its maker wants to be led.
    fn created(
        &mut self,
        manifest: Manifest,
        public_key_pem: String,
        (name, slug, owner): (String, String, i64),
    ) -> anyhow::Result<(String, Option<String>)> {
        let key = app_keys::verifying(&public_key_pem)?;
        let secret = || SecretString::from(hex::encode(rand::random::<[u8; 20]>()));
        let hook = manifest.hook_attributes.filter(|hook| hook.active.unwrap_or(true));
        let mut permissions = manifest.default_permissions;
        permissions.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
        let app = AppSettings {
            id: self.next_id().unsigned_abs(),
            slug: slug.clone(),
            name,
            owner: self.login(owner).to_owned(),
            public_key_pem,
            webhook_secret: secret(),
            webhook_url: hook.and_then(|hook| hook.url),
            permissions,
            events: manifest.default_events,
            client_id: format!("Iv23{}", hex::encode(rand::random::<[u8; 8]>())),
            client_secret: secret(),
            callback_urls: manifest.callback_urls,
            setup_url: manifest.setup_url,
            public: manifest.public,
        };
        self.replace_app(app, key);
        Ok((slug, manifest.redirect_url))
    }
}

/// What GitHub makes of a name for addresses.
fn slug(name: &str) -> String {
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Why an App of an owner cannot have a name.
fn unusable(world: &World, owner: i64, name: &str, slug: &str) -> Option<String> {
    if slug.is_empty() {
        return Some("Name can't be blank".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Some(format!("Name is too long (maximum is {LONGEST_NAME} characters)"));
    }
    let account = world.account_of(slug).is_some_and(|account| account.id != owner);
    (account || world.app.slug == slug).then(|| "Name is already taken".to_owned())
}

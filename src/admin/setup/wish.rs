//! What somebody wants the App to be, and the manifest by which GitHub makes it. Pure.

use axum::http::Uri;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::reach::{NOWHERE, reaches};
use crate::config::{is_admin, is_login, plain_url};

/// What the App may do and is told of.
const MANIFEST: &str = include_str!("../../../app-manifest.yml");

/// GitHub's own server, unless it is an Enterprise one.
pub const GITHUB: &str = "https://github.com";
/// GitHub's limit for names of Apps.
const LONGEST_NAME: usize = 34;
/// The form as it was filled in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    /// `person` or `organization`.
    pub owner: String,
    /// The organization's login.
    pub organization: String,
    /// The App's name.
    pub name: String,
    /// Where GitHub is.
    pub server: String,
    /// How people and GitHub reach the bot.
    pub public_url: String,
    /// Who becomes admin, with commas between.
    pub admins: String,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name.
    pub field: &'static str,
    /// What is wrong and how to put it right.
    pub text: String,
}

/// A form that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The organization that is to own the App; none: the person who confirms.
    pub organization: Option<String>,
    /// The App's name.
    pub name: String,
    /// Where GitHub's pages are.
    pub server_url: String,
    /// Where GitHub's API is.
    pub api_url: String,
    /// How people and GitHub reach the bot.
    pub public_url: String,
    /// Who becomes admin.
    pub admins: Vec<String>,
}

impl Form {
    /// Every mistake at once, or what is wished for.
    pub fn check(&self) -> Result<Wish, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |field, text: &str| problems.push(Problem { field, text: text.to_owned() });
        let organization = (self.owner == "organization").then(|| self.organization.trim().trim_start_matches('@'));
        if organization.is_some_and(|login| !is_login(login)) {
            wrong(
                "organization",
                "Write the organization's name as in its address on GitHub: acme for github.com/acme.",
            );
        }
        let admins = logins(&self.admins);
        if admins.is_empty() {
            wrong("admins", "Write your login on GitHub, so that you can sign in later.");
        } else if let Some(login) = admins.iter().find(|named| !is_admin(named)) {
            wrong(
                "admins",
                &format!(
                    "{login:?} is no GitHub login: write logins with commas between, as octocat, hubot; teams as acme/maintainers."
                ),
            );
        }
        let server_url = server(&self.server);
        if server_url.is_none() {
            wrong(
                "server",
                "Write where you open GitHub: https://github.com, or https://github.example.org for an Enterprise server.",
            );
        }
        let public_url = plain_url(self.public_url.trim());
        if public_url.is_none() {
            wrong(
                "public_url",
                "Write the address with http:// or https://, without a question mark: https://track.example.org.",
            );
        }
        let name = match self.name.trim() {
            "" => suggested_name(organization.or(admins.first().map(String::as_str)).unwrap_or_default()),
            name => name.to_owned(),
        };
        if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            wrong("name", "GitHub takes names of at most 34 characters.");
        }
        match (server_url, public_url) {
            (Some(server_url), Some(public_url)) if problems.is_empty() => Ok(Wish {
                organization: organization.map(str::to_owned),
                name,
                api_url: api_url(&server_url),
                server_url,
                public_url,
                admins,
            }),
            _ => Err(problems),
        }
    }
}

/// Logins as people write them in a row.
pub fn logins(text: &str) -> Vec<String> {
    let parts = text.split([',', ' ', '\n', '\r', '\t']).map(|login| login.trim().trim_start_matches('@'));
    parts.filter(|login| !login.is_empty()).map(str::to_owned).collect()
}

/// The address of a GitHub, with a scheme if it was left out.
pub fn server(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return Some(GITHUB.to_owned());
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = plain_url(&url)?;
    let uri: Uri = url.parse().ok()?;
    // Its pages stand at the root of its host; people copy more of the address than that.
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str().to_ascii_lowercase());
    Some(origin.replacen("https://www.github.com", GITHUB, 1))
}

/// <https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api#making-a-request>
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/about-github-enterprise-cloud-with-data-residency#api-access>
pub fn api_url(server_url: &str) -> String {
    match server_url.strip_prefix("https://") {
        Some("github.com") => "https://api.github.com".to_owned(),
        Some(host) if host.ends_with(".ghe.com") => format!("https://api.{host}"),
        _ => format!("{server_url}/api/v3"),
    }
}

/// A name that is likely to be free: those of Apps are unique on the whole of GitHub.
fn suggested_name(owner: &str) -> String {
    let owner = owner.split('/').next().unwrap_or_default();
    format!("track-{owner}").chars().take(LONGEST_NAME).collect::<String>().trim_end_matches('-').to_owned()
}

impl Wish {
    /// The form that says the same.
    pub fn form(&self) -> Form {
        let owner = if self.organization.is_some() { "organization" } else { "person" };
        Form {
            owner: owner.to_owned(),
            organization: self.organization.clone().unwrap_or_default(),
            name: self.name.clone(),
            server: self.server_url.clone(),
            public_url: self.public_url.clone(),
            admins: self.admins.join(", "),
        }
    }

    /// Whether webhooks reach the bot: those of GitHub's own servers only over the public Internet.
    pub fn is_reached(&self) -> bool {
        reaches(&self.server_url, &self.public_url)
    }

    /// Where the browser takes the manifest.
    pub fn action(&self, state: &str) -> String {
        let whose = self.organization.as_ref().map_or_else(String::new, |login| format!("/organizations/{login}"));
        format!("{}{whose}/settings/apps/new?state={state}", self.server_url)
    }

    /// The manifest, for a browser that sees the bot at `base`.
    pub fn manifest(&self, base: &str) -> anyhow::Result<String> {
        let mut manifest: Map<String, Value> = serde_saphyr::from_str(MANIFEST)?;
        if self.admins.iter().any(|named| named.contains('/'))
            && let Some(permissions) = manifest.get_mut("default_permissions").and_then(Value::as_object_mut)
        {
            // Who is in a team is asked of its organization.
            permissions.insert("members".to_owned(), json!("read"));
        }
        let hook = if self.is_reached() { &self.public_url } else { NOWHERE };
        for (name, value) in [
            ("name", json!(self.name)),
            ("url", json!(self.public_url)),
            ("hook_attributes", json!({ "url": format!("{hook}/webhooks/github"), "active": true })),
            ("redirect_url", json!(format!("{base}/setup/created"))),
            ("callback_urls", json!([format!("{}/admin/sign-in/callback", self.public_url)])),
            ("setup_url", json!(format!("{}/setup", self.public_url))),
        ] {
            manifest.insert(name.to_owned(), value);
        }
        Ok(Value::from(manifest).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        Form {
            owner: "person".to_owned(),
            public_url: "https://track.example.org/".to_owned(),
            admins: "@mona, lisa".to_owned(),
            ..Form::default()
        }
    }

    #[test]
    fn a_form_of_two_fields_is_enough() {
        let wish = form().check().unwrap();
        assert_eq!((wish.name.as_str(), wish.organization.as_deref()), ("track-mona", None));
        assert_eq!(wish.admins, ["mona", "lisa"]);
        assert_eq!((wish.server_url.as_str(), wish.api_url.as_str()), (GITHUB, "https://api.github.com"));
        assert_eq!(wish.action("s"), "https://github.com/settings/apps/new?state=s");
        let acme = Form {
            owner: "organization".to_owned(),
            organization: " acme ".to_owned(),
            server: "ghe.example.org".to_owned(),
            ..form()
        };
        let wish = acme.check().unwrap();
        assert_eq!(wish.action("s"), "https://ghe.example.org/organizations/acme/settings/apps/new?state=s");
        assert_eq!((wish.name.as_str(), wish.api_url.as_str()), ("track-acme", "https://ghe.example.org/api/v3"));
    }

    #[test]
    fn every_mistake_is_told_at_its_field() {
        let form = Form {
            owner: "organization".to_owned(),
            organization: "no such <name>".to_owned(),
            name: "n".repeat(35),
            server: "https://user:secret@ghe.example.org".to_owned(),
            public_url: "track.example.org".to_owned(),
            admins: "mona; lisa".to_owned(),
        };
        let fields: Vec<&str> = form.check().unwrap_err().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["organization", "admins", "server", "public_url", "name"]);
        let empty = Form::default().check().unwrap_err();
        assert_eq!(empty.iter().map(|problem| problem.field).collect::<Vec<_>>(), ["admins", "public_url"]);
    }

    #[test]
    fn the_api_is_found_from_where_people_open_github() {
        for (written, server_url, api) in [
            ("", GITHUB, "https://api.github.com"),
            ("github.com", GITHUB, "https://api.github.com"),
            ("https://www.GitHub.com/octo", GITHUB, "https://api.github.com"),
            ("https://acme.ghe.com/", "https://acme.ghe.com", "https://api.acme.ghe.com"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000", "http://127.0.0.1:4000/api/v3"),
        ] {
            let found = server(written).unwrap();
            assert_eq!((found.as_str(), api_url(&found).as_str()), (server_url, api), "{written}");
        }
        for no in ["ftp://x", "https://", "https://a b", "https://a?b"] {
            assert_eq!(server(no), None, "{no}");
        }
    }

    #[test]
    fn webhooks_lead_nowhere_where_github_cannot_come() {
        for (url, reached) in [("https://track.example.org", true), ("http://10.0.0.5", false)] {
            let wish = Form { public_url: url.to_owned(), ..form() }.check().unwrap();
            let manifest: Value = serde_json::from_str(&wish.manifest(url).unwrap()).unwrap();
            let hook = &manifest["hook_attributes"];
            let expected = if reached { url } else { NOWHERE };
            assert_eq!(hook["url"], format!("{expected}/webhooks/github"));
            assert_eq!(hook["active"], true, "of an inactive one GitHub keeps no log");
        }
    }

    #[test]
    fn the_manifest_is_the_one_in_the_repository_with_our_addresses() {
        let manifest = form().check().unwrap().manifest("http://127.0.0.1:3000").unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["default_permissions"]["contents"], "write");
        assert_eq!(manifest["default_permissions"].get("members"), None);
        let teams = Form { admins: "mona, acme/maintainers".to_owned(), ..form() }.check().unwrap();
        let teams: Value = serde_json::from_str(&teams.manifest("http://127.0.0.1:3000").unwrap()).unwrap();
        assert_eq!(teams["default_permissions"]["members"], "read");
        assert!(manifest["default_events"].as_array().unwrap().contains(&json!("issues")));
        assert_eq!(manifest["public"], false);
        assert_eq!(manifest["redirect_url"], "http://127.0.0.1:3000/setup/created");
        assert_eq!(manifest["setup_url"], "https://track.example.org/setup");
        assert_eq!(manifest["callback_urls"], json!(["https://track.example.org/admin/sign-in/callback"]));
    }
}

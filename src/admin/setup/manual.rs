//! An App that exists already, entered by hand: every field checked, and then GitHub asked.

use serde::Deserialize;

use super::flow::{Setup, is_long_enough};
use super::wish::{self, Problem};
use crate::config::app_env::StoredApp;
use crate::config::{SignInConfig, check_pem, is_admin, plain_url};
use crate::github::{ApiError, app};

/// The form as it was filled in.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Form {
    app_id: String,
    private_key: String,
    webhook_secret: String,
    client_id: String,
    client_secret: String,
    server: String,
    public_url: String,
    admins: String,
}

/// A field of the form.
pub(super) struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    /// Not shown, neither while it is written nor after.
    pub secret: bool,
    /// Of several lines, and a secret too.
    pub lines: bool,
    pub required: bool,
}

const fn field(name: &'static str, label: &'static str, hint: &'static str, required: bool) -> Field {
    Field { name, label, hint, secret: false, lines: false, required }
}

/// In the order of GitHub's settings page.
pub(super) const FIELDS: &[Field] = &[
    field("app_id", "App ID", "The number at the top of the App's settings page.", true),
    field(
        "client_id",
        "Client ID",
        "Beside it; begins with Iv. With its secret, people sign in to this page through GitHub.",
        false,
    ),
    Field {
        secret: true,
        ..field("client_secret", "Client secret", "\"Generate a new client secret\" shows it once.", false)
    },
    Field {
        secret: true,
        ..field(
            "webhook_secret",
            "Webhook secret",
            "The one that is set there, of 16 characters or more: openssl rand -hex 32 makes a good one.",
            true,
        )
    },
    Field {
        lines: true,
        ..field(
            "private_key",
            "Private key",
            "The whole .pem file that \"Generate a private key\" downloads, with its BEGIN and END lines.",
            true,
        )
    },
    field("server", "Where you open GitHub", "https://github.com, or the address of an Enterprise server.", false),
    field(
        "public_url",
        "Address of this bot",
        "How people reach it; links in comments lead there. May stay empty.",
        false,
    ),
    field(
        "admins",
        "Logins of admins",
        "Who may use this page, with commas between. Left empty: who owns the App.",
        false,
    ),
];

impl Form {
    /// A form to begin with.
    pub fn prefilled(setup: &Setup, public_url: &str) -> Self {
        let config = setup.config();
        Self {
            server: config.server_url.clone().unwrap_or_else(|| wish::GITHUB.to_owned()),
            public_url: public_url.to_owned(),
            admins: config.admins.join(", "),
            ..Self::default()
        }
    }

    /// What is shown of a field again: never a secret (T45).
    pub fn shown(&self, name: &str) -> &str {
        match name {
            "app_id" => &self.app_id,
            "client_id" => &self.client_id,
            "server" => &self.server,
            "public_url" => &self.public_url,
            "admins" => &self.admins,
            _ => "",
        }
    }

    /// Every mistake at once, or the App.
    pub fn check(&self) -> Result<StoredApp, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |field, text: String| problems.push(Problem { field, text });
        let app_id = self.app_id.trim().parse::<u64>().ok().filter(|id| *id > 0);
        if app_id.is_none() {
            wrong("app_id", "Write the number; what begins with Iv is the client ID.".to_owned());
        }
        let (client_id, client_secret) = (self.client_id.trim(), self.client_secret.trim());
        match (client_id.is_empty(), client_secret.is_empty()) {
            (true, false) => wrong("client_id", "Its secret is there, so the client ID is needed too.".to_owned()),
            (false, true) => wrong("client_secret", "The client ID is there, so its secret is needed too.".to_owned()),
            _ => {}
        }
        if !is_long_enough(&self.webhook_secret) {
            wrong(
                "webhook_secret",
                "It has fewer than 16 characters: set a longer one in the App's settings too.".to_owned(),
            );
        }
        let private_key = self.private_key.replace("\r\n", "\n").trim().to_owned() + "\n";
        if let Err(problem) = check_pem(&private_key) {
            wrong("private_key", format!("What you pasted {problem}. Paste the whole file."));
        }
        let server_url = wish::server(&self.server);
        if server_url.is_none() {
            wrong("server", "Write where you open GitHub: https://github.com.".to_owned());
        }
        let written = self.public_url.trim();
        let public_url = plain_url(written);
        if public_url.is_none() && !written.is_empty() {
            wrong("public_url", "Write it with http:// or https://: https://track.example.org.".to_owned());
        }
        let admins = wish::logins(&self.admins);
        if let Some(login) = admins.iter().find(|named| !is_admin(named)) {
            wrong("admins", format!("{login:?} is no GitHub login; teams are written as acme/maintainers."));
        }
        match (app_id, server_url) {
            (Some(app_id), Some(server_url)) if problems.is_empty() => Ok(StoredApp {
                app_id,
                private_key: private_key.into(),
                webhook_secret: self.webhook_secret.clone().into(),
                sign_in: (!client_id.is_empty()).then(|| SignInConfig {
                    client_id: client_id.to_owned(),
                    client_secret: client_secret.to_owned().into(),
                }),
                api_url: wish::api_url(&server_url),
                server_url,
                public_url,
                admins,
            }),
            _ => Err(problems),
        }
    }
}

/// Whether GitHub knows the App by this key; what to put right if not.
pub(super) async fn confirm(setup: &Setup, stored: &StoredApp) -> Result<(), String> {
    let github = setup.client(stored).map_err(|error| format!("The private key cannot be used: {error:#}"))?;
    match app::me(&github).await {
        Ok(known) if known.id == stored.app_id => Ok(()),
        Ok(known) => Err(format!("GitHub says that this key belongs to the App {} ({}).", known.id, known.slug)),
        Err(ApiError::Unauthorized { .. } | ApiError::NotFound { .. }) => Err(
            "GitHub does not know an App of this ID by this key. Compare the App ID, see that the key was generated for that App and not deleted since, and that this machine's clock is right."
                .to_owned(),
        ),
        Err(error) => Err(format!("GitHub could not be asked: {error}. See that this machine reaches {}, and try again.", stored.api_url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\r\nTm90IGEga2V5Lg==\r\n-----END RSA PRIVATE KEY-----\r\n";

    fn form() -> Form {
        Form {
            app_id: " 7 ".to_owned(),
            private_key: KEY.to_owned(),
            webhook_secret: "0123456789abcdef".to_owned(),
            ..Form::default()
        }
    }

    #[test]
    fn three_answers_are_enough() {
        let app = form().check().unwrap();
        assert_eq!(
            (app.app_id, app.server_url.as_str(), app.api_url.as_str()),
            (7, wish::GITHUB, "https://api.github.com")
        );
        assert!(app.sign_in.is_none() && app.public_url.is_none() && app.admins.is_empty());
    }

    #[test]
    fn every_mistake_is_told_and_no_secret_is_shown_again() {
        let form = Form {
            app_id: "Iv23x".to_owned(),
            private_key: "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
            webhook_secret: "short".to_owned(),
            client_id: String::new(),
            client_secret: "hush".to_owned(),
            server: "ftp://x".to_owned(),
            public_url: "track".to_owned(),
            admins: "a b!".to_owned(),
        };
        let problems = form.check().unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["app_id", "client_id", "webhook_secret", "private_key", "server", "public_url", "admins"]);
        assert!(problems[3].text.contains("another kind of key"), "{}", problems[3].text);
        for secret in FIELDS.iter().filter(|field| field.secret || field.lines) {
            assert_eq!(form.shown(secret.name), "", "{}", secret.name);
        }
        assert_eq!(form.shown("app_id"), "Iv23x");
    }
}

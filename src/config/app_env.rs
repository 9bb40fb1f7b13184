//! `app.env` and `app-key.pem` in `$TRACK_HOME`: the App as setting up on the page stored it. They are read like `.env`, after everything
//! that an operator writes by hand, and written once: nothing here replaces an App that is there.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::SignInConfig;

/// The settings, in the words of the environment.
pub const SETTINGS_FILE: &str = "app.env";
/// The App's private key.
pub const KEY_FILE: &str = "app-key.pem";

/// What is stored of an App.
#[derive(Clone, Debug)]
pub struct StoredApp {
    /// The App's numeric id.
    pub app_id: u64,
    /// Its private key, PEM.
    pub private_key: SecretString,
    /// The secret under which webhooks are signed.
    pub webhook_secret: SecretString,
    /// Sign-in to the admin page.
    pub sign_in: Option<SignInConfig>,
    /// Where GitHub's API is.
    pub api_url: String,
    /// Where GitHub's pages are.
    pub server_url: String,
    /// How people reach the admin page.
    pub public_url: Option<String>,
    /// Logins who may use the admin page.
    pub admins: Vec<String>,
}

/// Why an App is not stored; nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// There is an App already.
    #[error("{} is there already, and it is not replaced: if it belongs to an App that you gave up, move it away", .0.display())]
    Exists(PathBuf),
    /// A value would break the file's lines.
    #[error("{0} has a line break or a control character in it: copy it again")]
    Broken(&'static str),
    /// The folder or a file cannot be written.
    #[error("{} cannot be written: {error}. Give this account the right to, or make room; TRACK_HOME names the folder", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Whether an App could be stored: to be known before GitHub is asked for one.
pub fn can_store(home: &Path) -> Result<(), NotStored> {
    let settings = home.join(SETTINGS_FILE);
    if settings.exists() {
        return Err(NotStored::Exists(settings));
    }
    let probe = Draft::write(home, SETTINGS_FILE, b"")?;
    drop(probe);
    Ok(())
}

/// Stores an App, readable by this account alone, each file whole or not at all.
pub fn store(home: &Path, app: &StoredApp) -> Result<(), NotStored> {
    let text = render(app)?;
    can_store(home)?;
    // A key without settings is what a crash left between the two: it is worth keeping, and in nobody's way.
    let key = home.join(KEY_FILE);
    if key.exists() {
        let aside = home.join(format!("{KEY_FILE}.{}", hex::encode(rand::random::<[u8; 4]>())));
        fs::rename(&key, &aside).map_err(|error| unwritable(&aside, error))?;
    }
    Draft::write(home, KEY_FILE, app.private_key.expose_secret().as_bytes())?.publish()?;
    Draft::write(home, SETTINGS_FILE, text.expose_secret().as_bytes())?.publish()?;
    File::open(home).and_then(|folder| folder.sync_all()).map_err(|error| unwritable(home, error))
}

/// The file's text.
fn render(app: &StoredApp) -> Result<SecretString, NotStored> {
    let id = app.app_id.to_string();
    let admins = app.admins.join(",");
    let sign_in = app.sign_in.as_ref();
    let values = [
        ("GITHUB_APP_ID", Some(id.as_str())),
        ("GITHUB_APP_PRIVATE_KEY_PATH", Some(KEY_FILE)),
        ("GITHUB_WEBHOOK_SECRET", Some(app.webhook_secret.expose_secret())),
        ("GITHUB_APP_CLIENT_ID", sign_in.map(|client| client.client_id.as_str())),
        ("GITHUB_APP_CLIENT_SECRET", sign_in.map(|client| client.client_secret.expose_secret())),
        ("GITHUB_API_URL", Some(app.api_url.as_str())),
        ("GITHUB_SERVER_URL", Some(app.server_url.as_str())),
        ("TRACK_PUBLIC_URL", app.public_url.as_deref()),
        ("TRACK_ADMINS", Some(admins.as_str()).filter(|admins| !admins.is_empty())),
    ];
    let mut text = "# The GitHub App of this bot, stored by its setup page. The environment, .env and track.toml come before it.\n\
                    # app-key.pem beside it is the App's private key.\n"
        .to_owned();
    for (name, value) in values {
        let Some(value) = value else { continue };
        if value.chars().any(char::is_control) {
            return Err(NotStored::Broken(name));
        }
        // Everything is itself between single quotes, but for one.
        let _ = writeln!(text, "{name}='{}'", value.replace('\'', r#"'"'"'"#));
    }
    Ok(text.into())
}

/// A file under a name that nobody reads; it goes unless it is published.
struct Draft {
    path: PathBuf,
    meant: PathBuf,
}

impl Draft {
    fn write(home: &Path, name: &str, content: &[u8]) -> Result<Self, NotStored> {
        let path = home.join(format!(".{name}.{}", hex::encode(rand::random::<[u8; 8]>())));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(|error| unwritable(&path, error))?;
        let draft = Self { path, meant: home.join(name) };
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(|error| unwritable(&draft.path, error))?;
        Ok(draft)
    }

    /// Gives it its name, which must be free: a link, unlike a rename, never replaces.
    fn publish(self) -> Result<(), NotStored> {
        fs::hard_link(&self.path, &self.meant).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => NotStored::Exists(self.meant.clone()),
            _ => unwritable(&self.meant, error),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is left of it is an unread file of this account alone.
        let _ = fs::remove_file(&self.path);
    }
}

fn unwritable(path: &Path, error: io::Error) -> NotStored {
    NotStored::Unwritable { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::load;
    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nTm90IGEga2V5Lg==\n-----END RSA PRIVATE KEY-----\n";

    fn app(secret: &str) -> StoredApp {
        StoredApp {
            app_id: 7,
            private_key: KEY.into(),
            webhook_secret: secret.into(),
            sign_in: Some(SignInConfig { client_id: "Iv23x".to_owned(), client_secret: secret.into() }),
            api_url: "https://ghe.example.org/api/v3".to_owned(),
            server_url: "https://ghe.example.org".to_owned(),
            public_url: Some("https://track.example.org".to_owned()),
            admins: vec!["mona".to_owned(), "lisa".to_owned()],
        }
    }

    #[test]
    fn what_is_stored_is_what_is_read() {
        for secret in ["0123456789abcdef", r#"it's "quoted" $HOME ${PATH} \n # and = more  "#, "ünïcödé 'and' blanks '"]
        {
            let home = tempfile::tempdir().unwrap();
            store(home.path(), &app(secret)).unwrap();
            for file in [SETTINGS_FILE, KEY_FILE] {
                let mode = fs::metadata(home.path().join(file)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{file}");
            }
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing else is left");
            let path = home.path().to_str().unwrap().to_owned();
            let cwd = tempfile::tempdir().unwrap();
            let config = load(&|name| (name == "TRACK_HOME").then(|| path.clone()), cwd.path()).unwrap();
            let github = config.github.unwrap();
            assert_eq!((github.app_id, github.private_key.expose_secret()), (7, KEY));
            assert_eq!(github.webhook_secret.expose_secret(), secret);
            assert_eq!(
                (github.api_url.as_str(), github.server_url.as_str()),
                ("https://ghe.example.org/api/v3", "https://ghe.example.org")
            );
            assert_eq!(config.sign_in.unwrap().client_secret.expose_secret(), secret.trim());
            assert_eq!(config.public_url.as_deref(), Some("https://track.example.org"));
            assert_eq!(config.admins, ["mona", "lisa"]);
        }
    }

    #[test]
    fn an_app_that_is_there_stays() {
        let home = tempfile::tempdir().unwrap();
        store(home.path(), &app("0123456789abcdef")).unwrap();
        let before = fs::read_to_string(home.path().join(SETTINGS_FILE)).unwrap();
        let other = StoredApp { app_id: 8, private_key: "another".into(), ..app("fedcba9876543210") };
        for refused in [can_store(home.path()), store(home.path(), &other)] {
            let why = refused.unwrap_err();
            assert!(
                matches!(why, NotStored::Exists(_)) && why.to_string().contains("app.env is there already"),
                "{why}"
            );
        }
        assert_eq!(fs::read_to_string(home.path().join(SETTINGS_FILE)).unwrap(), before);
        assert_eq!(fs::read_to_string(home.path().join(KEY_FILE)).unwrap(), KEY);
    }

    #[test]
    fn a_key_that_a_crash_left_is_kept_aside() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(KEY_FILE), "left over").unwrap();
        store(home.path(), &app("0123456789abcdef")).unwrap();
        let kept = fs::read_dir(home.path())
            .unwrap()
            .flatten()
            .filter(|file| fs::read_to_string(file.path()).unwrap() == "left over");
        assert_eq!(kept.count(), 1);
        assert_eq!(fs::read_to_string(home.path().join(KEY_FILE)).unwrap(), KEY);
    }

    #[test]
    fn what_cannot_be_stored_says_why_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let broken = store(home.path(), &app("two\nlines and a bit")).unwrap_err();
        assert!(broken.to_string().starts_with("GITHUB_WEBHOOK_SECRET has a line break"), "{broken}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let nowhere = can_store(&home.path().join("nowhere")).unwrap_err().to_string();
        assert!(nowhere.contains("cannot be written") && nowhere.contains("TRACK_HOME"), "{nowhere}");
    }
}

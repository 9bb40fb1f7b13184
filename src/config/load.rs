//! From environment, `.env`, `track.toml` and `app.env` to a checked [`Config`].

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use hyper::Uri;
use secrecy::SecretString;

use super::env::Sources;
use super::mistake::{Mistake, Mistakes};
use super::nearest::nearest;
use super::toml_file;
use super::toml_reader::Place;
use super::{Config, GitHubConfig, LogConfig, LogFormat, SignInConfig};

/// A shorter secret could be guessed (T01).
pub const MIN_WEBHOOK_SECRET_BYTES: usize = 16;

const SECRET_REMEDY: &str =
    "set it to the output of `openssl rand -hex 32`, and the same text as webhook secret in the App's settings";

/// Reads the whole configuration; an App that is not configured at all is no mistake. `env` looks up one variable of the environment; `.env`, `track.toml` and relative paths are
/// looked for in `cwd`. Runners of the database join later, by [`super::merge_runners`].
pub fn load(env: &dyn Fn(&str) -> Option<String>, cwd: &Path) -> Result<Config, Mistakes> {
    let (config, mistakes) = read(env, cwd);
    Mistakes::none_or(mistakes, config)
}

fn read(env: &dyn Fn(&str) -> Option<String>, cwd: &Path) -> (Config, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut sources = Sources::open(env, cwd, &mut mistakes);
    let user_home = env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let resolve = |path: &str| match (Path::new(path).strip_prefix("~"), &user_home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => cwd.join(path),
    };

    let home = sources.get("TRACK_HOME").map_or_else(|| cwd.join(".track-data"), |path| resolve(&path));
    sources.add_stored(&home, &mut mistakes);
    let mut config = Config::defaults(home);
    if let Some((name, path)) = toml_path(&sources, cwd, &resolve) {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let folder = path.parent().unwrap_or(cwd);
                let place = Place { name, folder, home: user_home.clone() };
                toml_file::apply(&text, &place, &mut config, &mut mistakes);
            }
            Err(error) => mistakes.push(Mistake::new(
                name,
                format!("cannot be read ({}): {error}", path.display()),
                "point TRACK_CONFIG to a file that this account may read, or unset it",
            )),
        }
    }
    config.github = read_app(&sources, &resolve, &mut mistakes);
    let key_path = sources.path("GITHUB_APP_PRIVATE_KEY_PATH", &resolve);
    config.secret_files = key_path.into_iter().chain([cwd.join(".env")]).filter(|path| path.exists()).collect();
    config.server_url = read_url(&sources, "GITHUB_SERVER_URL", "https://github.com", &mut Vec::new());
    config.sign_in = read_sign_in(&sources, &mut mistakes);
    if let Some(url) = sources.get("DATABASE_URL") {
        check_database_url(&url, &mut mistakes);
        config.database_url = url;
    }
    if let Some(listen) = read_listen(&sources, &mut mistakes) {
        config.listen = listen;
    }
    config.public_url = read_url(&sources, "TRACK_PUBLIC_URL", "https://track.example.org", &mut mistakes);
    config.admins = read_admins(&sources, &mut mistakes);
    config.log = read_log(&sources, &mut mistakes);
    (config, mistakes)
}

/// The settings of the log alone, for what must run whatever else is wrong.
pub fn log_settings(env: &dyn Fn(&str) -> Option<String>, cwd: &Path) -> Result<LogConfig, Mistakes> {
    let mut mistakes = Vec::new();
    let sources = Sources::open(env, cwd, &mut mistakes);
    let log = read_log(&sources, &mut mistakes);
    Mistakes::none_or(mistakes, log)
}

/// What is said where an App is needed and nothing of it is configured.
pub(super) fn no_app() -> Mistake {
    Mistake::new(
        "GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY (or GITHUB_APP_PRIVATE_KEY_PATH) and GITHUB_WEBHOOK_SECRET",
        "are not set: no GitHub App is configured",
        "start `track serve` and open the link that it prints, which creates the App in two clicks; or create it as the README's \"Install\" describes, and put the three into the environment or .env; `track demo` needs none",
    )
}

/// A name that stands where an agent's should.
pub(super) fn unknown_agent<'a>(setting: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Mistake {
    let known: Vec<_> = known.collect();
    let remedy = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("name one of {}, or describe it under [agents.{name}]", known.join(", ")),
    };
    Mistake::new(setting, format!("is {name:?}, which is no agent"), remedy)
}

/// The embedded database below `home`.
pub(super) fn sqlite_url(home: &Path) -> String {
    // What follows '?' would be options, and '%' begins an escape; see SqliteConnectOptions of sqlx.
    let path = home.join("track.db").to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}")
}

/// GitHub's rule for logins: letters, digits and inner hyphens, at most 39; `_` joins the short code of a managed enterprise.
/// <https://docs.github.com/en/enterprise-cloud@latest/admin/managing-iam/iam-configuration-reference/username-considerations-for-external-authentication>
pub fn is_login(login: &str) -> bool {
    (1..=39).contains(&login.len())
        && login.starts_with(|c: char| c.is_ascii_alphanumeric())
        && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether a text names admins: a login, or a team as `org/team`.
pub fn is_admin(named: &str) -> bool {
    match named.split_once('/') {
        Some((org, team)) => is_login(org) && is_login(team),
        None => is_login(named),
    }
}

/// How messages call the file, and where it is.
fn toml_path(sources: &Sources<'_>, cwd: &Path, resolve: &dyn Fn(&str) -> PathBuf) -> Option<(String, PathBuf)> {
    match sources.get("TRACK_CONFIG") {
        Some(path) => {
            let path = resolve(&path);
            let name = path.file_name().map_or_else(|| "TRACK_CONFIG".to_owned(), |n| n.to_string_lossy().into_owned());
            Some((name, path))
        }
        None => Some(("track.toml".to_owned(), cwd.join("track.toml"))).filter(|(_, path)| path.exists()),
    }
}

/// The App: all of it, or nothing. With a part of it, each missing part is a mistake of its own.
fn read_app(
    sources: &Sources<'_>,
    resolve: &dyn Fn(&str) -> PathBuf,
    mistakes: &mut Vec<Mistake>,
) -> Option<GitHubConfig> {
    let app_id = sources.get("GITHUB_APP_ID");
    let key = sources.get("GITHUB_APP_PRIVATE_KEY");
    let key_path = sources.path("GITHUB_APP_PRIVATE_KEY_PATH", resolve);
    let secret = sources.raw("GITHUB_WEBHOOK_SECRET");
    let api_url = read_url(sources, "GITHUB_API_URL", "https://api.github.com", mistakes);
    let server_url = read_url(sources, "GITHUB_SERVER_URL", "https://github.com", mistakes);
    if app_id.is_none() && key.is_none() && key_path.is_none() && secret.is_none() {
        return None;
    }

    let app_id = match app_id.map(|id| (id.parse::<u64>(), id)) {
        Some((Ok(id), _)) if id > 0 => Some(id),
        Some((_, written)) => {
            let remedy = if written.starts_with("Iv") {
                "that looks like the client id, which belongs into GITHUB_APP_CLIENT_ID: the App ID stands above it in the App's settings"
            } else {
                "set the number that stands as \"App ID\" on the App's settings page"
            };
            let setting = sources.called("GITHUB_APP_ID");
            mistakes.push(Mistake::new(setting, format!("is {written:?}, which is no number"), remedy));
            None
        }
        None => {
            let remedy = "set the number that stands as \"App ID\" on the App's settings page";
            mistakes.push(Mistake::new("GITHUB_APP_ID", "is not set", remedy));
            None
        }
    };
    let called = sources.called("GITHUB_APP_PRIVATE_KEY_PATH");
    let private_key = read_private_key(key, key_path.map(|path| (called, path)), mistakes);
    let webhook_secret = match secret {
        None => Err("is not set".to_owned()),
        Some(secret) if secret.trim().is_empty() => Err("is empty".to_owned()),
        Some(secret) if secret.len() < MIN_WEBHOOK_SECRET_BYTES => {
            Err(format!("is {} bytes long, and {MIN_WEBHOOK_SECRET_BYTES} are the least", secret.len()))
        }
        Some(secret) => Ok(SecretString::from(secret)),
    };
    let webhook_secret = match webhook_secret {
        Ok(secret) => Some(secret),
        Err(problem) => {
            mistakes.push(Mistake::new(sources.called("GITHUB_WEBHOOK_SECRET"), problem, SECRET_REMEDY));
            None
        }
    };
    Some(GitHubConfig {
        app_id: app_id?,
        private_key: private_key?,
        webhook_secret: webhook_secret?,
        api_url: api_url.unwrap_or_else(|| "https://api.github.com".to_owned()),
        server_url: server_url.unwrap_or_else(|| "https://github.com".to_owned()),
    })
}

fn read_private_key(
    key: Option<String>,
    path: Option<(String, PathBuf)>,
    mistakes: &mut Vec<Mistake>,
) -> Option<SecretString> {
    const HOW: &str = "generate a private key on the App's settings page and set GITHUB_APP_PRIVATE_KEY_PATH to the downloaded .pem file";
    let (setting, text) = match (key, path) {
        (Some(key), _) => ("GITHUB_APP_PRIVATE_KEY".to_owned(), key.replace("\\n", "\n")),
        (None, Some((called, path))) => match fs::read_to_string(&path) {
            Ok(text) => (called, text),
            Err(error) => {
                let problem = format!("cannot be read ({}): {error}", path.display());
                mistakes.push(Mistake::new(called, problem, HOW));
                return None;
            }
        },
        (None, None) => {
            mistakes.push(Mistake::new("GITHUB_APP_PRIVATE_KEY", "is not set, nor GITHUB_APP_PRIVATE_KEY_PATH", HOW));
            return None;
        }
    };
    match check_pem(&text) {
        Ok(()) => Some(SecretString::from(text)),
        Err(problem) => {
            mistakes.push(Mistake::new(setting, problem, HOW));
            None
        }
    }
}

/// Whether `text` is one unencrypted RSA private key in PEM, PKCS #1 as GitHub makes them or PKCS #8 (RFC 7468).
pub fn check_pem(text: &str) -> Result<(), String> {
    let text = text.trim();
    let body = ["RSA PRIVATE KEY", "PRIVATE KEY"].iter().find_map(|kind| {
        let inner = text.strip_prefix(&format!("-----BEGIN {kind}-----"))?;
        inner.strip_suffix(&format!("-----END {kind}-----"))
    });
    let Some(body) = body else {
        let found = text.lines().next().filter(|line| line.starts_with("-----BEGIN "));
        return Err(match found {
            Some(line)
                if line.contains(" PRIVATE KEY-----") && !line.contains("ENCRYPTED") && !line.contains("OPENSSH") =>
            {
                "is cut off: the END line is missing".to_owned()
            }
            Some(line) => format!("begins with {line:?}, which is another kind of key"),
            None => "is no PEM: it does not begin with -----BEGIN RSA PRIVATE KEY-----".to_owned(),
        });
    };
    let base64: String = body.split_whitespace().collect();
    match base64::engine::general_purpose::STANDARD.decode(&base64) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        _ => Err("is damaged: what stands between the BEGIN and END lines is not base64".to_owned()),
    }
}

fn read_sign_in(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> Option<SignInConfig> {
    let (id, secret) = (sources.get("GITHUB_APP_CLIENT_ID"), sources.get("GITHUB_APP_CLIENT_SECRET"));
    let missing = match (&id, &secret) {
        (Some(_), None) => Some("GITHUB_APP_CLIENT_SECRET"),
        (None, Some(_)) => Some("GITHUB_APP_CLIENT_ID"),
        _ => None,
    };
    if let Some(name) = missing {
        let remedy = "set both, from the App's settings page, or neither; they let admins sign in to the page";
        let other = if id.is_some() { "GITHUB_APP_CLIENT_ID" } else { "GITHUB_APP_CLIENT_SECRET" };
        mistakes.push(Mistake::new(name, format!("is not set, but {} is", sources.called(other)), remedy));
    }
    Some(SignInConfig { client_id: id?, client_secret: SecretString::from(secret?) })
}

fn check_database_url(url: &str, mistakes: &mut Vec<Mistake>) {
    if url.starts_with("sqlite:") {
        return;
    }
    // The rest of the URL may hold a password.
    let problem = if url.starts_with("postgres") {
        "names PostgreSQL, which this version cannot use yet".to_owned()
    } else {
        "does not begin with sqlite://".to_owned()
    };
    mistakes.push(Mistake::new(
        "DATABASE_URL",
        problem,
        "unset it for a database in TRACK_HOME, or write sqlite:///path/to/track.db",
    ));
}

fn read_listen(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> Option<SocketAddr> {
    if let Some(listen) = sources.get("TRACK_LISTEN") {
        let address = listen.replacen("localhost:", "127.0.0.1:", 1);
        return address
            .parse()
            .map_err(|_| {
                let remedy = "write address and port: 127.0.0.1:3000, or 0.0.0.0:3000 for all interfaces";
                mistakes.push(Mistake::new("TRACK_LISTEN", format!("is {listen:?}"), remedy));
            })
            .ok();
    }
    let port = sources.get("PORT")?;
    match port.parse() {
        Ok(port) => Some(SocketAddr::from(([0, 0, 0, 0], port))),
        Err(_) => {
            mistakes.push(Mistake::new(
                "PORT",
                format!("is {port:?}"),
                "set a number from 0 to 65535, or TRACK_LISTEN",
            ));
            None
        }
    }
}

/// An http(s) URL without trailing slashes.
fn read_url(sources: &Sources<'_>, name: &str, example: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let written = sources.get(name)?;
    let url = plain_url(&written);
    if url.is_none() {
        // The value is not repeated: people put passwords into URLs.
        let problem = "is no plain http or https URL";
        mistakes.push(Mistake::new(sources.called(name), problem, format!("write it like this: {example}")));
    }
    url
}

/// An http(s) URL without user, query and trailing slashes, if the text is one.
pub fn plain_url(text: &str) -> Option<String> {
    let url = text.trim_end_matches('/');
    let uri: Uri = url.parse().ok()?;
    let usable = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.query().is_none()
        && !url.contains('#');
    usable.then(|| url.to_owned())
}

fn read_admins(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let list = sources.get("TRACK_ADMINS").unwrap_or_default();
    let logins = list.split(',').map(|login| login.trim().trim_start_matches('@')).filter(|login| !login.is_empty());
    logins
        .inspect(|login| {
            if !is_admin(login) {
                let remedy =
                    "write GitHub logins with commas between, or teams as org/team: octocat,hubot,octo-org/bot-admins";
                let setting = sources.called("TRACK_ADMINS");
                mistakes.push(Mistake::new(setting, format!("has {login:?}, which is no GitHub login"), remedy));
            }
        })
        .map(str::to_owned)
        .collect()
}

fn read_log(sources: &Sources<'_>, mistakes: &mut Vec<Mistake>) -> LogConfig {
    let format = sources.get("TRACK_LOG_FORMAT").and_then(|format| match format.as_str() {
        "pretty" => Some(LogFormat::Pretty),
        "json" => Some(LogFormat::Json),
        other => {
            let remedy = "set pretty or json, or unset it: pretty on a terminal, else json";
            mistakes.push(Mistake::new("TRACK_LOG_FORMAT", format!("is {other:?}"), remedy));
            None
        }
    });
    let filter = sources.get("RUST_LOG");
    if let Some(Err(error)) = filter.as_deref().map(str::parse::<tracing_subscriber::EnvFilter>) {
        let remedy = "write it like this: info, or track=debug,info";
        mistakes.push(Mistake::new("RUST_LOG", format!("cannot be used: {error}"), remedy));
    }
    LogConfig { format, filter }
}

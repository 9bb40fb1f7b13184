//! The configuration as its writer meets it: what is read from where, and what is said about mistakes.

use std::fs;
use std::path::Path;

use secrecy::ExposeSecret;

use super::*;

/// The shape of a key; nothing here checks more than that.
const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nTm90IGEga2V5Lg==\n-----END RSA PRIVATE KEY-----\n";
const SECRET: &str = "0123456789abcdef";

/// A working directory with files, and an environment.
struct Place {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with_app(self) -> Self {
        self.env("GITHUB_APP_ID", "7").env("GITHUB_APP_PRIVATE_KEY", KEY).env("GITHUB_WEBHOOK_SECRET", SECRET)
    }

    fn load(&self) -> Result<Config, Mistakes> {
        let env = |name: &str| self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        load(&env, self.folder.path())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `setting problem` of each mistake.
    fn problems(&self) -> Vec<String> {
        match self.load() {
            Ok(_) => Vec::new(),
            Err(found) => found.0.iter().map(|m| format!("{} {}", m.setting, m.problem)).collect(),
        }
    }

    /// What is said, with the folder's random name taken out.
    fn told(&self) -> String {
        self.load().unwrap_err().to_string().replace(&*self.path().to_string_lossy(), "<cwd>")
    }
}

#[test]
fn nothing_set_gives_the_defaults() {
    let place = Place::new();
    let config = place.load().unwrap();
    assert_eq!(config.home, place.path().join(".track-data"));
    assert_eq!(config.database_url, format!("sqlite://{}/.track-data/track.db", place.path().display()));
    assert_eq!(config.listen, "127.0.0.1:3000".parse().unwrap());
    assert_eq!((config.default_agent.as_str(), config.label.as_str()), ("codex", "track"));
    assert_eq!(config.limits, Limits::default());
    assert!(config.github.is_none() && config.allow.is_none() && config.runners.is_empty());
    insta::assert_snapshot!(config.app().unwrap_err(), @r#"
    one mistake in the configuration:

      GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY (or GITHUB_APP_PRIVATE_KEY_PATH) and GITHUB_WEBHOOK_SECRET are not set: no GitHub App is configured
        -> start `track serve` and open the link that it prints, which creates the App in two clicks; or create it as the README's "Install" describes, and put the three into the environment or .env; `track demo` needs none
    "#);
}

/// A home in which setting up stored an App.
fn stored() -> Place {
    let place = Place::new();
    let home = place.path().join(".track-data");
    fs::create_dir(&home).unwrap();
    let app = app_env::StoredApp {
        app_id: 9,
        private_key: KEY.into(),
        webhook_secret: SECRET.into(),
        sign_in: Some(SignInConfig { client_id: "Iv23".to_owned(), client_secret: "client secret".into() }),
        api_url: "https://ghe.example.org/api/v3".to_owned(),
        server_url: "https://ghe.example.org".to_owned(),
        public_url: Some("https://track.example.org".to_owned()),
        admins: vec!["mona".to_owned()],
    };
    app_env::store(&home, &app).unwrap();
    place
}

#[test]
fn what_setting_up_stored_is_the_weakest_source() {
    let config = stored().load().unwrap();
    assert_eq!(config.app().unwrap().app_id, 9);
    assert!(config.sign_in.is_some() && config.secret_files.iter().any(|path| path.ends_with("app-key.pem")));
    let place = stored().env("TRACK_ADMINS", "lisa").file(".env", "TRACK_PUBLIC_URL=https://bot.example.org\n");
    let config = place.load().unwrap();
    assert_eq!(
        (config.admins, config.public_url.as_deref()),
        (vec!["lisa".to_owned()], Some("https://bot.example.org"))
    );
    assert_eq!(config.github.unwrap().server_url, "https://ghe.example.org");
    let elsewhere = stored().env("TRACK_HOME", "/nonexistent/track");
    assert!(elsewhere.load().unwrap().github.is_none());
}

#[test]
fn parts_of_two_apps_are_not_mixed() {
    let other = stored().with_app().load().unwrap();
    assert_eq!(other.app().unwrap().app_id, 7);
    assert!(other.sign_in.is_none(), "the client is that of the stored App");
    let half = stored().env("GITHUB_APP_ID", "7");
    let settings: Vec<String> = half.load().unwrap_err().0.into_iter().map(|mistake| mistake.setting).collect();
    assert_eq!(settings, ["GITHUB_APP_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"]);
    let same = stored().env("GITHUB_APP_ID", "9").env("GITHUB_WEBHOOK_SECRET", "another long secret").load().unwrap();
    assert_eq!(same.app().unwrap().webhook_secret.expose_secret(), "another long secret");
    assert!(same.sign_in.is_some());
}

#[test]
fn mistakes_in_what_was_stored_name_the_file() {
    let damaged = "GITHUB_APP_ID=nine\nGITHUB_WEBHOOK_SECRET=short\nGITHUB_APP_PRIVATE_KEY_PATH=gone.pem\nTRACK_ADMINS='a b'\nnonsense\n";
    let place = Place::new();
    fs::create_dir(place.path().join(".track-data")).unwrap();
    let place = place.file(".track-data/app.env", damaged);
    insta::assert_snapshot!(place.told(), @r#"
    5 mistakes in the configuration:

      <cwd>/.track-data/app.env line 5 is not NAME=value
        -> put a value with blanks, quotes or several lines into double quotes, with \" for a quote
      GITHUB_APP_ID in <cwd>/.track-data/app.env is "nine", which is no number
        -> set the number that stands as "App ID" on the App's settings page
      GITHUB_APP_PRIVATE_KEY_PATH in <cwd>/.track-data/app.env cannot be read (<cwd>/.track-data/gone.pem): No such file or directory (os error 2)
        -> generate a private key on the App's settings page and set GITHUB_APP_PRIVATE_KEY_PATH to the downloaded .pem file
      GITHUB_WEBHOOK_SECRET in <cwd>/.track-data/app.env is 5 bytes long, and 16 are the least
        -> set it to the output of `openssl rand -hex 32`, and the same text as webhook secret in the App's settings
      TRACK_ADMINS in <cwd>/.track-data/app.env has "a b", which is no GitHub login
        -> write GitHub logins with commas between, or teams as org/team: octocat,hubot,octo-org/bot-admins
    "#);
}

#[test]
fn three_variables_are_enough_for_the_app() {
    let config = Place::new().with_app().load().unwrap();
    let app = config.app().unwrap();
    assert_eq!(app.app_id, 7);
    assert_eq!(app.private_key.expose_secret(), KEY.trim());
    assert_eq!(app.webhook_secret.expose_secret(), SECRET);
    assert_eq!((app.api_url.as_str(), app.server_url.as_str()), ("https://api.github.com", "https://github.com"));
    // T45
    let shown = format!("{config:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("Tm90"), "{shown}");
}

#[test]
fn a_private_key_is_taken_with_literal_line_breaks_and_from_a_file() {
    let escaped = Place::new().with_app();
    let escaped = Place { env: escaped.env.into_iter().map(|(k, v)| (k, v.replace('\n', "\\n"))).collect(), ..escaped };
    assert_eq!(escaped.load().unwrap().app().unwrap().private_key.expose_secret(), KEY);

    let file = Place::new()
        .file("app.pem", KEY)
        .env("GITHUB_APP_ID", "7")
        .env("GITHUB_APP_PRIVATE_KEY_PATH", "app.pem")
        .env("GITHUB_WEBHOOK_SECRET", SECRET);
    assert_eq!(file.load().unwrap().app().unwrap().private_key.expose_secret(), KEY);
}

#[test]
fn dotenv_fills_what_the_environment_leaves_open_and_stays_out_of_it() {
    let place = Place::new()
        .file(".env", "# comment\nexport GITHUB_APP_ID=8\nTRACK_PUBLIC_URL='https://track.example.org//'\nTRACK_DOTENV_TEST=1\nTRACK_ADMINS=\n")
        .with_app();
    let config = place.load().unwrap();
    assert_eq!(config.app().unwrap().app_id, 7);
    assert_eq!(config.public_url.as_deref(), Some("https://track.example.org"));
    assert_eq!(std::env::var_os("TRACK_DOTENV_TEST"), None);
}

#[test]
fn a_private_key_may_stand_in_dotenv() {
    let text = format!("GITHUB_APP_ID=7\nGITHUB_WEBHOOK_SECRET={SECRET}\nGITHUB_APP_PRIVATE_KEY=\"{KEY}\"\n");
    let config = Place::new().file(".env", &text).load().unwrap();
    assert_eq!(config.app().unwrap().private_key.expose_secret().trim(), KEY.trim());
    let escaped = text.replace(KEY, &KEY.replace('\n', "\\n"));
    let config = Place::new().file(".env", &escaped).load().unwrap();
    assert_eq!(config.app().unwrap().private_key.expose_secret().trim(), KEY.trim());
}

#[test]
fn a_broken_line_of_dotenv_is_named_and_not_repeated() {
    let place = Place::new().file(".env", "TRACK_ADMINS=octocat\nGITHUB_WEBHOOK_SECRET=hunter2 hunter2 hunter2\n");
    insta::assert_snapshot!(place.told(), @r#"
    one mistake in the configuration:

      .env line 2 is not NAME=value
        -> put a value with blanks, quotes or several lines into double quotes, with \" for a quote
    "#);
}

// T01
#[test]
fn an_empty_or_short_webhook_secret_is_refused() {
    for (secret, problem) in [
        ("", Some("is empty")),
        ("    \n", Some("is empty")),
        ("0123456789abcde", Some("is 15 bytes long, and 16 are the least")),
        ("0123456789abcdef", None),
    ] {
        let place = Place::new()
            .env("GITHUB_WEBHOOK_SECRET", secret)
            .env("GITHUB_APP_ID", "7")
            .env("GITHUB_APP_PRIVATE_KEY", KEY);
        let expected: Vec<_> = problem.iter().map(|problem| format!("GITHUB_WEBHOOK_SECRET {problem}")).collect();
        assert_eq!(place.problems(), expected, "{secret:?}");
    }
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    for (key, problem) in [
        ("secret", "is no PEM: it does not begin with -----BEGIN RSA PRIVATE KEY-----"),
        ("-----BEGIN RSA PRIVATE KEY-----\nTm90", "is cut off: the END line is missing"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n???\n-----END RSA PRIVATE KEY-----",
            "is damaged: what stands between the BEGIN and END lines is not base64",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nTm90\n-----END OPENSSH PRIVATE KEY-----",
            "begins with \"-----BEGIN OPENSSH PRIVATE KEY-----\", which is another kind of key",
        ),
    ] {
        let place = Place::new()
            .env("GITHUB_APP_ID", "7")
            .env("GITHUB_WEBHOOK_SECRET", SECRET)
            .env("GITHUB_APP_PRIVATE_KEY", key);
        assert_eq!(place.problems(), [format!("GITHUB_APP_PRIVATE_KEY {problem}")]);
    }
}

#[test]
fn where_the_bot_listens() {
    for (env, expected) in [
        (vec![("PORT", "8080")], "0.0.0.0:8080"),
        (vec![("PORT", "8080"), ("TRACK_LISTEN", "127.0.0.1:0")], "127.0.0.1:0"),
        (vec![("TRACK_LISTEN", "localhost:4000")], "127.0.0.1:4000"),
        (vec![("TRACK_LISTEN", "[::1]:4000")], "[::1]:4000"),
        (vec![("TRACK_LISTEN", "")], "127.0.0.1:3000"),
    ] {
        let place = env.iter().fold(Place::new(), |place, (name, value)| place.env(name, value));
        assert_eq!(place.load().unwrap().listen, expected.parse().unwrap(), "{env:?}");
    }
}

#[test]
fn paths_begin_in_the_working_directory_or_at_home() {
    let place = Place::new().env("HOME", "/home/bot");
    for (written, expected) in
        [("data", place.path().join("data")), ("~/data", "/home/bot/data".into()), ("/data", "/data".into())]
    {
        let place = Place { env: place.env.clone(), folder: tempfile::tempdir().unwrap() }.env("TRACK_HOME", written);
        let expected = if written == "data" { place.path().join("data") } else { expected };
        assert_eq!(place.load().unwrap().home, expected);
    }
    let odd = Place::new().env("TRACK_HOME", "/data/100%?#").load().unwrap();
    assert_eq!(odd.database_url, "sqlite:///data/100%25%3F%23/track.db");
}

#[test]
fn urls_lose_their_trailing_slashes_and_must_be_plain() {
    let config = Place::new()
        .with_app()
        .env("GITHUB_API_URL", "http://127.0.0.1:4000/api/v3/")
        .env("GITHUB_SERVER_URL", "http://127.0.0.1:4000/")
        .load()
        .unwrap();
    let app = config.app().unwrap();
    assert_eq!(
        (app.api_url.as_str(), app.server_url.as_str()),
        ("http://127.0.0.1:4000/api/v3", "http://127.0.0.1:4000")
    );
    for bad in ["track.example.org", "ftp://x", "https://user:secret@x", "https://x/?a=b", "https://x/#a", "https://"] {
        assert_eq!(
            Place::new().env("TRACK_PUBLIC_URL", bad).problems(),
            ["TRACK_PUBLIC_URL is no plain http or https URL"]
        );
    }
}

// T28
#[test]
fn what_holds_the_bots_secrets_is_not_bound() {
    let place = Place::new().file(".env", "TRACK_HOME=/srv/bot/state\n").file("app.pem", "").env("HOME", "/home/bot");
    let place = place.env("GITHUB_APP_PRIVATE_KEY_PATH", "app.pem").file(
        "track.toml",
        r#"
[[runners]]
name = "here"
transport = "local"
read_only = ["/srv/bot", "/srv/bot/state"]
read_write = ["/srv/bot/state/keys", "/srv/bot/stately"]
"#,
    );
    let problems = place.problems();
    let problems: Vec<&String> = problems.iter().filter(|problem| problem.contains("runner")).collect();
    assert_eq!(
        problems,
        [
            "track.toml line 2: runner \"here\": read_only or read_write has \"/srv/bot/state\", which lies in TRACK_HOME",
            "track.toml line 2: runner \"here\": read_only or read_write has \"/srv/bot/state/keys\", which lies in TRACK_HOME",
        ]
    );
    let place = Place::new().with_app().file(".env", "");
    assert_eq!(place.load().unwrap().secret_files.last(), Some(&place.path().join(".env")));
}

#[test]
fn a_whole_track_toml_is_read() {
    let place = Place::new().env("HOME", "/home/bot").file(
        "track.toml",
        r#"
allow = ["acme/*", "octo/hello-world"]
main_user = "@octocat"
follow_up = "off"
default_agent = "scripted"
label = "agent"

[limits]
runs = 2
cost_usd_per_run = 5

[[runners]]
name = "build-1"
transport = "ssh"
host = "10.0.0.5"
user = "agent"
port = 2222
key_path = "~/.ssh/runner"
known_hosts_path = "known_hosts"
root = "/srv/track"
slots = 2
agent = "scripted"
prelude = 'export PATH="$HOME/.local/bin:$PATH"'
sandbox = "bubblewrap"
network = "open"
read_only = ["~/.local"]
read_write = ["~/.codex"]

[[runners]]
name = "here"
transport = "local"
sandbox = "none"

[agents.scripted]
command = ["bash", "/opt/agents/scripted.sh"]

[profiles.careful]
agent = "claude"
model = "large"
instructions = "Take your time."
"#,
    );
    let config = place.load().unwrap();
    assert_eq!(config.allow.as_deref().unwrap(), ["acme/*", "octo/hello-world"]);
    assert_eq!(config.main_user, ["octocat"]);
    assert_eq!(config.follow_up, FollowUp::Off);
    assert_eq!((config.default_agent.as_str(), config.label.as_str()), ("scripted", "agent"));
    assert_eq!(config.limits, Limits { runs: 2, cost_usd_per_run: 5.0, ..Limits::default() });
    let [build, here] = &config.runners[..] else { panic!("{:?}", config.runners) };
    assert_eq!(build.key_path.as_deref(), Some(Path::new("/home/bot/.ssh/runner")));
    assert_eq!(build.known_hosts_path, Some(place.path().join("known_hosts")));
    assert_eq!((build.port, build.slots, build.root.as_str()), (Some(2222), 2, "/srv/track"));
    assert_eq!((build.sandbox, here.sandbox), (Sandbox::Bubblewrap, Sandbox::None));
    assert_eq!(config.agents["scripted"].command, ["bash", "/opt/agents/scripted.sh"]);
    assert_eq!(config.profiles["careful"].agent, "claude");
    assert!(config.knows_agent("claude") && !config.knows_agent("careful"));
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line_and_its_remedy() {
    let place = Place::new()
        .env("GITHUB_APP_ID", "Iv23liAbcdef")
        .env("GITHUB_APP_PRIVATE_KEY_PATH", "missing.pem")
        .env("GITHUB_WEBHOOK_SECRET", "hunter2")
        .env("DATABASE_URL", "postgres://bot:pass@db/track")
        .env("TRACK_LISTEN", "3000")
        .env("TRACK_ADMINS", "octocat, not a login")
        .file(
            "track.toml",
            r#"
allow = ["everything"]
folow_up = "off"
default_agent = "claud"

[limits]
runs = 0
wall_minutes = "long"
budget = 3

[[runners]]
name = "build-1"
transport = "ssh"
host = "-oProxyCommand=touch x"
user = "agent"
slot = 4
agent = "careful"

[[runners]]
name = "Build-1"
transport = "local"
sandbox = "nope"

[[runners]]
transport = "local"

[agents.codex]
command = ["codex"]

[agents.mine]

[profiles.Claude]
agent = "claude"

[profiles.careful]
agent = "opus"
"#,
        );
    insta::assert_snapshot!(place.told(), @r#"
    22 mistakes in the configuration:

      track.toml line 2: allow has "everything", which is neither owner/name nor owner/*
        -> write it like this: allow = ["owner/*", "org/repo"]
      track.toml line 3: folow_up is no setting
        -> did you mean follow_up?
      track.toml line 4: default_agent is "claud", which is no agent
        -> did you mean claude?
      track.toml line 7: limits.runs is 0
        -> set it from 1 to 1000
      track.toml line 8: limits.wall_minutes is wrong: invalid type: string "long", expected a whole number
        -> write it like this: wall_minutes = 120
      track.toml line 9: limits.budget is no setting
        -> known here: runs, runs_per_repository, followups_per_day, runs_per_user_hour, lost_after_hours, quiet_seconds, wall_minutes, silence_minutes, cost_usd_per_run, cost_usd_per_day
      track.toml line 11: runner "build-1": host is "-oProxyCommand=touch x", which is no host name or address
        -> write it bare, without user, port or brackets: build-1.example.org, 10.0.0.5 or fd00::5
      track.toml line 11: runner "build-1": agent is "careful", which is no agent
        -> name one of claude, codex, or describe it under [agents.careful]
      track.toml line 16: runners.slot is no setting
        -> did you mean slots?
      track.toml line 19: runner "Build-1" is there twice
        -> give each runner a name of its own
      track.toml line 22: runners.sandbox is wrong: unknown variant `nope`, expected `bubblewrap` or `none`
        -> write it like this: sandbox = "bubblewrap", or "none"
      track.toml line 24: runner has no name
        -> write it like this: name = "build-1"
      track.toml line 27: agents.codex is built in
        -> give your own agent another name
      track.toml line 30: agents.mine has no command
        -> write it like this: command = ["bash", "/opt/agents/scripted.sh"]
      track.toml line 32: profiles.Claude has the name of an agent, and labels could not tell them apart
        -> give the profile another name
      track.toml line 36: profiles.careful.agent is "opus", which is no agent
        -> name one of claude, codex, or describe it under [agents.opus]
      GITHUB_APP_ID is "Iv23liAbcdef", which is no number
        -> that looks like the client id, which belongs into GITHUB_APP_CLIENT_ID: the App ID stands above it in the App's settings
      GITHUB_APP_PRIVATE_KEY_PATH cannot be read (<cwd>/missing.pem): No such file or directory (os error 2)
        -> generate a private key on the App's settings page and set GITHUB_APP_PRIVATE_KEY_PATH to the downloaded .pem file
      GITHUB_WEBHOOK_SECRET is 7 bytes long, and 16 are the least
        -> set it to the output of `openssl rand -hex 32`, and the same text as webhook secret in the App's settings
      DATABASE_URL names PostgreSQL, which this version cannot use yet
        -> unset it for a database in TRACK_HOME, or write sqlite:///path/to/track.db
      TRACK_LISTEN is "3000"
        -> write address and port: 127.0.0.1:3000, or 0.0.0.0:3000 for all interfaces
      TRACK_ADMINS has "not a login", which is no GitHub login
        -> write GitHub logins with commas between, or teams as org/team: octocat,hubot,octo-org/bot-admins
    "#);
}

#[test]
fn a_file_that_is_no_toml_is_said_with_its_line() {
    let place = Place::new().file("track.toml", "label = \"track\"\nrunners = [[\n");
    insta::assert_snapshot!(place.told(), @"
    one mistake in the configuration:

      track.toml line 2 is not TOML: unclosed array, expected `]`
        -> see https://toml.io for how it is written
    ");
}

#[test]
fn a_track_config_that_is_not_there_is_a_mistake() {
    let place = Place::new().env("TRACK_CONFIG", "other.toml");
    insta::assert_snapshot!(place.told(), @"
    one mistake in the configuration:

      other.toml cannot be read (<cwd>/other.toml): No such file or directory (os error 2)
        -> point TRACK_CONFIG to a file that this account may read, or unset it
    ");
    let place = Place::new().env("TRACK_CONFIG", "other.toml").file("other.toml", "label = \"other\"");
    assert_eq!(place.load().unwrap().label, "other");
}

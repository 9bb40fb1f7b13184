//! `track runner`: machines come and go.

mod add;
mod edit;

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::Program;
use super::api::{Check, Removed, RunnerRow};
use super::client::{Client, reach};
use super::table::{checks, table};
use crate::config::{Config, Mistake, Mistakes, Sandbox, Transport, is_name};
use add::AddArgs;
use edit::EditArgs;

/// What can be done with runners.
#[derive(Debug, Subcommand)]
pub enum RunnerCommand {
    /// Add a machine: pin its host key, install the bot's public key, check it
    ///
    /// The machine is one on which agents will work: Linux with sshd, bash, git, util-linux, bubblewrap and the agents. It needs no GitHub login.
    ///
    /// The host key is shown for comparison and pinned; the public key that is shown goes into ~/.ssh/authorized_keys of the account there.
    ///
    /// For a machine that was set up anew and shows another host key: add it again with the same host, user, port and root. Only its
    /// pinned key is replaced, and its live runs go on.
    Add(Box<AddArgs>),
    /// List runners with their state, and the fingerprints of their keys
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look, line by line, whether a runner has all that runs need
    Check {
        /// The runner
        name: String,
    },
    /// Remove from a runner what no issue or pull request needs any more
    ///
    /// Kept are the files of threads with a live run, a run whose end its runner was never told, or an open line of work, and the
    /// repositories of those. What still runs there for anything else is ended. The server does the same each night at 03:00 UTC.
    Clean {
        /// The runner
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Every runner
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Remove everything of the bot from a runner: workspaces, agents' homes, run folders, repositories
    ///
    /// Refused while runs are live there, or while one is over whose result may still be there. Branches and pull requests on GitHub
    /// stay. The runner stays configured, and the next run begins anew there, without the session that its agent may have had.
    Reset {
        /// The runner
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Have a runner take no new runs; those on it go on
    ///
    /// It stays so over restarts, until `track runner undrain`.
    Drain {
        /// The runner
        name: String,
    },
    /// Have a drained runner take runs again
    Undrain {
        /// The runner
        name: String,
    },
    /// Change what is configured for a runner; what no option names stays
    ///
    /// Live runs go on as they were started. Host, user, port, root and the way there change only while nothing is live on it, and a
    /// new address needs its host key. What stands in track.toml is changed there.
    Edit(Box<EditArgs>),
    /// Take a runner out; refused while runs are live on it
    ///
    /// The bot's files stay on the machine; `track runner reset` before it removes them.
    Remove {
        /// The runner
        name: String,
    },
}

/// Where the dialogue takes place.
trait Dialogue: Send {
    /// Prints.
    fn say(&mut self, text: &str);
    /// Asks for a line; `None` where nobody is there to answer.
    fn ask(&mut self, question: &str) -> Option<String>;
}

struct Terminal;

impl Dialogue for Terminal {
    fn say(&mut self, text: &str) {
        print!("{text}");
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        if !io::stdin().is_terminal() {
            return None;
        }
        print!("{question} ");
        io::stdout().flush().ok()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).ok().filter(|&read| read > 0)?;
        Some(line.trim().to_owned())
    }
}

/// Carries out one of them; `false` if a check found something missing.
pub async fn run(command: RunnerCommand, config: &Config, program: &dyn Program) -> anyhow::Result<bool> {
    match command {
        RunnerCommand::Add(args) => add::run(&args, config, program).await,
        RunnerCommand::List { json } => {
            let rows: Vec<RunnerRow> = reach(config, program).await?.get("/api/v1/runners").await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&rows)?),
                false => print!("{}", list(&rows)),
            }
            Ok(true)
        }
        RunnerCommand::Check { name } => {
            known_form(&name)?;
            check(&name, &reach(config, program).await?, &mut Terminal).await
        }
        RunnerCommand::Clean { name, all: _ } => {
            name.as_deref().map_or(Ok(()), known_form)?;
            clean(name, &reach(config, program).await?, &mut Terminal).await
        }
        RunnerCommand::Reset { name, yes } => {
            known_form(&name)?;
            reset(&name, yes, &reach(config, program).await?, &mut Terminal).await?;
            Ok(true)
        }
        RunnerCommand::Drain { name } => {
            known_form(&name)?;
            reach(config, program).await?.order(&format!("/api/v1/runners/{name}/drain"), &json!({})).await?;
            println!(
                "{name} takes no new runs. Those on it go on; `track runner undrain {name}` has it take runs again."
            );
            Ok(true)
        }
        RunnerCommand::Undrain { name } => {
            known_form(&name)?;
            reach(config, program).await?.order(&format!("/api/v1/runners/{name}/undrain"), &json!({})).await?;
            println!("{name} takes runs again.");
            Ok(true)
        }
        RunnerCommand::Edit(args) => edit::run(&args, &reach(config, program).await?).await.map(|()| true),
        RunnerCommand::Remove { name } => {
            known_form(&name)?;
            reach(config, program).await?.delete(&format!("/api/v1/runners/{name}")).await?;
            println!("{name} is removed. Its files stay there until you delete them.");
            Ok(true)
        }
    }
}

async fn check(name: &str, client: &Client, dialogue: &mut dyn Dialogue) -> anyhow::Result<bool> {
    let found: Vec<Check> = client.post(&format!("/api/v1/runners/{name}/check"), &json!({})).await?;
    dialogue.say(&checks(&found));
    let missing = found.iter().filter(|check| !check.ok).count();
    dialogue.say(&match missing {
        0 => format!("{name} is ready: put the label `track` on an issue.\n"),
        n => format!("{n} missing. Put it right as said, then: track runner check {name}\n"),
    });
    Ok(missing == 0)
}

/// Cleans one runner, or all of them; `false` if one could not be.
async fn clean(name: Option<String>, client: &Client, dialogue: &mut dyn Dialogue) -> anyhow::Result<bool> {
    let names = match name {
        Some(name) => vec![name],
        None => {
            let rows: Vec<RunnerRow> = client.get("/api/v1/runners").await?;
            rows.into_iter().map(|row| row.config.name).collect()
        }
    };
    let mut all_done = true;
    for name in names {
        match client.post(&format!("/api/v1/runners/{name}/clean"), &json!({})).await {
            Ok(removed) => dialogue.say(&format!("{name}: {}\n", told(removed))),
            Err(error) => {
                all_done = false;
                dialogue.say(&format!("{name}: not cleaned: {error:#}\n"));
            }
        }
    }
    Ok(all_done)
}

async fn reset(name: &str, unasked: bool, client: &Client, dialogue: &mut dyn Dialogue) -> anyhow::Result<()> {
    if !unasked {
        let question = format!(
            "Every workspace, agent's home, run folder and repository of this bot on {name} will be removed.\n\
             Type the runner's name to go on:"
        );
        match dialogue.ask(&question) {
            Some(answer) if answer == name => {}
            Some(_) => bail!("not reset: that is not its name"),
            None => bail!("not reset: nobody is here to confirm it; --yes does it unasked"),
        }
    }
    let removed = client.post(&format!("/api/v1/runners/{name}/reset"), &json!({})).await?;
    dialogue.say(&format!("{name}: {}\n", told(removed)));
    Ok(())
}

/// What was removed, in words.
fn told(removed: Removed) -> String {
    let count = |n: u32, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    format!(
        "removed {}, {} and {}",
        count(removed.runs, "run folder", "run folders"),
        count(removed.workspaces, "workspace", "workspaces"),
        count(removed.repositories, "repository", "repositories")
    )
}

fn list(rows: &[RunnerRow]) -> String {
    if rows.is_empty() {
        return "no runners yet: track runner add NAME --host HOST --user USER\n".to_owned();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let runner = &row.config;
            let place = match (&runner.user, &runner.host) {
                (Some(user), Some(host)) => format!("{user}@{host}:{}", runner.port.unwrap_or(22)),
                _ => "this machine".to_owned(),
            };
            vec![
                runner.name.clone(),
                place,
                format!("{}/{}", row.live, runner.slots),
                runner.agent.clone().unwrap_or_else(|| "-".to_owned()),
                if runner.sandbox == Sandbox::None { "none" } else { "bubblewrap" }.to_owned(),
                if row.from_file { "track.toml" } else { "database" }.to_owned(),
                if row.draining { format!("{}, drained", row.state) } else { row.state.clone() },
            ]
        })
        .collect();
    let keys: Vec<Vec<String>> = rows
        .iter()
        .filter(|row| row.config.transport == Transport::Ssh)
        .map(|row| {
            let unknown = || "-".to_owned();
            let pinned = || Some(format!("as in {}", row.config.known_hosts_path.as_ref()?.display()));
            vec![
                row.config.name.clone(),
                row.key_fingerprint.clone().unwrap_or_else(unknown),
                row.host_key_fingerprint.clone().or_else(pinned).unwrap_or_else(unknown),
            ]
        })
        .collect();
    let mut out = table(&["name", "where", "busy", "agent", "sandbox", "from", "state"], &cells);
    if !keys.is_empty() {
        out += "\n";
        out += &table(&["name", "logs in with", "host key"], &keys);
    }
    out
}

/// A name that cannot be a runner's must not become part of a path of the API.
fn known_form(name: &str) -> Result<(), Mistakes> {
    if is_name(name) {
        return Ok(());
    }
    Err(Mistake::new("the name", format!("is {name:?}, which is no runner's"), "`track runner list` shows the names")
        .into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::Value;
    use tokio::net::UnixListener;

    use super::super::api::Added;
    use super::super::client::{Connection, connect};
    use super::add::{add, import};
    use super::*;
    use crate::config::{Jump, RunnerConfig};
    use crate::runner::alias::{Alias, NotTaken};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3aZ6kO2Qk0Zz7nJ1m3mJd0v4k1nE0m2b7yq3w6c8xK";

    /// Answers that were typed before, and all that was said.
    #[derive(Default)]
    struct Script {
        answers: Vec<&'static str>,
        said: String,
    }

    impl Dialogue for Script {
        fn say(&mut self, text: &str) {
            self.said += text;
        }

        fn ask(&mut self, question: &str) -> Option<String> {
            let answer = (!self.answers.is_empty()).then(|| self.answers.remove(0))?;
            self.said += format!("{question} {answer}").trim_end();
            self.said += "\n";
            Some(answer.to_owned())
        }
    }

    /// A server whose runner lacks claude, and what it was given to store.
    async fn server(home: &Path) -> (Client, Arc<Mutex<Vec<Value>>>) {
        let stored: Arc<Mutex<Vec<Value>>> = Arc::default();
        let store = stored.clone();
        let missing = Check {
            what: "claude".into(),
            ok: false,
            found: "not found with the prelude".into(),
            remedy: "install it there, or add its folder to PATH in the prelude".into(),
        };
        let git = Check { what: "git".into(), ok: true, found: "2.47.0".into(), remedy: String::new() };
        let routes = Router::new()
            .route("/api/v1/hostkey", post(async || Json(json!([{"key": "ssh-dss AAAA", "fingerprint": "SHA256:old"}, {"key": KEY, "fingerprint": "SHA256:abc"}]))))
            .route("/api/v1/key", get(async || Json(json!({"public_key": "ssh-ed25519 BBBB track"}))))
            .route("/api/v1/runners", post(async move |Json(runner): Json<Value>| {
                let mut stored = store.lock().unwrap();
                let again = stored.iter().any(|known| known["name"] == runner["name"]);
                stored.push(runner);
                Json(Added { again })
            }))
            .route("/api/v1/runners/build-1/reset", post(async || Json(Removed { runs: 2, workspaces: 1, repositories: 0 })))
            .route("/api/v1/runners/build-1/check", post(async || Json([git, missing])));
        let listener = UnixListener::bind(home.join("track.sock")).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let Connection::Socket(client) = connect(home).await.unwrap() else { panic!("no server") };
        (client, stored)
    }

    fn build_1() -> RunnerConfig {
        RunnerConfig {
            host: Some("10.0.0.5".into()),
            user: Some("agent".into()),
            ..RunnerConfig::named("build-1", Transport::Ssh)
        }
    }

    #[tokio::test]
    async fn a_machine_is_added_after_its_key_was_confirmed() {
        let home = tempfile::tempdir().unwrap();
        let (client, stored) = server(home.path()).await;
        let mut script = Script { answers: vec!["y", ""], ..Script::default() };
        assert!(!add(build_1(), false, &client, &mut script).await.unwrap());
        assert_eq!(stored.lock().unwrap()[0]["host_key"], KEY);
        insta::assert_snapshot!(script.said, @"
        10.0.0.5 shows the host key
          SHA256:abc
          ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3aZ6kO2Qk0Zz7nJ1m3mJd0v4k1nE0m2b7yq3w6c8xK
        Compare it with what this prints there:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
        Is it the same? [y/N] y
        build-1 is added.

        Put this line into ~/.ssh/authorized_keys of agent there, if it is not in it yet:

        ssh-ed25519 BBBB track

        Press Enter when it is there.
        ok    git     2.47.0
        MISS  claude  not found with the prelude
                      -> install it there, or add its folder to PATH in the prelude
        1 missing. Put it right as said, then: track runner check build-1
        ");
    }

    // B45
    #[tokio::test]
    async fn each_machine_on_the_way_is_confirmed_before_the_next_is_asked() {
        let home = tempfile::tempdir().unwrap();
        let (client, stored) = server(home.path()).await;
        let behind = || RunnerConfig { proxy_jump: vec!["me@bastion:2200".to_owned()], ..build_1() };
        let mut script = Script { answers: vec!["y", "", "y"], ..Script::default() };
        add(behind(), false, &client, &mut script).await.unwrap();
        insta::assert_snapshot!(script.said, @"
        bastion shows the host key
          SHA256:abc
          ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3aZ6kO2Qk0Zz7nJ1m3mJd0v4k1nE0m2b7yq3w6c8xK
        Compare it with what this prints there:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
        Is it the same? [y/N] y

        Put this line into ~/.ssh/authorized_keys at me@bastion:2200, and of agent on the runner, if it is not in it yet:

        ssh-ed25519 BBBB track

        Press Enter when it is there.
        10.0.0.5 shows the host key
          SHA256:abc
          ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3aZ6kO2Qk0Zz7nJ1m3mJd0v4k1nE0m2b7yq3w6c8xK
        Compare it with what this prints there:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
        Is it the same? [y/N] y
        build-1 is added.
        ok    git     2.47.0
        MISS  claude  not found with the prelude
                      -> install it there, or add its folder to PATH in the prelude
        1 missing. Put it right as said, then: track runner check build-1
        ");
        let one = stored.lock().unwrap()[0].clone();
        assert_eq!((&one["jump_host_keys"][0], &one["host_key"]), (&json!(KEY), &json!(KEY)));

        let mut script = Script { answers: vec![], ..Script::default() };
        let error = add(behind(), false, &client, &mut script).await.unwrap_err();
        assert!(error.to_string().contains("give it with --jump-host-key"), "{error}");
        let given = RunnerConfig { jump_host_keys: vec![KEY.to_owned()], host_key: Some(KEY.to_owned()), ..behind() };
        let mut script = Script::default();
        add(given, false, &client, &mut script).await.unwrap();
        assert!(!script.said.contains("SHA256"), "{}", script.said);
    }

    // T38
    #[tokio::test]
    async fn an_unconfirmed_host_key_is_never_pinned() {
        let home = tempfile::tempdir().unwrap();
        let (client, stored) = server(home.path()).await;
        for (answers, problem) in
            [(vec!["n"], "was not confirmed"), (vec![""], "was not confirmed"), (vec![], "nobody is here")]
        {
            let mut script = Script { answers, ..Script::default() };
            let error = add(build_1(), false, &client, &mut script).await.unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        assert_eq!(stored.lock().unwrap().len(), 0);

        add(build_1(), true, &client, &mut Script::default()).await.unwrap();
        let given = RunnerConfig { host_key: Some(KEY.to_owned()), ..build_1() };
        let mut script = Script::default();
        add(given, false, &client, &mut script).await.unwrap();
        assert!(!script.said.contains("SHA256"), "{}", script.said);
        assert_eq!(stored.lock().unwrap().len(), 2);
    }

    // B45
    #[test]
    fn what_an_alias_says_is_taken_where_no_option_says_otherwise() {
        let detour = |is_detour| NotTaken {
            setting: "proxycommand nc %h %p".into(),
            why: "the bot starts no program to connect".into(),
            is_detour,
        };
        let found = |not_taken| Alias {
            host: "10.0.0.9".into(),
            user: "me".into(),
            port: 2222,
            jumps: vec![Jump::parse("me@bastion:2200").unwrap()],
            key: Some("/home/me/.ssh/build".into()),
            not_taken,
        };
        let mut script = Script::default();
        let mut runner = RunnerConfig { port: Some(22), ..build_1() };
        import(&mut runner, "build", found(vec![detour(true)]), &mut script).unwrap();
        insta::assert_snapshot!(script.said, @"
        With the ssh configuration of build:
          host  10.0.0.5
          user  agent
          port  22
          way   me@bastion:2200
          key   /home/me/.ssh/build
        Not taken over:
          proxycommand nc %h %p
            -> the bot starts no program to connect
        ");
        let mut runner = RunnerConfig::named("build-1", Transport::Ssh);
        let error = import(&mut runner, "build", found(vec![detour(true)]), &mut script).unwrap_err();
        insta::assert_snapshot!(error, @"not added: build is reached by a detour (proxycommand nc %h %p), and the bot cannot take that; name an address that it reaches with --host, or machines on the way with --proxy-jump and --host");
        let mut script = Script::default();
        import(&mut runner, "build", found(vec![]), &mut script).unwrap();
        insta::assert_snapshot!(script.said, @"
        With the ssh configuration of build:
          host  10.0.0.9
          user  me
          port  2222
          way   me@bastion:2200
          key   /home/me/.ssh/build
        ");
    }

    // B43
    #[tokio::test]
    async fn a_runner_is_reset_by_whoever_types_its_name() {
        let home = tempfile::tempdir().unwrap();
        let (client, _) = server(home.path()).await;
        for (answers, problem) in [(vec!["y"], "not its name"), (vec![""], "not its name"), (vec![], "nobody is here")]
        {
            let mut script = Script { answers, ..Script::default() };
            let error = reset("build-1", false, &client, &mut script).await.unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        let mut script = Script { answers: vec!["build-1"], ..Script::default() };
        reset("build-1", false, &client, &mut script).await.unwrap();
        insta::assert_snapshot!(script.said, @"
        Every workspace, agent's home, run folder and repository of this bot on build-1 will be removed.
        Type the runner's name to go on: build-1
        build-1: removed 2 run folders, 1 workspace and 0 repositories
        ");
        let mut script = Script::default();
        reset("build-1", true, &client, &mut script).await.unwrap();
        assert_eq!(script.said, "build-1: removed 2 run folders, 1 workspace and 0 repositories\n");
    }

    #[test]
    fn runners_are_a_table() {
        let rows = [
            RunnerRow {
                config: build_1(),
                from_file: false,
                live: 1,
                state: "ready".into(),
                key_fingerprint: Some("SHA256:own".into()),
                host_key_fingerprint: Some("SHA256:abc".into()),
                draining: true,
                look: None,
            },
            RunnerRow {
                config: RunnerConfig {
                    known_hosts_path: Some("/etc/track/known_hosts".into()),
                    name: "build-2".into(),
                    ..build_1()
                },
                from_file: true,
                live: 0,
                state: "out of service: shows a host key that is not the pinned one".into(),
                key_fingerprint: None,
                host_key_fingerprint: None,
                draining: false,
                look: None,
            },
            RunnerRow {
                config: RunnerConfig {
                    sandbox: Sandbox::None,
                    agent: Some("claude".into()),
                    ..RunnerConfig::named("here", Transport::Local)
                },
                from_file: true,
                live: 0,
                state: "does not answer".into(),
                key_fingerprint: None,
                host_key_fingerprint: None,
                draining: false,
                look: None,
            },
        ];
        insta::assert_snapshot!(list(&rows), @"
        name     where              busy  agent   sandbox     from        state
        build-1  agent@10.0.0.5:22  1/4   -       bubblewrap  database    ready, drained
        build-2  agent@10.0.0.5:22  0/4   -       bubblewrap  track.toml  out of service: shows a host key that is not the pinned one
        here     this machine       0/4   claude  none        track.toml  does not answer

        name     logs in with  host key
        build-1  SHA256:own    SHA256:abc
        build-2  -             as in /etc/track/known_hosts
        ");
        assert!(list(&[]).contains("track runner add"));
    }
}

//! The command line, typed: against a server, and without one.

use track::config::RunnerConfig;
use track::model::{RunId, Status};

use crate::harness::{MAINTAINER, World, process::printed};

#[tokio::test]
async fn every_subcommand_explains_itself() {
    let world = World::new().await;
    for words in [
        "",
        "serve",
        "demo",
        "doctor",
        "runner",
        "runner add",
        "runner list",
        "runner check",
        "runner clean",
        "runner reset",
        "runner drain",
        "runner undrain",
        "runner edit",
        "runner remove",
        "runs",
        "review",
        "discard",
        "version",
    ] {
        let typed: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
        let output = world.bare_track(&typed).output().expect("track runs");
        let (out, err) = printed(&output);
        assert!(output.status.success() && err.is_empty(), "{words}: {err}");
        assert!(out.contains(format!("Usage: track {words}").trim_end()), "{out}");
    }
    let output = world.bare_track(&["version"]).output().expect("track runs");
    assert!(printed(&output).0.starts_with(concat!("track ", env!("CARGO_PKG_VERSION"))), "{:?}", printed(&output));
}

// Every mistake at once, each with what to do.
#[tokio::test]
async fn a_wrong_configuration_is_told_whole() {
    let world = World::new().await;
    let output = world
        .bare_track(&["serve"])
        .env("TRACK_LISTEN", "everywhere")
        .env("GITHUB_APP_ID", "my-app")
        .env("GITHUB_WEBHOOK_SECRET", "short")
        .output()
        .expect("track runs");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(printed(&output).1, @r#"
    track: 4 mistakes in the configuration:

      GITHUB_APP_ID is "my-app", which is no number
        -> set the number that stands as "App ID" on the App's settings page
      GITHUB_APP_PRIVATE_KEY is not set, nor GITHUB_APP_PRIVATE_KEY_PATH
        -> generate a private key on the App's settings page and set GITHUB_APP_PRIVATE_KEY_PATH to the downloaded .pem file
      GITHUB_WEBHOOK_SECRET is 5 bytes long, and 16 are the least
        -> set it to the output of `openssl rand -hex 32`, and the same text as webhook secret in the App's settings
      TRACK_LISTEN is "everywhere"
        -> write address and port: 127.0.0.1:3000, or 0.0.0.0:3000 for all interfaces
    "#);
}

#[tokio::test]
async fn a_doctor_says_what_is_missing() {
    let mut world = World::new().await;
    let alone = world.bare_track(&["doctor"]).env("TRACK_HOME", world.home().join("other")).output().expect("runs");
    assert_eq!(alone.status.code(), Some(1), "{:?}", printed(&alone));
    assert!(printed(&alone).0.contains("GITHUB_APP_ID"), "{:?}", printed(&alone));
    world.serve().await;
    let whole = world.run_track(&["doctor"]).await;
    assert_eq!(whole.status.code(), Some(0), "{}\n{}", printed(&whole).0, printed(&whole).1);
}

// B45, B04
#[tokio::test]
async fn a_machine_is_added_checked_used_and_removed() {
    let mut world = World::over_ssh().await;
    let given = world.config.runners.remove(0);
    world.agent("await go; answer succeeded 'Nothing to do.'");
    world.serve().await;
    let sshd = world.sshd.as_ref().expect("a machine");
    let (port, user) = (sshd.port.to_string(), sshd.user.clone());
    let mut words = vec!["runner", "add", "build-1", "--host", "127.0.0.1", "--port", &port, "--user", &user, "--yes"];
    words.extend(rest_of(&given));
    let added = world.run_track(&words).await;
    let (out, err) = printed(&added);
    let key = out.lines().find(|line| line.starts_with("ssh-ed25519")).expect("the public key").to_owned();
    let fingerprint = out.lines().find(|line| line.trim().starts_with("SHA256:")).expect("the fingerprint").to_owned();
    assert_eq!((added.status.code(), err.as_str()), (Some(1), ""), "{out}");
    let shown = out
        .replace(&key, "PUBLIC KEY")
        .replace(fingerprint.trim(), "FINGERPRINT")
        .replace(&sshd.host_public_key, "HOST KEY")
        .replace(&port, "PORT")
        .replace(&sshd.user, "USER");
    insta::assert_snapshot!(shown, @"
    127.0.0.1 shows the host key
      FINGERPRINT
      HOST KEY
    Compare it with what this prints there:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    build-1 is added.

    Put this line into ~/.ssh/authorized_keys of USER there, if it is not in it yet:

    PUBLIC KEY

    MISS  connection  refuses the login: USER@127.0.0.1: Permission denied (publickey)
                      -> put this line into ~/.ssh/authorized_keys of USER there:
                      -> PUBLIC KEY
    1 missing. Put it right as said, then: track runner check build-1
    ");

    sshd.authorize(&key);
    let checked = world.run_track(&["runner", "check", "build-1"]).await;
    assert!(checked.status.success(), "{:?}", printed(&checked));
    assert!(printed(&checked).0.contains(" MiB free, "), "{:?}", printed(&checked));
    assert!(
        printed(&checked).0.ends_with("build-1 is ready: put the label `track` on an issue.\n"),
        "{:?}",
        printed(&checked)
    );
    let listed = printed(&world.run_track(&["runner", "list"]).await).0.replace(&port, "PORT").replace(&user, "USER");
    let cells: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[1], ["build-1", "USER@127.0.0.1:PORT", "0/4", "-", "bubblewrap", "database", "ready"]);

    let ours = cells.iter().rfind(|cells| cells.first() == Some(&"build-1")).expect("its keys");
    assert_eq!(ours[2], fingerprint.trim());
    assert!(ours[1].starts_with("SHA256:") && ours[1] != ours[2], "{listed}");

    // T45
    let json = printed(&world.run_track(&["runner", "list", "--json"]).await).0;
    assert!(json.contains(r#""prelude": "(set, not shown)""#) && !json.contains(&given.prelude), "{json}");

    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await;
    let refused = world.run_track(&["runner", "remove", "build-1"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).1.contains(&format!("has live runs: {}", run.id)), "{:?}", printed(&refused));

    // T38: set up anew, it shows another key, which is pinned in the place of the first while the run goes on.
    let sshd = world.sshd.as_mut().expect("a machine");
    sshd.stop();
    world.run_track(&["runner", "check", "build-1"]).await;
    let silent = printed(&world.run_track(&["runner", "list"]).await).0;
    assert!(silent.contains("does not answer"), "{silent}");
    world.sshd.as_mut().expect("a machine").restart_with_new_host_key();
    let elsewhere: Vec<&str> = words.iter().copied().chain(["--root", "/srv/track"]).collect();
    let refused = printed(&world.run_track(&elsewhere).await).1;
    assert!(refused.contains("With its host, user, port and root, its host key is pinned anew"), "{refused}");
    assert!(refused.contains(&format!("has live runs: {}", run.id)), "{refused}");
    let again = world.run_track(&words).await;
    assert_eq!(again.status.code(), Some(0), "{:?}", printed(&again));
    assert!(
        printed(&again).0.contains("\nbuild-1, which was there, has its host key pinned anew"),
        "{:?}",
        printed(&again)
    );
    world.signal("go");
    world.settle().await;
    let runs: serde_json::Value =
        serde_json::from_str(&printed(&world.run_track(&["runs", "--json"]).await).0).expect("JSON");
    assert_eq!((runs[0]["id"].as_str(), runs[0]["runner"].as_str()), (Some(&*run.id.to_string()), Some("build-1")));
    assert_eq!((runs[0]["outcome"].as_str(), runs[0]["status"].as_str()), (Some("succeeded"), Some("done")));

    // Without a server, too.
    world.end(rustix::process::Signal::TERM).await;

    // B44: what it may still have is not forgotten with it.
    set_unsettled(&world, run.id, true).await;
    for words in [&["runner", "remove", "build-1"][..], &elsewhere] {
        let refused = printed(&world.run_track(words).await).1;
        assert!(refused.contains(&format!("may still have the results of {}", run.id)), "{refused}");
    }
    set_unsettled(&world, run.id, false).await;

    let removed = world.run_track(&["runner", "remove", "build-1"]).await;
    assert!(removed.status.success(), "{:?}", printed(&removed));
    let listed = printed(&world.run_track(&["runner", "list"]).await).0;
    assert_eq!(listed, "no runners yet: track runner add NAME --host HOST --user USER\n");
}

// B16
#[tokio::test]
async fn a_thread_and_a_log_can_be_read() {
    let mut world = World::new().await;
    world.agent("say 'looking around'; exit 7");
    let issue = world.work_on("Say hello", "").await;
    assert!(world.only_comment(issue).contains("`track runs --log`"), "{}", world.only_comment(issue));
    let run = world.runs().await.remove(0);
    world.serve().await;
    let of_thread = printed(&world.run_track(&["runs", "--thread", &format!("octo/hello#{issue}")]).await).0;
    assert!(of_thread.starts_with(&format!("{}  octo/hello#{issue}  task: failed\n", run.id)), "{of_thread}");
    assert!(of_thread.contains("  agent         scripted on local-1\n"), "{of_thread}");
    assert!(of_thread.contains("  error         agent_crashed: "), "{of_thread}");
    let log = printed(&world.run_track(&["runs", "--log", &run.id.to_string()]).await).0;
    assert!(log.lines().any(|line| line.ends_with(r#"  {"type":"progress","text":"looking around"}"#)), "{log}");
    let twice = world.run_track(&["runs", "--thread", "octo/hello#1", "--repo", "octo/hello"]).await;
    assert!(printed(&twice).1.contains("leave --repo out"), "{:?}", printed(&twice));
}

// B45
#[tokio::test]
async fn a_machine_is_added_as_the_ssh_configuration_has_it() {
    let mut world = World::over_ssh().await;
    let given = world.config.runners.remove(0);
    world.serve().await;
    let sshd = world.sshd.as_ref().expect("a machine");
    let (user, key, port) = (&sshd.user, sshd.client_key.display(), sshd.port);
    let config = world.shared().join("ssh_config");
    let text = format!(
        "Host build\n  HostName 127.0.0.1\n  User {user}\n  Port {port}\n  IdentityFile \"{key}\"\n  ForwardAgent yes\n\
         Match host 127.0.0.1\n  IdentityFile ~/no-such-key\n  SetEnv A=1\n\
         Host far\n  HostName 127.0.0.1\n  ProxyCommand nc %h %p\n"
    );
    std::fs::write(&config, text).expect("a configuration");
    let config = config.to_str().expect("UTF-8");
    let add = async |words: &[&str]| {
        let words = [&["runner", "add", "build-1", "--ssh-config", config, "--yes"], words].concat();
        let added = world.run_track(&words).await;
        let (out, err) = printed(&added);
        let readable = |text: String| {
            let text = text.replace(&key.to_string(), "KEY").replace(&port.to_string(), "PORT").replace(user, "USER");
            text.replace(&std::env::var("HOME").expect("a home"), "HOME")
        };
        (added.status.code(), readable(out), readable(err))
    };
    let (code, out, err) = add(&["--from-ssh-config", "far", "--user", user]).await;
    assert_eq!(code, Some(1), "{out}");
    insta::assert_snapshot!(err, @"track: not added: far is reached by a detour (proxycommand nc %h %p), and the bot cannot take that; name an address that it reaches with --host, or machines on the way with --proxy-jump and --host");

    let (code, out, err) = add(&["--from-ssh-config", "build", "--prelude", &given.prelude]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    insta::assert_snapshot!(out.split("127.0.0.1 shows the host key").next().expect("a beginning"), @"
    With the ssh configuration of build:
      host  127.0.0.1
      user  USER
      port  PORT
      key   KEY
    Not taken over:
      setenv A=1
        -> the prelude sets variables
      identityfile ~/no-such-key
        -> cannot find the private key HOME/no-such-key; check key_path: No such file or directory (os error 2)
    ");
    assert!(out.ends_with("build-1 is ready: put the label `track` on an issue.\n"), "{out}");

    // What is written out counts more.
    let (_, out, _) = add(&["--from-ssh-config", "build", "--port", "1", "--user", "somebody"]).await;
    assert!(out.contains("  user  somebody\n  port  1\n"), "{out}");
    let (code, _, err) = add(&["--from-ssh-config", "two words"]).await;
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(err, @r#"track: ssh cannot tell what "two words" stands for: hostname contains invalid characters"#);
}

// B45
#[tokio::test]
async fn a_machine_behind_another_is_added_with_the_keys_of_both_and_used() {
    let mut world = World::over_ssh().await;
    let given = world.config.runners.remove(0);
    let mut bastion = crate::sshd::Sshd::start();
    let sshd = world.sshd.as_ref().expect("a machine");
    bastion.authorize(std::fs::read_to_string(sshd.client_key.with_extension("pub")).expect("its key").trim());
    let (user, key) = (&sshd.user, sshd.client_key.display());
    let config = world.shared().join("ssh_config");
    let text = format!(
        "Host build\n  HostName 127.0.0.1\n  User {user}\n  Port {}\n  IdentityFile \"{key}\"\n  ProxyJump {user}@way\n\
         Host way\n  HostName localhost\n  Port {}\n",
        sshd.port, bastion.port
    );
    std::fs::write(&config, text).expect("a configuration");
    let config = config.to_str().expect("UTF-8").to_owned();
    let way = format!("{user}@localhost:{}", bastion.port);
    world.serve().await;
    let mut words = vec!["runner", "add", "build-1", "--from-ssh-config", "build", "--ssh-config", &config, "--yes"];
    words.extend(rest_of(&given));
    let added = world.run_track(&words).await;
    let (out, err) = printed(&added);
    assert!(added.status.success(), "{out}{err}\n{}", bastion.log());
    assert!(out.contains(&format!("  way   {way}\n")), "{out}");
    let sshd = world.sshd.as_ref().expect("a machine");
    for (host, key) in [("localhost", &bastion.host_public_key), ("127.0.0.1", &sshd.host_public_key)] {
        let shown = out.split(&format!("{host} shows the host key\n")).nth(1).expect("it is shown");
        assert!(shown.lines().nth(1).is_some_and(|line| line.trim() == key), "{host}: {out}");
    }
    assert!(
        bastion.count_logins() > 0 && out.ends_with("build-1 is ready: put the label `track` on an issue.\n"),
        "{out}"
    );

    let issue = world.work_on("Say hello", "").await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"), "{}", world.only_comment(issue));

    // T38: whoever stands in between is not passed by.
    bastion.restart_with_new_host_key();
    let check = async || printed(&world.run_track(&["runner", "check", "build-1"]).await).0;
    world
        .until("it is found out", async || check().await.contains("shows a host key that is not the pinned one"))
        .await;
    bastion.stop();
}

// B41
#[tokio::test]
async fn a_history_is_discarded_from_the_command_line() {
    let mut world = World::new().await;
    world.agent("await go; answer blocked 'Why?'");
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await;
    world.serve().await;
    let place = format!("octo/hello#{issue}");
    let discard = async |world: &World, place: &str| world.run_track(&["discard", place]).await;
    let refused = discard(&world, &place).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = printed(&refused).1.replace(&run.id.to_string(), "RUN");
    insta::assert_snapshot!(said, @"track: run RUN is running on octo/hello#1: wait for it, or end it with `/track cancel` there");
    world.signal("go");
    world.settle().await;

    let files = world.runner_root().join("runs").join(run.id.to_string());
    assert!(files.exists());
    let done = discard(&world, "Octo/Hello#1").await;
    assert!(done.status.success(), "{:?}", printed(&done));
    insta::assert_snapshot!(printed(&done).0, @"Octo/Hello#1: the history of 1 run is discarded. The server removes its files from 1 runner");
    let asked = std::time::Instant::now();
    world.until("its files are gone", async || !files.exists()).await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(15), "nobody was told, they went by the next look");
    assert_eq!(world.runs().await.len(), 0);
    world.comment(MAINTAINER, issue, "/track why").await;
    world.settle().await;
    let why = world.said(issue).pop().expect("an answer");
    assert!(why.contains("The history of 1 run is discarded."), "{why}");

    for place in [place.as_str(), "octo/hello#99", "octo/other#1"] {
        let again = discard(&world, place).await;
        assert_eq!(again.status.code(), Some(1));
        let said = printed(&again).1;
        assert_eq!(said, format!("track: no run is kept of {place}, so there is nothing to discard\n"));
    }
}

#[tokio::test]
async fn a_server_says_at_once_that_github_does_not_know_it() {
    let mut world = World::new().await;
    world.config.github.as_mut().expect("an App").app_id += 1;
    world.serve().await;
    world.until("it is in the log", async || world.serve_log().contains("compare GITHUB_APP_ID with")).await;
    world.config.github.as_mut().expect("an App").api_url = "http://127.0.0.1:9".to_owned();
    world.end(rustix::process::Signal::TERM).await;
    world.serve().await;
    world.until("it is in the log", async || world.serve_log().contains("that GITHUB_API_URL is right")).await;
}

async fn set_unsettled(world: &World, run: RunId, unsettled: bool) {
    let mut tx = world.db().begin().await.expect("the database");
    track::db::runs::set_unsettled(&mut tx, run, unsettled).await.expect("a change");
    tx.commit().await.expect("a commit");
}

/// What the harness's machine needs besides the way to it.
fn rest_of(given: &RunnerConfig) -> [&str; 6] {
    ["--prelude", &given.prelude, "--read-only", &given.read_only[0], "--read-write", &given.read_write[0]]
}

//! Machines over SSH, against a real sshd with OpenSSH's default limits.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use track::runner::{ChannelLane, GitRoute, Host, HostError, Process, Ssh, SshSettings, hostkeys};

use crate::sshd::Sshd;

use ChannelLane::{Lasting, Ordinary, Urgent};

/// An sshd, and the bot's end of it.
struct Setup {
    sshd: Sshd,
    folder: TempDir,
}

impl Setup {
    fn new() -> Self {
        Self { sshd: Sshd::start(), folder: tempfile::tempdir().expect("a temp folder") }
    }

    fn settings(&self) -> SshSettings {
        SshSettings {
            host: "127.0.0.1".to_owned(),
            user: self.sshd.user.clone(),
            port: self.sshd.port,
            jumps: Vec::new(),
            key_path: self.sshd.client_key.clone(),
            known_hosts_path: self.sshd.pin_in(self.folder.path()),
            control_dir: self.folder.path().join("c"),
            connect_timeout: Duration::from_secs(10),
        }
    }

    fn ssh(&self) -> Ssh {
        Ssh::new(self.settings()).expect("valid settings")
    }
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("readable");
    bytes
}

/// Runs to the end: what it printed, and its code.
async fn finish(mut process: Process, stdin: &[u8]) -> (Vec<u8>, Result<i32, HostError>) {
    let write = async {
        // A program that does not read its input ends the pipe.
        let _ = process.stdin.write_all(stdin).await;
        let _ = process.stdin.shutdown().await;
    };
    let ((), out, _) = tokio::join!(write, read(&mut process.stdout), read(&mut process.stderr));
    (out, process.wait.await)
}

async fn run(ssh: &Ssh, command: &str) -> Result<(String, i32), HostError> {
    let (out, code) = finish(ssh.exec(command, Ordinary).await?, b"").await;
    Ok((String::from_utf8(out).expect("text"), code?))
}

/// Starts something that goes on until its input ends, and waits until it runs; says which connection it is on.
async fn start_long(ssh: &Ssh, lane: ChannelLane) -> (Process, String) {
    let mut process = ssh.exec("echo $SSH_CONNECTION; cat >/dev/null", lane).await.expect("started");
    let mut connection = Vec::new();
    while !connection.ends_with(b"\n") {
        connection.push(process.stdout.read_u8().await.expect("it says that it runs"));
    }
    (process, String::from_utf8(connection).expect("text"))
}

async fn git(route: &GitRoute, at: &Path, arguments: &[&str]) -> Output {
    let mut git = tokio::process::Command::new("git");
    git.current_dir(at).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
    git.envs(route.env.iter().cloned()).output().await.expect("git runs")
}

#[tokio::test]
async fn bytes_go_both_ways_unchanged() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let process = ssh.exec("cat; echo 'to stderr' >&2", Ordinary).await.expect("started");
    let (out, code) = finish(process, &bytes).await;
    assert_eq!(code.expect("a code"), 0);
    assert!(out == bytes, "{} of {} bytes, or other ones", out.len(), bytes.len());
}

#[tokio::test]
async fn output_is_whole_also_for_a_caller_that_waits_while_it_reads() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    // What a program leaves behind in the background may print after the exit code was sent.
    let command = "head -c 1000000 /dev/zero; (sleep 0.2; echo late) & exit 3";
    let Process { mut stdout, mut stderr, wait, .. } = ssh.exec(command, Ordinary).await.expect("started");
    let (code, out, _) = tokio::join!(wait, read(&mut stdout), read(&mut stderr));
    assert_eq!((code.expect("a code"), out.len()), (3, 1_000_000 + "late\n".len()));
}

#[tokio::test]
async fn every_exit_code_comes_back_as_it_was() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    for code in [0, 1, 126, 127, 255] {
        assert_eq!(run(&ssh, &format!("exit {code}")).await.expect("reached").1, code);
    }
    let (out, code) =
        run(&ssh, r#"printf '%s|' "it's" '$HOME' "\\"; no-such-program 2>/dev/null"#).await.expect("reached");
    assert_eq!((out.as_str(), code), (r"it's|$HOME|\|", 127));
    // A signal is no code: on the wire it looks like a lost connection.
    let killed = run(&ssh, "kill -9 $$").await.expect_err("no code");
    assert_eq!(killed.to_string(), "cannot be reached: the program was ended by a signal");
    assert_eq!(setup.sshd.count_logins(), 1);
}

#[tokio::test]
async fn ten_at_once_share_one_login_until_they_want_more_than_eight_channels() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let eight = join_all((0..8).map(|_| start_long(&ssh, Ordinary))).await;
    let first = eight[0].1.clone();
    assert!(eight.iter().all(|(_, connection)| *connection == first), "{}", setup.sshd.log());

    // With all ordinary channels taken, cancel and status still get through, on the same login.
    let urgent = start_long(&ssh, Urgent).await;
    assert_eq!(urgent.1, first);

    let two = join_all((0..2).map(|_| start_long(&ssh, Ordinary))).await;
    assert!(two[0].1 != first && two[1].1 == two[0].1);
    assert_eq!((setup.sshd.count_logins(), ssh.logins()), (2, 2), "{}", setup.sshd.log());
    for (process, _) in eight.into_iter().chain(two).chain([urgent]) {
        assert_eq!(finish(process, b"").await.1.expect("a code"), 0);
    }
    assert_eq!(setup.sshd.count("no more sessions"), 0, "no channel was refused");
}

#[tokio::test]
async fn ten_callers_of_a_cold_machine_make_at_most_two_logins() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let started = Instant::now();
    let ten = join_all((0..10).map(|_| start_long(&ssh, Ordinary))).await;
    eprintln!("ten cold starts: {:?}", started.elapsed());
    assert_eq!((ten.len(), ssh.logins()), (10, 2));
}

#[tokio::test]
async fn fifty_short_execs_at_once_wait_for_channels_instead_of_logging_in() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    for result in join_all((0..50).map(|_| run(&ssh, "exit 0"))).await {
        assert_eq!(result.expect("reached").1, 0);
    }
    // ⌈(50 + 4) / 8⌉ = 7; where execs take milliseconds it is one or two.
    assert!(ssh.logins() <= 7, "{} logins", ssh.logins());
}

#[tokio::test]
async fn programs_that_outlive_their_channel_do_not_block_the_machine() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    // sshd counts a session until its program ends, whoever gave the channel up: these take all ten of the connection.
    let mut pids = String::new();
    for n in 0..10 {
        let lane = if n < 8 { Ordinary } else { Urgent };
        let sleeper =
            ssh.exec("trap '' HUP PIPE; echo $$; exec sleep 60 >/dev/null 2>&1", lane).await.expect("started");
        BufReader::new(sleeper.stdout).read_line(&mut pids).await.expect("its process id");
    }
    assert_eq!(run(&ssh, "exit 4").await.expect("reached").1, 4);
    assert!(setup.sshd.count("no more sessions") > 0, "it was refused at first:\n{}", setup.sshd.log());
    assert!(ssh.logins() <= 2, "{} logins", ssh.logins());
    assert_eq!(run(&ssh, &format!("kill {}", pids.replace('\n', " "))).await.expect("reached").1, 0, "all were alive");
}

#[tokio::test]
async fn runs_that_go_on_make_room_for_the_next_ones() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let runs = join_all((0..5).map(|_| start_long(&ssh, Lasting))).await;
    // ⌈(5 + 4) / 8⌉ = 2
    while setup.sshd.count_logins() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(runs.len(), 5);
}

#[tokio::test]
async fn a_cut_connection_is_an_error_and_the_next_exec_logs_in_again() {
    // F05
    let setup = Setup::new();
    let ssh = setup.ssh();
    let (process, _) = start_long(&ssh, Ordinary).await;
    setup.sshd.cut_connections();
    let (_, code) = finish(process, b"").await;
    assert!(matches!(code, Err(HostError::Unreachable(_))), "{code:?}");
    assert_eq!(run(&ssh, "echo back").await.expect("reached"), ("back\n".to_owned(), 0));
    assert_eq!(ssh.logins(), 2);
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_found_in_time() {
    // F05
    let setup = Setup::new();
    let ssh = setup.ssh();
    let (process, _) = start_long(&ssh, Ordinary).await;
    setup.sshd.freeze_connections();
    let since = Instant::now();
    let code = {
        let Process { stdin, mut stdout, mut stderr, wait } = process;
        let (code, _, _) = tokio::join!(wait, read(&mut stdout), read(&mut stderr));
        drop(stdin);
        code
    };
    assert!(matches!(&code, Err(HostError::Unreachable(why)) if why.contains("not responding")), "{code:?}");
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert_eq!(run(&ssh, "exit 0").await.expect("reached").1, 0);
}

#[tokio::test]
async fn a_machine_that_is_down_is_unreachable_for_all_who_wait() {
    let mut setup = Setup::new();
    let ssh = setup.ssh();
    setup.sshd.stop();
    let results = join_all((0..10).map(|_| run(&ssh, "exit 0"))).await;
    for result in results {
        assert!(
            matches!(&result, Err(HostError::Unreachable(why)) if why.contains("Connection refused")),
            "{result:?}"
        );
    }
    assert_eq!(ssh.logins(), 0);
}

#[tokio::test]
async fn a_changed_host_key_is_told_and_nothing_is_sent() {
    // T38
    let mut setup = Setup::new();
    let ssh = setup.ssh();
    assert_eq!(run(&ssh, "exit 0").await.expect("reached").1, 0);
    setup.sshd.restart_with_new_host_key();
    let witness = setup.sshd.home.join("witness");
    let command = format!("cat > {}", witness.display());
    for _ in 0..2 {
        let refused = ssh.exec(&command, Ordinary).await.err().expect("refused");
        let shown: hostkeys::HostKey = setup.sshd.host_public_key.parse().expect("a key");
        assert!(matches!(&refused, HostError::HostKey(why) if why.contains(&shown.fingerprint())), "{refused}");
        assert!(!refused.is_transient());
        assert!(matches!(ssh.git().await.err(), Some(HostError::HostKey(_))));
    }
    assert!(!witness.exists());
    assert_eq!(setup.sshd.count_logins(), 1, "no login was made with the key shown");
}

#[tokio::test]
async fn a_host_without_a_pinned_key_is_not_trusted() {
    // T38
    let setup = Setup::new();
    let settings = setup.settings();
    std::fs::write(&settings.known_hosts_path, "").expect("written");
    let ssh = Ssh::new(settings).expect("valid settings");
    assert!(matches!(ssh.exec("exit 0", Ordinary).await.err(), Some(HostError::HostKey(_))));
    assert_eq!(setup.sshd.count_logins(), 0);
}

#[tokio::test]
async fn a_key_that_is_not_installed_is_a_refused_login() {
    let setup = Setup::new();
    let own = track::runner::keys::own(setup.folder.path()).await.expect("made");
    let ssh = Ssh::new(SshSettings { key_path: own.private, ..setup.settings() }).expect("valid settings");
    let refused = ssh.exec("exit 0", Ordinary).await.err().expect("refused");
    assert!(matches!(&refused, HostError::Login(why) if why.contains("Permission denied")), "{refused}");
}

#[tokio::test]
async fn the_key_that_is_fetched_is_the_key_that_pins() {
    // B45
    let setup = Setup::new();
    let keys = hostkeys::fetch("127.0.0.1", setup.sshd.port, Duration::from_secs(5)).await.expect("fetched");
    assert_eq!(keys[0].to_string(), setup.sshd.host_public_key);
    let settings = setup.settings();
    hostkeys::pin(&settings.known_hosts_path, "127.0.0.1", setup.sshd.port, &keys).expect("pinned");
    let ssh = Ssh::new(settings).expect("valid settings");
    assert_eq!(run(&ssh, "exit 0").await.expect("reached").1, 0);
}

#[tokio::test]
async fn hostile_settings_are_refused_before_ssh_sees_them() {
    // T38
    let setup = Setup::new();
    for (host, user, port) in [
        ("-oProxyCommand=touch x", "agent", 22),
        ("h;touch x", "agent", 22),
        ("h", "-oProxyCommand=touch x", 22),
        ("h", "a b", 22),
        ("h", "agent", 0),
    ] {
        let settings = SshSettings { host: host.to_owned(), user: user.to_owned(), port, ..setup.settings() };
        assert!(matches!(Ssh::new(settings).err(), Some(HostError::Setup(_))), "{host:?} {user:?} {port}");
    }
}

#[tokio::test]
async fn git_clones_and_pushes_without_a_login_of_its_own() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let bare = setup.sshd.home.join("r.git");
    run(&ssh, &format!("git init -q --bare -b main {}", bare.display())).await.expect("made");

    let route = ssh.git().await.expect("a route");
    let url = format!("{}{}", route.url_prefix, bare.display());
    let work = setup.folder.path().join("work");
    let clone = git(&route, setup.folder.path(), &["clone", "-q", &url, "work"]).await;
    assert!(clone.status.success(), "{clone:?}");
    git(&route, &work, &["commit", "-q", "--allow-empty", "-m", "one"]).await;
    let push = git(&route, &work, &["push", "-q", "origin", "HEAD:refs/heads/main"]).await;
    assert!(push.status.success(), "{push:?}");
    let (log, _) = run(&ssh, &format!("git -C {} log --format=%s main", bare.display())).await.expect("reached");
    assert_eq!(log, "one\n");
    assert_eq!((setup.sshd.count_logins(), ssh.logins()), (1, 1));
    drop(route);

    // Where the connection is gone, git fails instead of logging in on the side.
    let route = ssh.git().await.expect("a route");
    setup.sshd.cut_connections();
    let fetch = git(&route, &work, &["ls-remote", "origin"]).await;
    assert!(!fetch.status.success());
    assert_eq!(setup.sshd.count_logins(), 1);
}

#[tokio::test]
async fn no_agent_and_no_display_reach_the_machine() {
    // T38
    let setup = Setup::new();
    let ssh = setup.ssh();
    let (out, _) = run(&ssh, "echo ${SSH_AUTH_SOCK-none} ${DISPLAY-none}").await.expect("reached");
    assert_eq!(out, "none none\n");
}

#[tokio::test]
async fn closing_ends_the_connections_and_nothing_else() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let pid = run(&ssh, "setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $!").await.expect("started").0;
    ssh.close().await;
    assert_eq!(std::fs::read_dir(setup.folder.path().join("c")).expect("there").count(), 0, "nothing is left behind");
    assert_eq!(run(&ssh, &format!("kill {pid}")).await.expect("reached").1, 0, "it was still running");
    assert_eq!(ssh.logins(), 2);
}

#[tokio::test]
async fn masters_of_a_bot_that_was_killed_are_ended_by_the_next_one() {
    let setup = Setup::new();
    let dead = setup.ssh();
    let (process, _) = start_long(&dead, Ordinary).await;
    let control = setup.folder.path().join("c");
    let folder = std::fs::read_dir(&control).expect("there").flatten().next().expect("one folder").path();
    // Another bot that lives is left alone.
    let living = setup.ssh();
    assert_eq!(run(&living, "exit 0").await.expect("reached").1, 0);
    assert!(folder.exists());

    // A killed process holds no lock any more; one whose file was replaced cannot be told from it.
    std::fs::remove_file(folder.join("lock")).expect("removed");
    std::fs::write(folder.join("lock"), "").expect("written");
    let next = setup.ssh();
    assert_eq!(run(&next, "exit 0").await.expect("reached").1, 0);
    assert!(!folder.exists());
    assert!(matches!(finish(process, b"").await.1, Err(HostError::Unreachable(_))), "its master is gone");
    assert_eq!(run(&living, "exit 0").await.expect("reached").1, 0);
    assert_eq!(living.logins(), 1);
}

#[tokio::test]
async fn a_warm_exec_takes_milliseconds() {
    let setup = Setup::new();
    let ssh = setup.ssh();
    let cold = Instant::now();
    run(&ssh, "exit 0").await.expect("reached");
    let cold = cold.elapsed();
    let mut warm = Vec::new();
    for _ in 0..50 {
        let since = Instant::now();
        run(&ssh, "exit 0").await.expect("reached");
        warm.push(since.elapsed());
    }
    warm.sort();
    eprintln!("cold {cold:?}, warm p50 {:?}, p95 {:?}", warm[25], warm[47]);
    assert_eq!(ssh.logins(), 1);
    assert!(warm[25] < cold, "an exec on a warm connection must not cost a login");
}

#[tokio::test]
async fn the_proxy_adds_what_it_says() {
    let setup = Setup::new();
    let proxy = setup.sshd.delay_proxy(Duration::from_millis(40)).await;
    let settings = SshSettings { port: proxy.port, ..setup.settings() };
    let key: hostkeys::HostKey = setup.sshd.host_public_key.parse().expect("a key");
    hostkeys::pin(&settings.known_hosts_path, "127.0.0.1", proxy.port, &[key]).expect("pinned");
    let ssh = Ssh::new(settings).expect("valid settings");
    run(&ssh, "exit 0").await.expect("reached");
    let since = Instant::now();
    run(&ssh, "exit 0").await.expect("reached");
    assert!(since.elapsed() >= Duration::from_millis(40), "{:?}", since.elapsed());
}

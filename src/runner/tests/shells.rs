//! What stands between the bot and the script: the account's own shell.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;

/// This machine, with an account whose shell greets whoever comes.
struct Chatty;

impl Host for Chatty {
    fn exec<'a>(&'a self, command: &'a str, lane: ChannelLane) -> BoxFuture<'a, Result<Process, HostError>> {
        async move { Local.exec(&format!("echo Welcome; echo 'to this machine'; {command}"), lane).await }.boxed()
    }

    fn git(&self) -> BoxFuture<'_, Result<GitRoute, HostError>> {
        async { Local.git().await }.boxed()
    }

    fn logins(&self) -> u64 {
        0
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

// B04
#[tokio::test]
async fn an_account_that_prints_is_understood_and_told() {
    let mut lab = Lab::new(Sandbox::None).await;
    let chatty = Machine::new(lab.machine.config().clone(), Arc::new(Chatty), "lab00001".to_owned());
    lab.machine = Arc::new(chatty.with_min_free(1));
    let checks = lab.machine.look(&[], &mut |_| ()).await.unwrap().checks;
    let shell = checks.iter().find(|check| check.what == "shell").unwrap();
    insta::assert_snapshot!(format!("{} -> {}", shell.found, shell.remedy.as_deref().unwrap()), @r#"the account's shell prints text when nobody types: "Welcome" -> guard it in ~/.bashrc"#);
    std::fs::remove_dir_all(lab.base().join("bin")).unwrap();
    let start = lab.agent("echo done");
    assert!(matches!(lab.machine.attach(start.run, 1, 1, 0).await, Err(RunnerError::Unknown(_))), "installed anew");
    let (_, turn) = lab.run(&start).await;
    assert_eq!(frames(&turn.journal, "o"), ["done"]);
    let mut attach = lab.machine.attach(start.run, 1, 1, 0).await.unwrap();
    let first = attach.next().await.unwrap().unwrap();
    assert!(turn.journal.starts_with(&first), "what it prints is no part of the journal");
}

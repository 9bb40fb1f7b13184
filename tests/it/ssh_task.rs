//! The same conversation where the runner is another machine.

use track::model::Outcome;

use crate::harness::{REPO, World};

// B01
#[tokio::test]
async fn an_agent_over_ssh_is_seen_to_end_and_its_work_is_published() {
    let world = World::over_ssh().await;
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.settle().await;

    let runs = world.runs().await;
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Succeeded)]);
    assert_eq!(world.sim.pulls(REPO).len(), 1);
    assert_eq!(world.sshd.as_ref().map(|sshd| sshd.count_logins()), Some(1));
}

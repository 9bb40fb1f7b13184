//! The real `codex` and `claude` from a label to a pull request, set up as a user would set them up: by the runner's prelude and the
//! folders that are bound into its sandbox. Only the model behind them is one of the tests' own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use track::config::{Config, Transport};
use track::db::runs::Run;
use track::model::{Kind, Outcome, Session};

use crate::fakemodel::{FakeModel, Step};
use crate::harness::{MAINTAINER, REPO, World};

const WORK: &str = "printf 'hello\\n' > hello.txt && git add -A && git commit -qm 'feat: say hello'";

/// Where `scripts/install-agents.sh` has put the programs.
fn installed() -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").expect("a home folder")));
    let folder = PathBuf::from(cache).join("track-agents");
    assert!(folder.join("bin").is_dir(), "{} is missing: run scripts/install-agents.sh", folder.display());
    folder
}

/// The programs where the account of the ssh runner can read them; links where the file system allows it, because they are large.
fn installed_for_everybody(shared: &Path) -> PathBuf {
    let to = shared.join("agents");
    let copy = |how: &[&str]| {
        let _ = fs::remove_dir_all(&to);
        Command::new("cp").args(how).arg(installed()).arg(&to).output().expect("cp runs").status.success()
    };
    assert!(copy(&["-a", "--link"]) || copy(&["-a"]), "the agents cannot be copied to {}", to.display());
    to
}

fn set_up(config: &mut Config, model: &FakeModel) {
    let runner = &mut config.runners[0];
    let shared = PathBuf::from(&runner.read_only[0]);
    let agents = match runner.transport {
        Transport::Local => installed(),
        Transport::Ssh => installed_for_everybody(&shared),
    };
    let codex = shared.join("codex");
    fs::create_dir(&codex).expect("a folder for codex");
    fs::write(codex.join("config.toml"), model.codex_config()).expect("codex's configuration");
    fs::set_permissions(&codex, fs::Permissions::from_mode(0o777)).expect("chmod");
    for (name, value) in model.env() {
        runner.prelude.push_str(&format!("\nexport {name}={value}"));
    }
    runner.prelude.push_str(&format!("\nexport CODEX_HOME={} PATH={}/bin:$PATH", codex.display(), agents.display()));
    runner.read_only.push(agents.to_str().expect("UTF-8").to_owned());
    runner.read_write.push(codex.to_str().expect("UTF-8").to_owned());
}

fn model() -> impl Future<Output = FakeModel> {
    let answer = json!({
        "status": "succeeded", "summary": "Said hello.", "pull_request_title": "feat: say hello",
        "pull_request_body": "Adds a greeting.", "notes": null, "replies": "all",
    });
    FakeModel::start("key-of-the-test", vec![Step::Shell(WORK.into()), Step::Answer(answer)])
}

/// A label, and what came of it: the comment on the issue.
async fn story(world: &World, agent: &str) -> String {
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, &format!("track:{agent}")).await;
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?} {:?}", run.reason, run.detail);
    assert!(run.session.is_some(), "a session to go on with");
    let pull = world.sim.pulls(REPO).remove(0);
    assert_eq!(pull.title, "feat: say hello");
    assert_eq!(world.sim.file_at(REPO, &pull.head_ref, "hello.txt").await.as_deref(), Some("hello\n"));
    world.only_comment(issue)
}

/// A review of the pull request, and the agent goes on in its session; what it used before is not counted again.
async fn goes_on(world: &World, agent: &str) {
    story(world, agent).await;
    let before = world.runs().await.remove(0);
    let pull = world.sim.pulls(REPO)[0].number;
    let comments = [("hello.txt", 1, "Is this loud enough?")];
    world.sim.review(REPO, MAINTAINER, pull, "COMMENTED", "Nearly.", &comments).await.expect("a review");
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!(
        (run.kind, run.outcome),
        (Kind::FollowUp, Some(Outcome::Succeeded)),
        "{:?} {:?}",
        run.reason,
        run.detail
    );
    let id = |session: &Option<Session>| session.as_ref().map(|session| session.id.clone());
    assert_eq!((id(&run.resumed), id(&run.session)), (id(&before.session), id(&before.session)));
    assert_eq!(run.session_note.as_deref(), Some("The agent goes on in its earlier session."));
    let used = |run: &Run| run.usage.map(|usage| usage.output_tokens);
    assert_eq!(used(&run), used(&before), "as much as the first run, which made as many calls");
    let answered =
        world.sim.reviews(REPO, pull).into_iter().flat_map(|review| review.comments).filter(|c| c.author_is_app);
    assert_eq!(answered.count(), 1);
}

// B20
#[tokio::test]
#[ignore = "needs the real codex: scripts/install-agents.sh"]
async fn real_agents_codex_goes_on_in_its_session() {
    let model = model().await;
    let world = World::over_ssh_with(|config| set_up(config, &model)).await;
    goes_on(&world, "codex").await;
}

// B20
#[tokio::test]
#[ignore = "needs the real claude: scripts/install-agents.sh"]
async fn real_agents_claude_goes_on_in_its_session() {
    let model = model().await;
    let world = World::with(|config| set_up(config, &model)).await;
    goes_on(&world, "claude").await;
}

// B14, B15, B79
#[tokio::test]
#[ignore = "needs the real codex: scripts/install-agents.sh"]
async fn real_agents_codex_on_a_local_runner() {
    let model = model().await;
    let world = World::with(|config| set_up(config, &model)).await;
    insta::assert_snapshot!(story(&world, "codex").await, @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes | Tokens |
    | --- | --- | --- | --- | --- |
    | `codex` | `local-1` | TIME | 1 commit, 1 file (+1 −0) | 2000 in, 100 out |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

#[tokio::test]
#[ignore = "needs the real codex: scripts/install-agents.sh"]
async fn real_agents_codex_on_an_ssh_runner() {
    let model = model().await;
    let world = World::over_ssh_with(|config| set_up(config, &model)).await;
    insta::assert_snapshot!(story(&world, "codex").await, @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes | Tokens |
    | --- | --- | --- | --- | --- |
    | `codex` | `ssh-1` | TIME | 1 commit, 1 file (+1 −0) | 2000 in, 100 out |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

#[tokio::test]
#[ignore = "needs the real claude: scripts/install-agents.sh"]
async fn real_agents_claude_on_a_local_runner() {
    let model = model().await;
    let world = World::with(|config| set_up(config, &model)).await;
    insta::assert_snapshot!(story(&world, "claude").await, @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes | Tokens | Cost |
    | --- | --- | --- | --- | --- | --- |
    | `claude` | `local-1` | TIME | 1 commit, 1 file (+1 −0) | 2600 in, 100 out | $0.01 |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

#[tokio::test]
#[ignore = "needs the real claude: scripts/install-agents.sh"]
async fn real_agents_claude_on_an_ssh_runner() {
    let model = model().await;
    let world = World::over_ssh_with(|config| set_up(config, &model)).await;
    insta::assert_snapshot!(story(&world, "claude").await, @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes | Tokens | Cost |
    | --- | --- | --- | --- | --- | --- |
    | `claude` | `ssh-1` | TIME | 1 commit, 1 file (+1 −0) | 2600 in, 100 out | $0.01 |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

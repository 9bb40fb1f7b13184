//! The admin page as people use it.

use serde_json::{Value, json};
use track::admin::{self, Admin, sign_in};
use track::config::SignInConfig;
use track::db::Db;
use track::model::{Millis, Outcome, Status};
use track::sim::{AppSettings, Role};

use super::{nobody, play};
use crate::harness::crowd::Crowd;
use crate::harness::{MAINTAINER, REPO, STRANGER, World};
use crate::titles::hostile_titles;

const MINUTE: Millis = 60_000;
/// An agent that does what a review asks for.
const FOLLOWS_UP: &str = r#"say "Reading the review"; commit hello.txt "Hello!" "fix: be friendlier"; answer_all fixed "Made it friendlier.""#;

/// Where the pages are.
fn base(world: &World) -> String {
    format!("http://{}", world.bot().address())
}

/// A link that signs an admin in.
async fn link(world: &World, login: Option<&str>) -> String {
    sign_in::link(world.bot().context(), login, None).await.expect("a link").url
}

/// What every scenario knows.
async fn stage(world: &World) -> Value {
    json!({ "base": base(world), "link": link(world, Some(MAINTAINER)).await, "origins": [base(world), world.sim.url()] })
}

fn with(mut stage: Value, more: Value) -> Value {
    let (Value::Object(all), Value::Object(more)) = (&mut stage, more) else { panic!("objects") };
    all.extend(more);
    stage
}

/// A world in which something happened: a pull request that was followed up, a failure, a review, and an issue that waits.
async fn lived_in() -> World {
    let world = World::new().await;
    let issue = world.work_on("Say hello", "Please add `hello.txt`.\n\n- with a greeting\n- and a newline").await;
    let pull = world.sim.pulls(REPO).remove(0).number;
    world.agent(FOLLOWS_UP);
    let remarks = [("hello.txt", 1, "Can it be *friendlier*?")];
    world.sim.review(REPO, MAINTAINER, pull, "CHANGES_REQUESTED", "Nearly.", &remarks).await.expect("a review");
    world.later(10 * MINUTE);
    world.settle().await;
    world.comment(MAINTAINER, issue, "/track nonsense").await;
    world.agent(r#"say "trying"; echo "no such tool" >&2; exit 3"#);
    world.work_on("Break something", "").await;
    world.settle().await;
    world
}

/// Every page of the router, with what stands in its path in this world.
async fn pages(world: &World) -> Vec<Value> {
    let run = world.runs().await.pop();
    let delivery = world.sim.deliveries().last().map(|delivery| delivery.guid.clone());
    let mut pages = Vec::new();
    for route in admin::declared(&Admin::new(world.bot().context().clone())) {
        let is_part = route.path.ends_with("live") || route.path.starts_with("/admin/assets/");
        // What a link does is for the test of signing in.
        let signs_in = route.path.starts_with("/admin/sign-in/");
        // A machine of `track.toml` is changed there; the test that adds one looks at these.
        let changes_machine =
            ["edit", "reset", "remove"].iter().any(|end| route.path.ends_with(&format!("{{name}}/{end}")));
        if route.method != "GET" || is_part || signs_in || changes_machine {
            continue;
        }
        let path = route.path.split('/').map(|part| match part {
            "{run}" => run.as_ref().map(|run| run.id.to_string()),
            "{thread}" => run.as_ref().map(|run| run.thread.to_string()),
            "{repository}" => run.as_ref().map(|run| run.repository.to_string()),
            "{delivery}" => delivery.clone(),
            "{name}" => world.config.runners.first().map(|runner| runner.name.clone()),
            "{action}" => Some("discard".to_owned()),
            other => {
                assert!(!other.starts_with('{'), "tell this test what stands in {}", route.path);
                Some(other.to_owned())
            }
        });
        // In an empty world there is no run, and so no page of one.
        let Some(path) = path.collect::<Option<Vec<_>>>() else {
            assert!(run.is_none(), "nothing stands in {}", route.path);
            continue;
        };
        let name = route.path.trim_start_matches("/admin").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        pages.push(json!({ "path": path.join("/"), "name": format!("page{name}") }));
    }
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

#[tokio::test]
async fn every_page_is_for_everybody() {
    let world = lived_in().await;
    let more = json!({ "pages": pages(&world).await, "prefix": "" });
    play("tour", with(stage(&world).await, more), nobody).await;
}

#[tokio::test]
async fn every_page_says_what_to_do_where_nothing_is_yet() {
    let world = World::new().await;
    let more = json!({ "pages": pages(&world).await, "prefix": "empty-" });
    play("tour", with(stage(&world).await, more), nobody).await;
}

#[tokio::test]
async fn without_javascript_everything_works() {
    let world = lived_in().await;
    let more = json!({ "pages": pages(&world).await });
    play("plain", with(stage(&world).await, more), nobody).await;
}

#[tokio::test]
async fn keys_lead_everywhere() {
    let world = lived_in().await;
    play("keys", stage(&world).await, async |what, _| {
        assert_eq!(what, "another issue");
        world.work_on("Another one", "").await;
        Value::Null
    })
    .await;
}

#[tokio::test]
async fn the_first_page_is_light_and_changes_show_at_once() {
    let world = lived_in().await;
    let run = world.runs().await.remove(0);
    let more = json!({ "run": run.id });
    play("weight", with(stage(&world).await, more), async |what, title| {
        assert_eq!(what, "a change");
        let mut tx = world.db().begin().await.expect("a transaction");
        sqlx::query("UPDATE run SET ask = json_set(ask, '$.title', $1) WHERE id = $2")
            .bind(title.as_str().expect("a title"))
            .bind(run.id.to_string())
            .execute(&mut *tx)
            .await
            .expect("it is changed");
        tx.commit().await.expect("it is committed");
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        json!(since.as_millis() as u64)
    })
    .await;
}

#[tokio::test]
async fn a_run_is_watched_and_canceled() {
    let world = World::new().await;
    world.agent(
        r#"say "Looking around"
        for n in 1 2 3; do await "say-$n"; say "$(cat "$TRACK_TEST_LOG/say-$n")"; done
        await never"#,
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until_started(1).await;
    let run = world.until_status(Status::Running).await;
    let mut said = 0;
    let more = json!({ "run": run.id });
    play("live", with(stage(&world).await, more), async |what, about| {
        match what {
            "say" => {
                said += 1;
                // Renamed, so that the agent finds it whole.
                let file = world.trace_path(&format!("say-{said}"));
                std::fs::write(file.with_extension("new"), about.as_str().expect("a text")).expect("written");
                std::fs::rename(file.with_extension("new"), file).expect("renamed");
            }
            "over" => world.settle().await,
            other => panic!("{other}?"),
        }
        Value::Null
    })
    .await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Canceled));
}

#[tokio::test]
async fn a_machine_is_added() {
    let world = World::over_ssh_with(|config| config.runners.clear()).await;
    let sshd = world.sshd.as_ref().expect("a real sshd");
    let more = json!({ "host": "127.0.0.1", "port": sshd.port, "user": sshd.user });
    play("runner", with(stage(&world).await, more), async |what, line| {
        assert_eq!(what, "let the bot in");
        sshd.authorize(line.as_str().expect("a line"));
        Value::Null
    })
    .await;
}

// T42, T43
#[tokio::test]
async fn people_sign_in_through_github() {
    let world = World::with(|config| {
        let app = AppSettings::new("x".into());
        config.sign_in = Some(SignInConfig { client_id: app.client_id, client_secret: app.client_secret });
        config.admins = vec![MAINTAINER.to_owned()];
    })
    .await;
    world.sim.set_callback_url(&format!("{}/admin/sign-in/callback", base(&world)));
    world.sim.add_user("willa");
    world.sim.set_role(REPO, "willa", Role::Write).expect("a role");
    world.work_on("Say hello", "").await;
    let run = world.runs().await.remove(0).id;
    let more = json!({ "run": run, "admin": MAINTAINER, "writer": "willa", "stranger": STRANGER });
    play("sign-in", with(stage(&world).await, more), nobody).await;
}

/// Puts titles, and whatever else people and agents write, into runs of a database that nobody has opened; gives the runs, one for each title.
async fn deface(db: &Db, titles: &[String]) -> Vec<(String, String)> {
    let mut tx = db.begin().await.expect("a transaction");
    // Nobody is to go on with them, and each is to be listed.
    let over = "UPDATE run SET status = 'done', discarded = 0, outcome = coalesce(outcome, 'canceled'), done_at = coalesce(done_at, queued_at)";
    sqlx::query(over).execute(&mut *tx).await.expect("they are over");
    let runs: Vec<(String, String, String, Option<String>)> =
        sqlx::query_as("SELECT id, thread_id, ask, answer FROM run ORDER BY id")
            .fetch_all(&mut *tx)
            .await
            .expect("runs");
    assert!(runs.len() >= titles.len());
    let mut all = Vec::new();
    for (n, (run, thread, ask, answer)) in runs.into_iter().enumerate() {
        let title = &titles[n % titles.len()];
        let mut ask: Value = serde_json::from_str(&ask).expect("an ask");
        for field in ["title", "body", "instructions"] {
            ask[field] = json!(title);
        }
        let answer = answer.map(|answer| {
            let mut answer: Value = serde_json::from_str(&answer).expect("an answer");
            for field in ["summary", "pull_request_title", "body"] {
                if answer.get(field).is_some() {
                    answer[field] = json!(title);
                }
            }
            answer.to_string()
        });
        sqlx::query("UPDATE run SET ask = $1, answer = $2, detail = $3, progress = $3 WHERE id = $4")
            .bind(ask.to_string())
            .bind(answer)
            .bind(title)
            .bind(&run)
            .execute(&mut *tx)
            .await
            .expect("a run");
        sqlx::query("UPDATE decision SET detail = $1, actor = $1 WHERE run_id = $2")
            .bind(title)
            .bind(&run)
            .execute(&mut *tx)
            .await
            .expect("its decisions");
        all.push((run, thread));
    }
    tx.commit().await.expect("committed");
    all
}

// T24
#[tokio::test]
async fn hostile_texts_run_on_no_page() {
    let mut world = World::new().await;
    world.stop().await;
    let titles = hostile_titles();
    let db = Db::open(&world.config.database_url).await.expect("the database");
    let many = titles.len();
    let crowd = Crowd { runs: many, threads: many, repositories: 4, idle_deliveries: 0, ..Crowd::default() };
    crowd.fill(&db, world.clock.now()).await.expect("a crowd");
    let runs = deface(&db, &titles).await;
    db.close().await;
    world.start().await;

    let base = base(&world);
    let list = |path: &str, titles: &[String]| json!({ "url": format!("{base}{path}"), "titles": titles });
    let mut lists = vec![list("/admin/runs", &titles)];
    lists.extend(["/admin/audit", "/admin/deliveries"].map(|path| list(path, &[])));
    let mut pages = vec![list("/admin", &[]), list("/admin/usage", &[])];
    // Of the single pages a part will do: they come out of the same templates.
    for (n, (run, thread)) in runs.iter().enumerate().step_by(7) {
        let title = std::slice::from_ref(&titles[n]);
        pages.push(list(&format!("/admin/runs/{run}"), title));
        pages.push(list(&format!("/admin/threads/{thread}"), title));
    }
    // GitHub knows nothing of the crowd's installation, so it is asked for nobody.
    let link = link(&world, None).await;
    play("hostile", json!({ "link": link, "origins": [base], "pages": pages, "lists": lists }), nobody).await;
}

#[tokio::test]
async fn a_task_is_made_and_followed_up() {
    let world = World::new().await;
    // The bot knows a repository once something happened there.
    world.issue("Something else", "").await;
    world.settle().await;
    play("task", stage(&world).await, nobody).await;
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{runs:#?}");
    assert_eq!(runs[0].ask.instructions, "Say it louder");
    assert_eq!(world.sim.issues(REPO).len(), 1, "nothing of a private task is on GitHub");
}

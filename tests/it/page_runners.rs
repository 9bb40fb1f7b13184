//! Runners on the page: added, looked at, drained, changed, emptied and removed by somebody at a browser.

use hyper::StatusCode;
use track::config::RunnerConfig;
use track::model::Status;
use track::runner::hostkeys::HostKey;

use crate::harness::page::{Answer, Browser, words};
use crate::harness::{MAINTAINER, World};

/// The hidden fields of a page's form, and others in their place or besides.
fn fields<'a>(page: &'a Answer, others: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    let plain = |text: &str| {
        text.replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&")
    };
    let form = page.text.split("<main").nth(1).expect("a page");
    let mut all: Vec<(String, String)> = form
        .split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once("\" value=\"").expect("a value");
            (name.to_owned(), plain(rest.split('"').next().unwrap_or_default()))
        })
        .collect();
    for (name, value) in others {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

async fn send(browser: &mut Browser, path: &str, fields: &[(String, String)]) -> Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(path, &fields).await
}

/// What somebody types into the form for the harness's machine.
fn typed(given: &RunnerConfig) -> Vec<(&'static str, String)> {
    vec![
        ("prelude", given.prelude.clone()),
        ("read_only", given.read_only.join("\r\n")),
        ("read_write", given.read_write.join("\r\n")),
        ("sandbox", "bubblewrap".to_owned()),
        ("network", "open".to_owned()),
    ]
}

/// Starts the bot anew without the runner of its file, which is answered.
async fn without_runner(world: &mut World) -> RunnerConfig {
    world.stop().await;
    let given = world.config.runners.remove(0);
    world.start().await;
    given
}

/// The page of a runner once nobody looks at it any more.
async fn looked_at(world: &World, browser: &Browser, name: &str) -> String {
    let path = format!("/admin/runners/{name}");
    let mut told = String::new();
    let browser = std::sync::Mutex::new(browser.clone());
    world
        .until("it is looked at", async || {
            let mut eyes = browser.lock().unwrap().clone();
            told = words(&eyes.get(&path).await.text);
            !told.contains("line by line") && !told.contains("Nobody has looked")
        })
        .await;
    told
}

// B45, T38
#[tokio::test]
async fn a_machine_is_added_at_a_browser() {
    let mut world = World::over_ssh().await;
    let given = without_runner(&mut world).await;
    let sshd = world.sshd.as_ref().expect("a machine");
    let mut browser = world.signed_in(MAINTAINER).await;
    let empty = browser.get("/admin/runners").await;
    assert!(words(&empty.text).contains("No machine to work on yet"), "{}", words(&empty.text));
    const ADD: &str = "/admin/runners/+add";

    // What cannot be is said beside what was typed.
    let wrong = [
        ("name", "<b>build"),
        ("host", "-oProxyCommand=x"),
        ("user", "agent"),
        ("slots", "many"),
        ("transport", "ssh"),
    ];
    let told = browser.submit(ADD, ADD, &wrong).await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(told.text.contains("value=\"&#60;b&#62;build\"") && !told.text.contains("<b>build"), "{}", told.text);
    assert!(words(&told.text).contains("slots is &#34;many&#34;"), "{}", words(&told.text));
    let wrong =
        [("name", "build-1"), ("host", "-oProxyCommand=x"), ("user", "agent"), ("slots", "2"), ("transport", "ssh")];
    let told = words(&browser.submit(ADD, ADD, &wrong).await.text);
    assert!(told.contains("which is no host name or address"), "{told}");
    let nobody = [
        ("name", "build-1"),
        ("host", "127.0.0.1"),
        ("port", "9"),
        ("user", "agent"),
        ("slots", "2"),
        ("transport", "ssh"),
    ];
    let told = words(&browser.submit(ADD, ADD, &nobody).await.text);
    assert!(told.contains("127.0.0.1 port 9 shows no host key"), "{told}");

    let port = sshd.port.to_string();
    let more = typed(&given);
    let mut right = vec![
        ("name", "build-1"),
        ("host", "127.0.0.1"),
        ("port", &port),
        ("user", &sshd.user),
        ("slots", "2"),
        ("transport", "ssh"),
    ];
    right.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
    let compare = browser.submit(ADD, ADD, &right).await;
    assert_eq!(compare.status, StatusCode::OK, "{}", words(&compare.text));
    let fingerprint = sshd.host_public_key.parse::<HostKey>().expect("a key").fingerprint();
    assert_eq!(compare.between("id=\"fingerprint\">", "<"), Some(fingerprint.as_str()));
    let key = compare
        .between("<pre id=\"public-key\" tabindex=\"0\" role=\"group\" aria-labelledby=\"step-key\"><code>", "</code>");
    let key = key.expect("the key to install").to_owned();

    // Another fingerprint pins nothing, and what was typed is not lost.
    let other = fields(
        &compare,
        &[("printed", "256 SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU root@build-1 (ED25519)")],
    );
    let refused = send(&mut browser, ADD, &other).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(words(&refused.text).contains("nothing is pinned"), "{}", words(&refused.text));
    assert!(words(&browser.get("/admin/runners").await.text).contains("No machine to work on yet"));
    let back = send(&mut browser, ADD, &fields(&refused, &[("back", "1")])).await;
    assert_eq!(back.status, StatusCode::OK);
    assert!(back.text.contains("name=\"host\" value=\"127.0.0.1\""), "{}", back.text);

    let printed = format!("256 {fingerprint} root@build-1 (ED25519)");
    let added = send(&mut browser, ADD, &fields(&refused, &[("printed", &printed)])).await;
    assert_eq!(
        (added.status, added.location()),
        (StatusCode::SEE_OTHER, "/admin/runners/build-1?done=added"),
        "{}",
        words(&added.text)
    );

    // The bot is not let in: the line to install is there.
    let told = looked_at(&world, &browser, "build-1").await;
    assert!(told.contains("refuses the login") && told.contains(&key), "{told}");
    world.sshd.as_ref().expect("a machine").authorize(&key);
    let page = browser.get("/admin/runners/build-1").await;
    let live = page.between("sse-connect=\"", "\"").expect("a stream").replace("&#38;", "&");
    let mut stream = browser.stream(&live, None).await;
    let checked = browser.submit("/admin/runners/build-1", "/admin/runners/build-1/check", &[]).await;
    assert_eq!(checked.location(), "/admin/runners/build-1#checks");
    let mut came = Vec::new();
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if event.event == "checks" {
            came.push(words(&event.data));
            if came.last().is_some_and(|told| told.contains("Nothing is missing")) {
                break;
            }
        }
    }
    assert!(came.iter().any(|told| told.contains("line by line")), "{came:#?}");
    let told = looked_at(&world, &browser, "build-1").await;
    assert!(told.contains("MiB taken below") && told.contains("0 of 2 used"), "{told}");
    assert!(told.contains("Prelude set; not shown") && !told.contains(&given.prelude), "{told}");

    let issue = world.work_on("Say hello", "").await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"), "{}", world.only_comment(issue));
    let list = words(&browser.get("/admin/runners").await.text);
    for part in ["ready", "0 of 2 used", "scripted", "Disk", "Round trip", &fingerprint, "added here"] {
        assert!(list.contains(part), "{part}: {list}");
    }

    // Under its name again with another place: refused; its new address needs its key.
    let taken = browser.submit(ADD, ADD, &[("name", "build-1"), ("transport", "local"), ("slots", "1")]).await;
    assert!(words(&taken.text).contains("there is a runner build-1 already"), "{}", words(&taken.text));
    let mut moved = vec![
        ("host", "localhost"),
        ("port", &*port),
        ("user", &*sshd_user(&world)),
        ("slots", "2"),
        ("root", "~/track"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect::<Vec<_>>();
    moved.extend(more.iter().filter(|(name, _)| *name != "prelude").cloned());
    let moved: Vec<(&str, &str)> = moved.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let edit = "/admin/runners/build-1/edit";
    let compare = browser.submit(edit, edit, &moved).await;
    assert!(words(&compare.text).contains("Compare the host key of localhost"), "{}", words(&compare.text));
    let changed = send(&mut browser, edit, &fields(&compare, &[])).await;
    assert_eq!(changed.location(), "/admin/runners/build-1?done=changed", "{}", words(&changed.text));
    let told = looked_at(&world, &browser, "build-1").await;
    assert!(told.contains("@localhost:") && told.contains("Nothing is missing"), "{told}");
}

fn sshd_user(world: &World) -> String {
    world.sshd.as_ref().expect("a machine").user.clone()
}

#[tokio::test]
async fn a_runner_of_the_file_is_drained_and_not_changed() {
    let world = World::new().await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let page = browser.get("/admin/runners/local-1").await;
    assert!(words(&page.text).contains("It stands in track.toml"), "{}", words(&page.text));
    assert!(!page.text.contains("/admin/runners/local-1/edit"), "{}", page.text);
    for what in ["edit", "reset", "remove"] {
        let path = format!("/admin/runners/local-1/{what}");
        assert_eq!(browser.get(&path).await.location(), "/admin/runners/local-1", "{what}");
        let refused = browser.submit("/admin/runners/local-1", &path, &[("typed", "local-1")]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{what}");
        assert!(words(&refused.text).contains("stands in track.toml"), "{}", words(&refused.text));
    }
    assert_eq!(browser.get("/admin/runners/nobody").await.status, StatusCode::NOT_FOUND);

    let drained = browser.submit("/admin/runners/local-1", "/admin/runners/local-1/drain", &[]).await;
    assert_eq!(drained.location(), "/admin/runners/local-1?done=drained");
    let told = words(&browser.get(drained.location()).await.text);
    assert!(
        told.contains("local-1 takes no new runs. Those on it go on.") && told.contains("Take runs again"),
        "{told}"
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("it waits", async || world.said(issue).len() == 1).await;
    assert!(world.only_comment(issue).contains("every runner is drained"), "{}", world.only_comment(issue));
    browser.submit("/admin/runners/local-1", "/admin/runners/local-1/undrain", &[]).await;
    world.settle().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"), "{}", world.only_comment(issue));

    let cleaned = browser.submit("/admin/runners/local-1", "/admin/runners/local-1/clean", &[]).await;
    let told = words(&browser.get(cleaned.location()).await.text);
    assert!(told.contains("local-1 is cleaned: removed 0 run folders, 0 workspaces and 0 repositories."), "{told}");
}

// B43, B44
#[tokio::test]
async fn a_runner_is_changed_emptied_and_removed_at_a_browser() {
    let mut world = World::new().await;
    let given = without_runner(&mut world).await;
    world.agent("await go; commit hello.txt hello 'feat: say hello'; answer succeeded 'Said hello.' 'feat: say hello'");
    let mut browser = world.signed_in(MAINTAINER).await;
    let more = typed(&given);
    let mut here = vec![("name", "here"), ("transport", "local"), ("root", &*given.root), ("slots", "1")];
    here.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
    let added = browser.submit("/admin/runners/+add", "/admin/runners/+add", &here).await;
    assert_eq!(added.location(), "/admin/runners/here?done=added", "{}", words(&added.text));
    assert!(looked_at(&world, &browser, "here").await.contains("Nothing is missing"));

    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await;
    let told = words(&browser.get("/admin/runners/here").await.text);
    assert!(told.contains("1 of 1 used"), "{told}");
    // Its form may change, its place not; the prelude that is not shown stays.
    let edit = "/admin/runners/here/edit";
    let form = browser.get(edit).await;
    assert!(
        words(&form.text).contains("cannot be changed now") && !form.text.contains("TRACK_TEST_LOG="),
        "{}",
        form.text
    );
    let without_prelude = |root: &str, slots: &str| {
        let mut all = vec![("root".to_owned(), root.to_owned()), ("slots".to_owned(), slots.to_owned())];
        all.extend(
            more.iter().filter(|(name, _)| *name != "prelude").map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        all
    };
    let moved = fields(&form, &[]).into_iter().chain(without_prelude("/srv/elsewhere", "3")).collect::<Vec<_>>();
    let refused = send(&mut browser, edit, &moved).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(words(&refused.text).contains(&format!("has live runs: {}", run.id)), "{}", words(&refused.text));
    let widened = fields(&form, &[]).into_iter().chain(without_prelude(&given.root, "3")).collect::<Vec<_>>();
    assert_eq!(send(&mut browser, edit, &widened).await.location(), "/admin/runners/here?done=changed");
    let stored = track::db::runners::all(&mut world.db().read().await.unwrap()).await.unwrap().remove(0);
    assert_eq!((stored.slots, &stored.prelude), (3, &given.prelude));

    let reset = "/admin/runners/here/reset";
    let told = browser.get(reset).await;
    assert!(words(&told.text).contains("Not possible now: runner here has live runs"), "{}", words(&told.text));
    assert!(!told.text.contains("name=\"typed\""));
    world.signal("go");
    world.settle().await;

    let told = words(&browser.get(reset).await.text);
    assert!(told.contains(&format!("octo/hello#{issue} : session of scripted, last run succeeded")), "{told}");
    let wrong = browser.submit(reset, reset, &[("typed", "there")]).await;
    assert!(words(&wrong.text).contains("That is not its name, so nothing was removed."), "{}", words(&wrong.text));
    let done = browser.submit(reset, reset, &[("typed", "here")]).await;
    let told = words(&browser.get(done.location()).await.text);
    assert!(told.contains("here is reset: removed 1 run folder, 1 workspace and 1 repository."), "{told}");

    let remove = "/admin/runners/here/remove";
    assert_eq!(browser.submit(remove, remove, &[]).await.location(), "/admin/runners");
    assert!(words(&browser.get("/admin/runners").await.text).contains("No machine to work on yet"));
}

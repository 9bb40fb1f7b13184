//! The repositories' pages: what is known, what operators say, and which rules hold.

use hyper::StatusCode;
use track::inbox::repositories;

use crate::harness::page::words;
use crate::harness::{MAINTAINER, REPO, STRANGER, World};
use crate::page_threads::viewer;

// B61
#[tokio::test]
async fn repositories_are_listed_named_and_their_rules_shown() {
    let world = World::new().await;
    let mut page = world.signed_in(MAINTAINER).await;
    assert!(words(&page.get("/admin/repositories").await.text).contains("No repository is known yet"));
    world.sim.add_repository("octo/other", &[("README.md", "# other\n")]).await.expect("a repository");
    world.sim.set_issues("octo/other", false).expect("the repository");
    let looked = page.submit("/admin/repositories", "/admin/repositories/look", &[]).await;
    assert_eq!((looked.status, looked.location()), (StatusCode::SEE_OTHER, "/admin/repositories?looked=2"));
    let list = page.get(looked.location()).await;
    let told = words(&list.text);
    for text in
        ["installed on 2 repositories", "octo/hello installed main 0 none", "octo/other installed issues are off main"]
    {
        assert!(told.contains(text), "{text} in {told}");
    }
    let path = list.between("<a href=\"/admin/repositories/", "\"").expect("a link");
    let path = format!("/admin/repositories/{path}");

    let policy = "agent: claude\nlimits:\n  wall_minutes: 30\n";
    world.sim.commit_file(REPO, "main", ".github/track.yml", policy).await.expect("a commit");
    let before = words(&page.get(&path).await.text);
    assert!(
        before.contains("was not read since the bot started") && before.contains("agent scripted ? scripted"),
        "{before}"
    );
    let read = page.submit(&path, &format!("{path}/read"), &[]).await;
    assert_eq!((read.status, read.location()), (StatusCode::SEE_OTHER, path.as_str()), "{}", words(&read.text));
    let rules = words(&page.get(&path).await.text);
    for text in
        ["agent scripted claude claude", "limits.wall_minutes 120 30 30", "main_users – – whoever asked for the run"]
    {
        assert!(rules.contains(text), "{text} in {rules}");
    }
    world.sim.commit_file(REPO, "main", ".github/track.yml", "agnet: claude\n").await.expect("a commit");
    let wrong = page.submit(&path, &format!("{path}/read"), &[]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(words(&wrong.text).contains(".github/track.yml`, line 1"), "{}", words(&wrong.text));

    let named = [("aliases", "web, site <b>"), ("description", "Says hello.")];
    let refused = page.submit(&path, &path, &named).await;
    assert!(words(&refused.text).contains("cannot be another name"), "{}", words(&refused.text));
    let named = [("aliases", "web, site"), ("description", "Says <i>hello</i>.")];
    assert_eq!(page.submit(&path, &path, &named).await.location(), format!("{path}?saved=yes"));
    let saved = page.get(&format!("{path}?saved=yes")).await;
    assert!(saved.text.contains("value=\"web, site\"") && !saved.text.contains("<i>hello"), "{}", saved.text);
    let other = page.get("/admin/repositories").await.text;
    assert!(words(&other).contains("octo/hello also web, site"), "{}", words(&other));
    let taken = page.submit(&path, &path, &[("aliases", "Other"), ("description", "")]).await;
    assert!(words(&taken.text).contains("Other means octo/other already"), "{}", words(&taken.text));
}

// T42, B61
#[tokio::test]
async fn whoever_may_not_write_sees_no_repository_and_an_uninstalled_one_says_so() {
    let world = World::new().await;
    repositories::look(world.bot().context()).await.expect("GitHub answers");
    let mut page = world.signed_in(MAINTAINER).await;
    let list = page.get("/admin/repositories").await;
    let id = list.between("<a href=\"/admin/repositories/", "\"").expect("a link").to_owned();
    let mut stranger = viewer(&world, STRANGER).await;
    assert!(words(&stranger.get("/admin/repositories").await.text).contains("No repository is known yet"));
    assert_eq!(stranger.get(&format!("/admin/repositories/{id}")).await.status, StatusCode::NOT_FOUND);
    let mut viewer = viewer(&world, MAINTAINER).await;
    let shown = viewer.get(&format!("/admin/repositories/{id}")).await;
    assert!(shown.status == StatusCode::OK && !shown.text.contains("name=\"aliases\""), "{}", shown.text);

    let body = serde_json::json!({
        "action": "deleted",
        "installation": { "id": 1, "account": { "id": 1, "login": "octo", "type": "User" } },
        "repositories": [],
        "sender": { "id": 1, "login": "octo", "type": "User" },
    });
    let mut body = body;
    let installation = {
        let mut conn = world.db().read().await.expect("the database");
        let known = track::db::repositories::all_known(&mut conn).await.expect("rows").remove(0);
        known.repository.installation.expect("installed").0
    };
    body["installation"]["id"] = installation.into();
    assert_eq!(world.post("gone", "installation", &body).await, 202);
    world.settle().await;
    let told = words(&page.get("/admin/repositories").await.text);
    assert!(told.contains("octo/hello not installed any more"), "{told}");
    assert!(words(&page.get("/admin/new").await.text).contains("There is no repository to work in"));
}

//! Runs, Deliveries, Audit and Usage as somebody reads them.

use hyper::StatusCode;
use sha2::Digest as _;
use track::db;
use track::model::{Account, Role, Via};

use crate::harness::crowd::Crowd;
use crate::harness::page::{Answer, Browser, words};
use crate::harness::{MAINTAINER, REPO, World};

/// A world in which much has happened already, and an admin's browser.
async fn after_months() -> (World, Browser) {
    let world = World::new().await;
    // Before the crowd is there, of whose repositories this GitHub knows nothing.
    let browser = world.signed_in(MAINTAINER).await;
    Crowd { live: 0, ..Crowd::small() }.fill(&world.db(), world.clock.now()).await.unwrap();
    (world, browser)
}

/// The rows of the page's first table, as words.
fn rows(page: &Answer) -> Vec<String> {
    let body = page.between("<tbody", "</tbody>").unwrap_or_default();
    body.split("<tr>").skip(1).map(words).collect()
}

/// Where a link of the page leads.
fn link(page: &Answer, named: &str) -> Option<String> {
    let end = page.text.find(&format!(">{named}</a>"))?;
    let begin = page.text[..end].rfind("href=\"")? + "href=\"".len();
    page.text[begin..end].split('"').next().map(|href| href.replace("&amp;", "&").replace("&#38;", "&"))
}

/// Everything that a list shows, page by page.
async fn all_rows(browser: &mut Browser, path: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", words(&page.text));
        all.extend(rows(&page));
        next = link(&page, "Older");
    }
    all
}

#[tokio::test]
async fn every_run_is_found_by_going_on_and_by_filtering() {
    let (_world, mut admin) = after_months().await;
    let first = admin.get("/admin/runs").await;
    assert_eq!((rows(&first).len(), link(&first, "Newer"), link(&first, "Newest")), (50, None, None));
    let second = admin.get(&link(&first, "Older").unwrap()).await;
    assert_eq!(link(&second, "Newest").as_deref(), Some("/admin/runs"));
    assert_eq!(rows(&admin.get(&link(&second, "Newer").unwrap()).await), rows(&first));
    let all = all_rows(&mut admin, "/admin/runs").await;
    assert!(all.len() > 290, "{}", all.len());

    let failed = all_rows(&mut admin, "/admin/runs?state=failed&repo=octo%2Fparser").await;
    let wanted: Vec<&String> =
        all.iter().filter(|row| row.contains(" failed ") && row.contains("octo/parser #")).collect();
    assert!(!failed.is_empty());
    assert_eq!(failed.iter().collect::<Vec<_>>(), wanted);

    // T26
    let hostile = admin.get("/admin/runs?q=%3Cscript%3E").await;
    assert!(
        !rows(&hostile).is_empty() && !hostile.text.contains("<script>alert") && !hostile.text.contains("<img src=x")
    );
    assert!(hostile.text.contains("name=\"q\" value=\"&#60;script&#62;\""), "the filter keeps what was typed");

    let none = admin.get("/admin/runs?q=nowhere").await;
    assert!(words(&none.text).contains("No run is like that Take a filter off, or show all runs ."));
    for (wrong, told) in [
        ("state=%3Cb%3E", "The filter \"state\" does not know \"&#60;b&#62;\"."),
        ("from=yesterday", "The filter \"from\" is a date like 2026-03-31, and \"yesterday\" is none."),
        ("repo=no%2Fsuch", "The filter \"repository\" does not know \"no/such\"."),
        ("older=1-x", "The address names a row that no list has."),
    ] {
        let page = admin.get(&format!("/admin/runs?{wrong}")).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(page.text.replace("&#34;", "\"").contains(told), "{wrong}: {}", words(&page.text));
    }
}

#[tokio::test]
async fn a_delivery_tells_what_came_of_it_and_what_was_in_it() {
    let (world, mut admin) = after_months().await;
    world.work_on("Say <i>hello</i>", "Please.").await;
    let list = admin.get("/admin/deliveries?repo=octo%2Fhello").await;
    let told = rows(&list).join("\n");
    assert!(told.contains("issues.labeled octo/hello #1 mona"), "{told}");
    assert!(told.contains("accepted queued run "), "{told}");
    assert!(told.contains("ignored other label") || told.contains("ignored no command"), "{told}");

    let path = link(&list, "issues.labeled").unwrap();
    let one = admin.get(&path).await;
    let told = words(&one.text);
    assert!(told.contains("Received") && told.contains("webhook Handled handled"), "{told}");
    assert!(one.text.contains("&#34;title&#34;: &#34;Say &#60;i&#62;hello&#60;/i&#62;&#34;"), "{told}");
    let (guid, _) = world.sent("issues").await;
    assert!(admin.get(&format!("/admin/deliveries/{guid}")).await.status.is_success(), "GitHub's id leads there too");

    let payload = admin.get(&format!("{path}/payload")).await;
    assert!(serde_json::from_str::<serde_json::Value>(&payload.text).unwrap()["issue"].is_object());
    assert!(payload.headers["content-disposition"].to_str().unwrap().starts_with("attachment; filename=\"delivery-"));
    assert_eq!(payload.headers["x-content-type-options"], "nosniff");

    let mut tx = world.db().begin().await.unwrap();
    sqlx::query("update delivery set body = x'', coding = 'plain' where seq = 5").execute(&mut *tx).await.unwrap();
    sqlx::query("update delivery set sha256 = 'other' where seq = 6").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    for (seq, told) in [(5, "It was handled more than 30 days ago"), (6, "What is stored is not what came")] {
        let page = admin.get(&format!("/admin/deliveries/{seq}")).await;
        assert!(words(&page.text).contains(told), "{}", words(&page.text));
        let payload = admin.get(&format!("/admin/deliveries/{seq}/payload")).await;
        assert_eq!(payload.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(admin.get("/admin/deliveries/1000000").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_audit_says_who_did_what() {
    let (world, mut admin) = after_months().await;
    world.work_on("Say hello", "Please.").await;
    let page = admin.get("/admin/audit?actor=Mona&reason=queued&repo=octo%2Fhello").await;
    let told = rows(&page);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("mona accepted queued run ") && told[0].contains("octo/hello #1 delivery "),
        "{}",
        told[0]
    );
    assert!(link(&page, "#1").unwrap().starts_with("/admin/threads/"));
    let refused = all_rows(&mut admin, "/admin/audit?verdict=refused").await;
    let all = all_rows(&mut admin, "/admin/audit").await;
    assert_eq!(refused.len(), all.iter().filter(|row| row.contains(" refused already live ")).count());
    assert!(!refused.is_empty() && all.len() > 1_000);
    let none = admin.get("/admin/audit?actor=nobody").await;
    assert!(words(&none.text).contains("Nothing like that was decided"));
}

/// The numbers of a column of a table for spreadsheets, added up.
fn sum(csv: &str, column: &str) -> f64 {
    let mut lines = csv.lines();
    let at = lines.next().unwrap().split(',').position(|head| head == column).unwrap();
    lines.map(|line| line.split(',').nth(at).unwrap().parse::<f64>().unwrap_or(0.0)).sum()
}

// B71
#[tokio::test]
async fn usage_comes_to_the_same_whatever_it_is_grouped_by() {
    let (_world, mut admin) = after_months().await;
    let page = admin.get("/admin/usage?days=90").await;
    let total: f64 = words(page.between("<dt>Runs</dt>", "</div>").unwrap()).parse().unwrap();
    assert!(total > 200.0, "{total}");
    let mut costs = Vec::new();
    for by in ["day", "repository", "agent", "user"] {
        let csv = admin.get(&format!("/admin/usage.csv?days=90&by={by}")).await;
        assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
        assert_eq!(sum(&csv.text, "runs"), total, "{by}");
        costs.push(format!("{:.4}", sum(&csv.text, "cost_usd")));
        assert!(page.text.contains(&format!("id=\"by-{by}\"")));
    }
    let runs = admin.get("/admin/usage.csv?days=90&by=run").await;
    assert_eq!(runs.text.lines().count() as f64 - 1.0, total);
    costs.dedup();
    assert_eq!(costs.len(), 1, "{costs:?}");

    // The charts have the numbers of the tables, and names for those who do not see them.
    assert_eq!(page.text.matches("<svg class=\"chart\" role=\"img\" aria-labelledby=").count(), 4);
    assert!(page.text.contains(&format!("<desc id=\"runs-summary\">{total} runs in 90 days, of which ")));
    // The newest day is the first of its table, and one without a run is in the chart alone.
    let days = page.between("id=\"by-day\"", "</table>").unwrap().split("<th scope=\"row\">").skip(1);
    let days: Vec<&str> = days.filter_map(|row| row.get(..10)).collect();
    assert!(days.len() > 2 && days.is_sorted_by(|newer, older| newer > older), "{days:?}");
    let claude = admin.get("/admin/usage?days=90&agent=claude").await;
    let part: f64 = words(claude.between("<dt>Runs</dt>", "</div>").unwrap()).parse().unwrap();
    assert!(part > 0.0 && part < total);
    let empty = admin.get("/admin/usage?from=2001-01-01&until=2001-01-07").await;
    assert!(words(&empty.text).contains("Nobody asked for a run in this time"));
    let wrong = admin.get("/admin/usage?from=2001-01-07&until=2001-01-01").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

// T42, B71: a viewer sees the runs of their repositories, and counts their own alone.
#[tokio::test]
async fn viewers_see_their_repositories_and_count_their_own_runs() {
    let world = World::new().await;
    world.sim.add_user("nina");
    world.sim.set_role(REPO, "nina", track::sim::Role::Write).unwrap();
    world.sim.add_repository("octo/other", &[("README.md", "x")]).await.unwrap();
    world.sim.set_role("octo/other", "nina", track::sim::Role::Maintain).unwrap();
    world.work_on("=1+1", "").await;
    let theirs = world.sim.open_issue(REPO, "nina", ("Of Nina", ""), &[]).await.unwrap();
    world.sim.label(REPO, "nina", theirs, "track").await.unwrap();
    world.settle_soon().await;
    let hidden = world.sim.open_issue("octo/other", "nina", ("Hidden", ""), &[]).await.unwrap();
    world.sim.label("octo/other", "nina", hidden, "track").await.unwrap();
    world.settle_soon().await;
    let run = world.runs().await.into_iter().find(|run| run.ask.requester.login == MAINTAINER).unwrap();

    let mut admin = world.signed_in("nina").await;
    assert_eq!(rows(&admin.get("/admin/runs").await).len(), 3);
    let mut viewer = viewer(&world, run.ask.requester.clone()).await;
    let page = viewer.get("/admin/runs").await;
    let told = rows(&page).join("\n");
    assert_eq!(rows(&page).len(), 2, "{told}");
    assert!(told.contains("Of Nina") && told.contains("=1+1") && !page.text.contains("octo/other"), "{told}");
    let other = viewer.get("/admin/runs?repo=octo%2Fother").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(rows(&viewer.get("/admin/runs?q=hidden").await).len(), 0);

    let usage = viewer.get("/admin/usage?who=nina").await;
    let told = words(&usage.text);
    assert!(told.contains("Runs 1 Succeeded 100 %") && told.contains("the runs that you asked for"), "{told}");
    assert!(!told.contains("By user") && !told.contains("nina"), "{told}");
    let csv = viewer.get("/admin/usage.csv?by=run&who=nina").await;
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 2, "{}", csv.text);
    // T26
    assert!(lines[1].contains(",octo/hello,1,task,'=1+1,mona,false,"), "{}", lines[1]);
    for path in ["/admin/usage.csv?by=user", "/admin/deliveries", "/admin/deliveries/1/payload", "/admin/audit"] {
        assert_eq!(viewer.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

async fn viewer(world: &World, account: Account) -> Browser {
    let (secret, now) = ("ef".repeat(32), world.clock.now());
    let signed_in = db::sign_ins::SignedIn {
        id: hex::encode(sha2::Sha256::digest(&secret)),
        via: Via::Link,
        account: Some(account),
        role: Role::Viewer,
        created_at: now,
        checked_at: now,
        expires_at: now + 3_600_000,
    };
    let mut tx = world.db().begin().await.unwrap();
    db::sign_ins::insert(&mut tx, &signed_in).await.unwrap();
    tx.commit().await.unwrap();
    let mut browser = world.browser();
    browser.cookies.insert("__Host-track".into(), secret);
    browser
}

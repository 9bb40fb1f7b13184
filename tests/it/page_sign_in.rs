//! Signing in through GitHub: the whole way there and back, and every way that leads nowhere (T42, T43).

use hyper::StatusCode;
use track::config::SignInConfig;
use track::sim::Role;

use crate::harness::page::{Answer, Browser, words};
use crate::harness::{MAINTAINER, REPO, STRANGER, World};

/// May write, and is no admin.
const WRITER: &str = "willa";

async fn world(admins: &[&str]) -> World {
    let admins = admins.iter().map(|login| (*login).to_owned()).collect();
    let world = World::with_github(
        |github| _ = github.app.permissions.insert("members".to_owned(), "read".to_owned()),
        |config| {
            let app = track::sim::AppSettings::new("x".into());
            config.sign_in = Some(SignInConfig { client_id: app.client_id, client_secret: app.client_secret });
            config.admins = admins;
            config.allow = Some(vec!["octo/*".to_owned(), "acme/*".to_owned()]);
        },
    )
    .await;
    world.sim.set_callback_url(&format!("http://{}/admin/sign-in/callback", world.bot().address()));
    world.sim.add_user(WRITER);
    world.sim.set_role(REPO, WRITER, Role::Write).unwrap();
    // The bot knows a repository once something happened there.
    world.issue("Something", "").await;
    world.settle().await;
    world
}

/// Begins in a browser and authorizes at GitHub as somebody; answers where GitHub leads back to.
async fn authorized(browser: &mut Browser, login: &str, next: &str) -> String {
    let begun = browser.post("/admin/sign-in", &[("next", next)]).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let at_github = begun.location().to_owned();
    assert!(
        at_github.contains("/login/oauth/authorize?client_id=") && at_github.contains("&code_challenge_method=S256")
    );
    let mut elsewhere = Browser::new(at_github.split("/login").next().unwrap().to_owned());
    let (path, query) = at_github.split_once('?').unwrap();
    let fields: Vec<(String, String)> = query
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), decoded(value))
        })
        .collect();
    let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form.extend([("login", login), ("decision", "authorize")]);
    let back = elsewhere.post(path, &form).await;
    assert_eq!(back.status, StatusCode::FOUND, "{}", back.text);
    back.location().to_owned()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        match b {
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            b => bytes.push(b),
        }
    }
    String::from_utf8(bytes).unwrap()
}

async fn signed_in(world: &World, login: &str) -> (Browser, Answer) {
    let mut browser = world.browser();
    let back = authorized(&mut browser, login, "/admin/runs").await;
    let answer = browser.get(&back).await;
    (browser, answer)
}

#[tokio::test]
async fn an_admin_a_writer_and_a_stranger_sign_in() {
    let world = world(&[MAINTAINER]).await;
    let (mut mona, answer) = signed_in(&world, MAINTAINER).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/admin/runs"), "{}", words(&answer.text));
    assert_eq!(mona.get("/admin/settings").await.status, StatusCode::OK);
    assert!(world.sim.user_tokens().is_empty(), "a person's token is given back");

    let (mut willa, answer) = signed_in(&world, WRITER).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", words(&answer.text));
    assert_eq!(willa.get("/admin").await.status, StatusCode::OK);
    assert_eq!(willa.get("/admin/settings").await.status, StatusCode::FORBIDDEN);

    let (mut eve, answer) = signed_in(&world, STRANGER).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(words(&answer.text).contains("eve is no admin here, and may write in none of the repositories"));
    assert_eq!(eve.get("/admin").await.status, StatusCode::UNAUTHORIZED);
}

// T42: a right that is taken away counts within a quarter of an hour.
#[tokio::test]
async fn who_may_not_write_any_more_is_out() {
    let world = world(&[MAINTAINER]).await;
    let (mut willa, _) = signed_in(&world, WRITER).await;
    world.sim.set_role(REPO, WRITER, Role::Read).unwrap();
    assert_eq!(willa.get("/admin").await.status, StatusCode::OK);
    world.clock.advance(16 * 60_000);
    assert_eq!(willa.get("/admin").await.status, StatusCode::UNAUTHORIZED);
    world.sim.set_role(REPO, WRITER, Role::Write).unwrap();
    world.clock.advance(16 * 60_000);
    assert_eq!(willa.get("/admin").await.status, StatusCode::UNAUTHORIZED, "a sign-in that ended stays ended");
}

// T42: the allow-list means accounts, not names; a restart with another list counts at once.
#[tokio::test]
async fn an_admin_who_is_left_out_is_none() {
    let mut world = world(&[MAINTAINER]).await;
    let (mut mona, _) = signed_in(&world, MAINTAINER).await;
    assert_eq!(mona.get("/admin/settings").await.status, StatusCode::OK);
    world.stop().await;
    world.config.admins = vec![WRITER.to_owned()];
    world.start().await;
    assert_eq!(mona.get("/admin/settings").await.status, StatusCode::FORBIDDEN, "a viewer, for she may write");
}

#[tokio::test]
async fn a_team_may_be_the_admins() {
    let world = world(&["acme/ops"]).await;
    world.sim.add_organization("acme");
    world.sim.add_repository("acme/tool", &[("README.md", "# tool\n")]).await.unwrap();
    world.sim.set_role("acme/tool", MAINTAINER, Role::Write).unwrap();
    world.sim.add_to_team("acme", "ops", &[WRITER]).unwrap();
    world.sim.open_issue("acme/tool", MAINTAINER, ("Something", ""), &[]).await.unwrap();
    world.settle().await;
    let (mut willa, answer) = signed_in(&world, WRITER).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", words(&answer.text));
    assert_eq!(willa.get("/admin/settings").await.status, StatusCode::OK);
    world.sim.remove_from_team("acme", "ops", &[WRITER]).unwrap();
    world.clock.advance(16 * 60_000);
    assert_eq!(willa.get("/admin/settings").await.status, StatusCode::FORBIDDEN);
}

// T43
#[tokio::test]
async fn ways_that_lead_nowhere() {
    let world = world(&[MAINTAINER]).await;
    let mut browser = world.browser();
    let back = authorized(&mut browser, MAINTAINER, "//evil.example/admin").await;
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let callback = "/admin/sign-in/callback";
    let mut other = world.browser();
    let other_back = authorized(&mut other, MAINTAINER, "/admin").await;
    let other_state = other_back.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let mut thief = world.browser();

    let none = [
        callback.to_owned(),
        format!("{callback}?code={code}"),
        format!("{callback}?code={code}&state="),
        format!("{callback}?code={code}&state={}", "ab".repeat(32)),
        format!("{callback}?code={code}&state={other_state}"),
        format!("{callback}?state={state}&error=access_denied&error_description=no"),
    ];
    // The state is of another browser than this one.
    let stolen = thief.get(&format!("{callback}?code={code}&state={other_state}")).await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN);
    for path in &none {
        let answer = browser.clone().get(path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.location().is_empty() && !answer.headers.contains_key("set-cookie"), "{path}");
    }
    // The last of them used the state up, and it is good once.
    let answer = browser.get(&back).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    // A code that GitHub never gave, with a state that is right.
    let mut third = world.browser();
    let back = authorized(&mut third, MAINTAINER, "/admin").await;
    let forged = back.replace(&code_of(&back), "forged");
    let answer = third.get(&forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(words(&answer.text).contains("GitHub does not accept the sign-in"), "{}", words(&answer.text));
    // One that takes too long.
    let mut slow = world.browser();
    let back = authorized(&mut slow, MAINTAINER, "/admin").await;
    world.clock.advance(10 * 60_000 + 1);
    assert_eq!(slow.get(&back).await.status, StatusCode::FORBIDDEN);
    // And one that is right, whose wish to go elsewhere is not granted.
    let mut right = world.browser();
    let back = authorized(&mut right, MAINTAINER, "//evil.example/admin").await;
    let answer = right.get(&back).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/admin"));
    let again = right.clone().get(&back).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "once");
}

fn code_of(back: &str) -> String {
    back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

// T42
#[tokio::test]
async fn github_that_does_not_answer_lets_nobody_in() {
    let world = world(&["acme/ops"]).await;
    let (mut willa, answer) = signed_in(&world, WRITER).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    world.clock.advance(16 * 60_000);
    let down = track::sim::Fault::Status { code: 503, headers: Vec::new(), body: String::new() };
    world.fault(usize::MAX, |_| true, down);
    let seen = willa.get("/admin").await;
    assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE, "{}", words(&seen.text));
    world.sim.clear_faults();
    assert_eq!(willa.get("/admin").await.status, StatusCode::OK, "an outage signs nobody out");
}

#[tokio::test]
async fn an_outage_signs_no_viewer_out() {
    let world = world(&[MAINTAINER]).await;
    let (mut willa, _) = signed_in(&world, WRITER).await;
    world.clock.advance(16 * 60_000);
    let down = track::sim::Fault::Status { code: 503, headers: Vec::new(), body: String::new() };
    world.fault(usize::MAX, |request| request.path.ends_with("/permission"), down);
    assert_eq!(willa.get("/admin").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.sim.clear_faults();
    world.clock.advance(2 * 60_000);
    assert_eq!(willa.get("/admin").await.status, StatusCode::OK);
}

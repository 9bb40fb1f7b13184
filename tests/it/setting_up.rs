//! From a machine on which the bot was never started to the first pull request, in a browser.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN};
use hyper::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use track::app::{self, Running};
use track::config::{self, Config, Mistake, Mistakes};
use track::sim::{APP_PRIVATE_KEY_PEM, Fault};

use crate::harness::page::{Answer, Browser, words};
use crate::harness::{MAINTAINER, REPO, World};

/// A bot without an App, and the browser of whoever sets it up.
struct Beginning {
    link: String,
    here: Browser,
    github: Browser,
    finishing: JoinHandle<Option<Running>>,
    /// Ends it.
    end: oneshot::Sender<()>,
    /// Whether the configuration is read with a mistake.
    mistaken: Arc<AtomicBool>,
}

/// What a restart would read.
fn reload(world: &World, mistaken: &Arc<AtomicBool>) -> impl Fn() -> Result<Config, Mistakes> + Send + Sync + 'static {
    let (home, mistaken) = (world.config.home.to_str().unwrap().to_owned(), mistaken.clone());
    let cwd = world.shared().to_owned();
    move || {
        if mistaken.load(Ordering::SeqCst) {
            return Err(Mistakes(vec![Mistake::new("TRACK_LISTEN", "is nonsense", "write an address")]));
        }
        config::load(&|name| (name == "TRACK_HOME").then(|| home.clone()), &cwd)
    }
}

impl Beginning {
    async fn of(world: &mut World) -> Self {
        world.forget().await;
        let setting_up = app::set_up(world.config.clone(), world.clock.clone()).await.expect("it serves");
        let link = setting_up.links().pop().expect("a link");
        let mistaken = Arc::new(AtomicBool::new(false));
        let reload = reload(world, &mistaken);
        let (end, ended) = oneshot::channel();
        let here = Browser::new(format!("http://{}", setting_up.address()));
        let finishing = tokio::spawn(async move {
            let ended = async { _ = ended.await };
            setting_up.finish(&reload, ended).await.expect("it begins")
        });
        Self { link, here, github: Browser::new(world.sim.url()), finishing, end, mistaken }
    }

    /// Comes by the link.
    async fn open(&mut self) -> Answer {
        let answer = self.here.get(&self.link).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/setup"), "{}", words(&answer.text));
        self.here.get("/setup").await
    }

    /// Answers the questions; gives the address and the manifest that the button takes to GitHub.
    async fn wish(&mut self) -> (String, String) {
        let base = self.here.base.clone();
        let fields = [("owner", "person"), ("admins", MAINTAINER), ("public_url", base.as_str())];
        let page = self.here.post("/setup/app", &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{}", words(&page.text));
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.ends_with(&format!("form-action 'self' {}", self.github.base)), "{policy}");
        let action = plain(page.between("<form method=\"post\" action=\"", "\"").expect("a form"));
        (action, plain(page.between("name=\"manifest\" value=\"", "\"").expect("a manifest")))
    }

    /// Confirms it on GitHub; gives the path by which that leads back.
    async fn confirm(&mut self, (action, manifest): (&str, &str), name: &str) -> String {
        let asked = self.github.post(action, &[("manifest", manifest)]).await;
        assert!(asked.text.contains("Create GitHub App for your account"), "{}", words(&asked.text));
        let state = asked.between("name=state value=\"", "\"").expect("a state").to_owned();
        let fields = [("manifest", manifest), ("state", &state), ("name", name), ("login", "octo")];
        let created = self.github.post("/settings/apps", &fields).await;
        assert_eq!(created.status, StatusCode::FOUND, "{}", words(&created.text));
        created.location().strip_prefix(&self.here.base).expect("it leads back").to_owned()
    }

    /// Both.
    async fn create(&mut self, name: &str) -> String {
        let (action, manifest) = self.wish().await;
        self.confirm((&action, &manifest), name).await
    }
}

/// What stands in an attribute.
fn plain(escaped: &str) -> String {
    let signs = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    signs.iter().fold(escaped.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[tokio::test]
async fn from_an_empty_folder_to_the_first_pull_request() {
    let mut world = World::new().await;
    let mut person = Beginning::of(&mut world).await;
    let first = person.open().await;
    insta::assert_snapshot!(words(&first.text).replace(&person.here.base, "<here>").replace(&world.sim.url(), "<github>"), @r#"Set up track · track Skip to content track Set up track Create the App Confirm it on GitHub Install it on repositories Add a machine for the agents Run a first issue The bot acts on GitHub as an App of yours. These answers become its settings; on GitHub you confirm them with one button. Who owns the App? I do: for repositories of my own account An organization: for its repositories Organization Its name as in its address. You must be an owner of it, or manage its Apps. Your login on GitHub Becomes admin of this page. Several: with commas between. Address of this bot Where you, and GitHub's webhooks, reach it. GitHub comes from the Internet, so an address such as http://127.0.0.1 is yours alone: a tunnel ( cloudflared tunnel --url <here> , tailscale funnel ) gives it a public one. Without one it works too: the bot then asks GitHub once a minute what happened. Another name, or GitHub Enterprise Name of the App Left empty: track- owner . It must be free on all of GitHub, and can be changed there. Where you open GitHub GITHUB_SERVER_URL says so. Next: create it on GitHub You have an App already? Enter it by hand . Keys ? Show this list / Go to the filter g b Board g r Runs g u Usage g m Runners (machines) g h Health n New task j k Next, previous entry of a list f Follow live output, or stop following Esc Close Close"#);

    let back = person.create("track of octo").await;
    let done = person.here.get(&back).await;
    assert!(done.location().starts_with("/admin/sign-in/link?token="), "{}: {}", done.status, words(&done.text));
    let running = person.finishing.await.unwrap().expect("the bot began");
    world.adopt(running);
    let signed_in = person.here.get(done.location()).await;
    assert_eq!(signed_in.location(), "/admin/setup", "{}", words(&signed_in.text));

    // What was stored is this account's alone, and a restart reads the same.
    let app = world.sim.app();
    assert_eq!((app.slug.as_str(), app.owner.as_str()), ("track-of-octo", "octo"));
    for file in ["app.env", "app-key.pem"] {
        let mode = fs::metadata(world.home().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let read = reload(&world, &Arc::default())().unwrap();
    assert_eq!(read.app().unwrap().app_id, app.id);
    assert_eq!(read.sign_in.as_ref().unwrap().client_id, app.client_id);
    assert_eq!((read.admins, read.public_url), (vec![MAINTAINER.to_owned()], Some(person.here.base.clone())));

    let list = person.here.get("/admin/setup").await;
    let told = words(&list.text);
    assert!(told.contains("2 of 5 steps are done.") && told.contains("2. Install it to do"), "{told}");
    let live = plain(list.between("sse-connect=\"", "\"").unwrap());
    let mut stream = person.here.stream(&live, None).await;

    let installing = "/apps/track-of-octo/installations";
    assert!(person.github.get(&format!("{installing}/new")).await.text.contains("Install on octo"));
    let installed = person.github.post(installing, &[("account", "octo"), ("selection", "all")]).await;
    let back = installed.location().strip_prefix(&person.here.base).expect("it leads back").to_owned();
    assert!(back.starts_with("/setup?installation_id="), "{back}");
    let onward = person.here.get(&back).await;
    assert!(onward.location().starts_with("/admin/setup?installation_id="), "{}", onward.location());
    assert_eq!(person.here.get(onward.location()).await.status, StatusCode::OK);
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if words(&event.data).contains("4 of 5 steps are done.") {
            assert!(words(&event.data).contains("octo/hello served"), "{}", words(&event.data));
            break;
        }
    }

    world.work_on("Say hello", "Please add hello.txt.").await;
    assert_eq!(world.sim.pulls(REPO).len(), 1);
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if words(&event.data).contains("5 of 5 steps are done.") && words(&event.data).contains("succeeded") {
            break;
        }
    }

    // The link is worth nothing any more, and no secret is on any page.
    let page = person.here.get("/admin/setup").await;
    for secret in [app.webhook_secret.expose_secret(), app.client_secret.expose_secret()] {
        assert!(!page.text.contains(secret));
    }
    assert_eq!(Browser::new(person.here.base.clone()).get("/admin/setup").await.status, StatusCode::UNAUTHORIZED);
    let link = person.link.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap().1;
    let stranger = Browser::new(person.here.base.clone()).get(&format!("/{link}")).await;
    assert!(stranger.location().starts_with("/admin/setup"), "{}", stranger.location());
    world.stop().await;
}

// T42, T44
#[tokio::test]
async fn only_the_browser_that_used_the_link_sets_up() {
    let mut world = World::new().await;
    let mut person = Beginning::of(&mut world).await;
    let base = person.here.base.clone();
    let mut stranger = Browser::new(base.clone());
    for (path, status) in [
        ("/setup", StatusCode::FORBIDDEN),
        ("/setup?token=wrong", StatusCode::FORBIDDEN),
        ("/setup/manual", StatusCode::FORBIDDEN),
        ("/setup/created?code=x&state=y", StatusCode::FORBIDDEN),
        ("/", StatusCode::SERVICE_UNAVAILABLE),
        ("/admin", StatusCode::SERVICE_UNAVAILABLE),
        ("/admin/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(words(&answer.text).contains("Use the link on the terminal"), "{path}: {}", words(&answer.text));
        for header in ["content-security-policy", "x-frame-options", "x-content-type-options", "cache-control"] {
            assert!(answer.headers.contains_key(header), "{path}: {header}");
        }
    }
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "")] {
        let answer = stranger.get(path).await;
        assert!(answer.status == StatusCode::OK && answer.text.contains(body), "{path}: {}", answer.text);
    }
    let webhook = stranger.post("/webhooks/github", &[]).await;
    assert_eq!(
        (webhook.status, webhook.headers["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "60")
    );

    // Over plain HTTP from elsewhere the link is not used up.
    let by_name = person.here.request(Method::GET, &person.link).header(HOST, "bot.example.org:3000");
    let refused = person.here.send(by_name.body(Full::default()).unwrap()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    person.open().await;

    let late = stranger.get(&person.link).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert!(words(&late.text).contains("used in another browser"), "{}", words(&late.text));
    for path in ["/setup/app", "/setup/again", "/setup/manual"] {
        assert_eq!(stranger.post(path, &[("admins", "eve")]).await.status, StatusCode::FORBIDDEN, "{path}");
        // Another site cannot press buttons in the right browser.
        let foreign = person.here.request(Method::POST, path).header(ORIGIN, "https://evil.example");
        let foreign = foreign.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        assert_eq!(
            person.here.send(foreign.body(Full::default()).unwrap()).await.status(),
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    // It comes back by the link too, and ends without an App.
    assert_eq!(person.here.get(&person.link).await.location(), "/setup");
    person.end.send(()).unwrap();
    assert!(person.finishing.await.unwrap().is_none());
    assert!(!world.home().join("app.env").exists() && !world.home().join("track.sock").exists());
}

#[tokio::test]
async fn whatever_goes_wrong_is_told_and_nothing_is_lost() {
    let mut world = World::new().await;
    let mut person = Beginning::of(&mut world).await;
    person.open().await;
    let hostile = "<script>alert(1)</script>\"'";
    let wrong = [("owner", "organization"), ("organization", hostile), ("admins", hostile), ("public_url", hostile)];
    let page = person.here.post("/setup/app", &wrong).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("3 answers are not right yet") && !page.text.contains("<script>alert"), "{}", page.text);

    // Somebody else's state, and a code that GitHub does not know.
    let forged = person.here.get("/setup/created?code=x&state=y").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(words(&forged.text).contains("not begun in this browser"), "{}", words(&forged.text));
    let back = person.create("track one").await;
    let (path, state) = back.split_once("&state=").unwrap();
    let code = path.rsplit_once('=').unwrap().1;
    let refused = person.here.get(&format!("/setup/created?code=0{code}&state={state}")).await;
    assert!(words(&refused.text).contains("does not hand the App out"), "{}", words(&refused.text));
    assert!(refused.text.contains("/settings/apps") && !refused.text.contains("Try again"), "{}", refused.text);
    assert_eq!(person.here.get(&back).await.status, StatusCode::FORBIDDEN, "the state was used");

    // GitHub is away just then; then the place is taken; then the configuration has a mistake.
    let back = person.create("track two").await;
    let away = |request: &track::sim::RequestInfo| request.path.starts_with("/app-manifests/");
    world.fault(1, away, Fault::Status { code: 502, headers: Vec::new(), body: String::new() });
    let trouble = person.here.get(&back).await;
    assert_eq!(trouble.status, StatusCode::BAD_GATEWAY);
    assert!(words(&trouble.text).contains("could not be asked for the App") && trouble.text.contains("Try again"));
    assert!(words(&person.here.get("/setup").await.text).contains("is not in place yet"));
    let taken = world.home().join("app.env");
    fs::write(&taken, "# somebody was here\n").unwrap();
    let trouble = person.here.post("/setup/again", &[]).await;
    assert!(words(&trouble.text).contains("app.env is there already"), "{}", words(&trouble.text));
    let unable = person.here.post("/setup/app", &[("admins", MAINTAINER), ("public_url", "http://127.0.0.1")]).await;
    assert!(unable.status == StatusCode::CONFLICT && words(&unable.text).contains("app.env is there already"));
    fs::remove_file(&taken).unwrap();
    person.mistaken.store(true, Ordering::SeqCst);
    let trouble = person.here.post("/setup/again", &[]).await;
    assert!(words(&trouble.text).contains("TRACK_LISTEN is nonsense"), "{}", words(&trouble.text));
    person.mistaken.store(false, Ordering::SeqCst);
    let done = person.here.post("/setup/again", &[]).await;
    assert!(done.location().starts_with("/admin/sign-in/link?token="), "{}", words(&done.text));
    let conversions = world.sim.journal().iter().filter(|asked| asked.path.starts_with("/app-manifests/")).count();
    assert_eq!(conversions, 3, "a wrong code, GitHub away, and once for good");
    world.adopt(person.finishing.await.unwrap().unwrap());
    assert_eq!(world.bot().context().app.app_id, world.sim.app().id);
    world.stop().await;
}

// T45
#[tokio::test]
async fn an_app_that_exists_is_entered_by_hand() {
    let mut world = World::new().await;
    let mut person = Beginning::of(&mut world).await;
    person.open().await;
    let (id, secret) = (world.sim.app().id.to_string(), world.sim.app().webhook_secret);
    let url = world.sim.url();
    let form = async |person: &mut Beginning, id: &str, key: &str| {
        let fields = [
            ("app_id", id),
            ("private_key", key),
            ("webhook_secret", secret.expose_secret()),
            ("server", url.as_str()),
            ("admins", MAINTAINER),
        ];
        person.here.post("/setup/manual", &fields).await
    };
    let page = person.here.get("/setup/manual").await;
    assert!(words(&page.text).contains("Private key") && page.text.contains(&url), "{}", words(&page.text));
    let broken = form(&mut person, &id, "-----BEGIN RSA PRIVATE KEY-----\nhalf").await;
    assert!(broken.status == StatusCode::UNPROCESSABLE_ENTITY && words(&broken.text).contains("is cut off"));
    let other = form(&mut person, "77", APP_PRIVATE_KEY_PEM).await;
    assert!(words(&other.text).contains("does not know an App of this ID"), "{}", words(&other.text));
    for answer in [&broken, &other] {
        assert!(!answer.text.contains(secret.expose_secret()) && !answer.text.contains("PRIVATE KEY-----\nhalf"));
    }
    assert!(!world.home().join("app.env").exists());

    // Without a client nobody signs in through GitHub: the link is the way in.
    let done = form(&mut person, &id, APP_PRIVATE_KEY_PEM).await;
    assert!(done.location().starts_with("/admin/sign-in/link?token="), "{}", words(&done.text));
    world.adopt(person.finishing.await.unwrap().unwrap());
    assert_eq!(person.here.get(done.location()).await.location(), "/admin/setup");
    let mut stream = person.here.stream("/admin/setup/live", None).await;
    person.here.get("/admin/setup").await;
    // The App was installed before the bot ever ran: GitHub is asked where.
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if words(&event.data).contains("octo/hello served") {
            break;
        }
    }
    let again = person.here.submit("/admin/setup", "/admin/setup/look", &[]).await;
    assert_eq!(again.location(), "/admin/setup", "{}", words(&again.text));
    world.stop().await;
}

#[tokio::test]
async fn the_program_prints_the_link_and_ends_by_a_signal() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let world = World::new().await;
    let mut command = tokio::process::Command::from(world.bare_track(&["serve"]));
    command.env("TRACK_LISTEN", "127.0.0.1:0").env("TRACK_HOME", world.shared().join("home"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("track serves");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let link = loop {
        let line = lines.next_line().await.unwrap().expect("a link");
        if let Some(link) = line.trim().strip_prefix("http://127.0.0.1:") {
            break format!("http://127.0.0.1:{link}");
        }
    };
    let base = link.split_once("/setup").unwrap().0.to_owned();
    let mut browser = Browser::new(base);
    assert_eq!(browser.get(&link).await.location(), "/setup");
    assert!(words(&browser.get("/setup").await.text).contains("Set up track"));
    let pid = rustix::process::Pid::from_raw(child.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().await.unwrap().success());
}

//! The client's reviews, threads and checks against the simulator: what one asks is what the other understands.

use track::config::GitHubConfig;
use track::github::issues::{ReactionTo, react};
use track::github::reviews::{self, NewComment, NewReview, Side};
use track::github::{As, GitHub, checks, threads};
use track::model::{Clock, InstallationId, Reaction, Repository, Sha};
use track::sim::{APP_PRIVATE_KEY_PEM, AppSettings, Options, Sim};

const REPO: &str = "octo/hello";
const SECRET: &str = "a secret of more than 16 bytes";

#[tokio::test]
async fn a_review_is_read_answered_resolved_and_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(Options::new(folder.path(), AppSettings::new(SECRET.into()))).await.unwrap();
    sim.add_user("octo");
    let id = sim.add_repository(REPO, &[("a.txt", "a\nb\n")]).await.unwrap();
    let head: Sha = sim.commit_file(REPO, "topic", "a.txt", "a\nc\n").await.unwrap().parse().unwrap();
    let pull = sim.open_pull(REPO, "octo", ("topic", "main"), ("t", "b")).await.unwrap();
    let root = sim.line_comment(REPO, "octo", pull, "a.txt", 2, "why?").await.unwrap();
    let review = sim.review(REPO, "octo", pull, "COMMENTED", "Please", &[("a.txt", 2, "and?")]).await.unwrap();
    sim.set_check(REPO, head.as_str(), "unit", "failure", "2 failed").unwrap();

    let config = GitHubConfig {
        app_id: 4242,
        private_key: APP_PRIVATE_KEY_PEM.into(),
        webhook_secret: SECRET.into(),
        api_url: sim.api_url(),
        server_url: sim.url(),
    };
    let gh = GitHub::new(&config, Clock::System).unwrap();
    let installation: serde_json::Value = gh.get(As::App, "/repos/octo/hello/installation").await.unwrap();
    let installation = InstallationId(installation["id"].as_i64().unwrap());
    let repo = Repository { id, installation: Some(installation), name: REPO.parse().unwrap() };

    let found = reviews::list(&gh, &repo, pull).await.unwrap();
    assert_eq!(found.iter().map(|of| of.body.as_str()).collect::<Vec<_>>(), ["", "Please"]);
    let lines = reviews::comments(&gh, &repo, pull, Some(0)).await.unwrap();
    assert_eq!((lines[0].id, lines[0].line, lines[0].diff_hunk.lines().last()), (root, Some(2), Some("+c")));
    assert_eq!(reviews::comments_of(&gh, &repo, pull, review).await.unwrap()[0].line, None);
    assert_eq!(checks::failing(&gh, &repo, &head).await.unwrap()[0].summary.as_deref(), Some("2 failed"));

    react(&gh, &repo, ReactionTo::ReviewComment(root), Reaction::Eyes).await.unwrap();
    let answer = reviews::reply(&gh, &repo, pull, root, "done").await.unwrap();
    assert_eq!(reviews::update_comment(&gh, &repo, answer.id, "done!").await.unwrap().in_reply_to_id, Some(root));
    assert_eq!(reviews::reply(&gh, &repo, pull, answer.id, "?").await.unwrap_err().refused_with(), Some(422));
    for _ in 0..2 {
        assert!(threads::resolve(&gh, &repo, pull, root).await.unwrap());
        assert!(sim.thread_resolved(REPO, pull, root));
    }
    assert!(!threads::resolve(&gh, &repo, pull, answer.id).await.unwrap(), "an answer begins no thread");

    let on = |line| {
        [NewComment {
            path: "a.txt".into(),
            body: "hm".into(),
            line,
            side: Side::Right,
            start_line: None,
            start_side: None,
        }]
    };
    let new = NewReview { commit_id: &head, body: "fine", comments: &on(2) };
    let made = reviews::submit(&gh, &repo, pull, &new).await.unwrap();
    assert_eq!(reviews::get(&gh, &repo, pull, made.id).await.unwrap().commit_id.as_ref(), Some(&head));
    let outside = reviews::submit(&gh, &repo, pull, &NewReview { comments: &on(7), ..new }).await.unwrap_err();
    assert!(outside.to_string().contains("must be part of the diff"), "{outside}");
}

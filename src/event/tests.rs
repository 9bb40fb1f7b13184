use proptest::prelude::*;

use super::read::SHAPES;
use super::*;
use crate::model::AccountId;

const LABELED: &str = include_str!("samples/issues.labeled.json");
const OPENED: &str = include_str!("samples/issues.opened.json");
const COMMENT: &str = include_str!("samples/issue_comment.created.json");
const CLOSED: &str = include_str!("samples/pull_request.closed.json");
const REVIEW: &str = include_str!("samples/pull_request_review.submitted.json");
const REVIEW_COMMENT: &str = include_str!("samples/pull_request_review_comment.created.json");
const ADDED: &str = include_str!("samples/installation_repositories.added.json");

const SAMPLES: &[(&str, &str)] = &[
    ("issues", LABELED),
    ("issues", OPENED),
    ("issue_comment", COMMENT),
    ("pull_request", CLOSED),
    ("pull_request_review", REVIEW),
    ("pull_request_review_comment", REVIEW_COMMENT),
    ("installation_repositories", ADDED),
];

fn read_text(event: &str, body: &str) -> Result<Envelope, Malformed> {
    parse(event, body.as_bytes())
}

fn said_of(event: &str, body: &str) -> Said {
    match read_text(event, body).unwrap().event {
        Event::Said(said) => said,
        other => panic!("{other:?}"),
    }
}

fn ignored(event: &str, body: &str) -> String {
    match read_text(event, body).unwrap().event {
        Event::Ignored { why } => why,
        other => panic!("{other:?}"),
    }
}

fn error(event: &str, body: &str) -> String {
    read_text(event, body).unwrap_err().to_string()
}

#[test]
fn a_label_names_the_issue_and_who_put_it_there() {
    let envelope = read_text("issues", LABELED).unwrap();
    assert_eq!(envelope.number, Some(Number(1)));
    let repository = envelope.repository.unwrap();
    assert_eq!(
        (repository.id, repository.name.to_string()),
        (RepositoryId(186853002), "Codertocat/Hello-World".into())
    );
    assert_eq!(repository.default_branch.as_deref(), Some("master"));
    assert!(!repository.owner_is_organization);
    let Event::Labeled(labeled) = envelope.event else { panic!("{:?}", envelope.event) };
    assert_eq!((labeled.label.as_str(), labeled.by.account.id), ("bug", AccountId(21031067)));
    assert!(!labeled.on_pull && !labeled.by.is_bot && labeled.issue.state_open);
    assert_eq!(labeled.issue.title, "Spelling error in the README file");
}

#[test]
fn a_comment_a_review_and_an_opening_text_are_the_same_event() {
    let comment = said_of("issue_comment", COMMENT);
    assert_eq!((comment.place, comment.on_pull), (Place::Comment { id: 492700400 }, false));
    assert_eq!(comment.body, "You are totally right! I'll get this fixed right away.");
    assert_eq!(comment.html_url, "https://github.com/Codertocat/Hello-World/issues/1#issuecomment-492700400");

    let review = said_of("pull_request_review", REVIEW);
    assert!(matches!(review.place, Place::Review { state: ReviewState::Commented, .. }), "{:?}", review.place);
    assert!(review.on_pull);

    let inline = said_of("pull_request_review_comment", REVIEW_COMMENT);
    assert!(matches!(inline.place, Place::ReviewComment { .. }) && inline.on_pull);

    let opening = said_of("issues", OPENED);
    assert_eq!(opening.place, Place::IssueText { id: 444500041 });
    assert_eq!(opening.body, opening.issue.body);
}

#[test]
fn a_closed_pull_request_says_whether_it_was_merged() {
    for (merged, change) in [("false", LifeChange::Closed), ("true", LifeChange::Merged)] {
        let body = CLOSED.replace("\"merged\": false", &format!("\"merged\": {merged}"));
        let Event::Life(life) = read_text("pull_request", &body).unwrap().event else { panic!("no life") };
        assert_eq!((life.change, life.on_pull), (change, true));
    }
}

#[test]
fn joining_repositories_are_listed() {
    let Event::Installation(installation) = read_text("installation_repositories", ADDED).unwrap().event else {
        panic!("no installation")
    };
    assert_eq!((installation.change, installation.id), (InstallationChange::Added, InstallationId(957387)));
    let [(id, name)] = installation.repositories.as_slice() else { panic!("{installation:?}") };
    assert_eq!((*id, name.to_string()), (RepositoryId(186853007), "Codertocat/Space".to_owned()));
}

#[test]
fn a_repository_takes_turns() {
    let read = |action: &str| {
        let repository = r#"{"id":7,"name":"hello","full_name":"octo/hello","private":false,"archived":false,"owner":{"id":1,"login":"octo","type":"User"}}"#;
        let sender = r#"{"id":1,"login":"octo","type":"User"}"#;
        let body = format!(r#"{{"action":"{action}","repository":{repository},"sender":{sender}}}"#);
        assert_eq!(lane_of("repository", body.as_bytes()), Some((RepositoryId(7), None)));
        read_text("repository", &body).unwrap().event
    };
    assert_eq!(read("archived"), Event::Repository(RepositoryChange::Archived));
    assert_eq!(read("deleted"), Event::Repository(RepositoryChange::Deleted));
    assert_eq!(read("transferred"), Event::Repository(RepositoryChange::Transferred));
    // Its new name is taken from whatever is delivered, so it is no event of its own.
    assert_eq!(read("renamed"), Event::Ignored { why: "repository.renamed starts nothing".to_owned() });
}

// T04
#[test]
fn a_body_under_another_events_name_never_is_an_event() {
    let names = SHAPES.iter().map(|shape| shape.event);
    for (own, body) in SAMPLES {
        for other in names.clone().filter(|name| name != own) {
            assert!(read_text(other, body).is_err(), "{own} as {other}");
        }
        assert!(matches!(read_text("push", body).unwrap().event, Event::Ignored { .. }), "{own} as push");
    }
    insta::assert_snapshot!(
        error("issues", COMMENT),
        @"malformed delivery: `comment` is there, which no issues event has"
    );
    insta::assert_snapshot!(
        error("issue_comment", OPENED),
        @"malformed delivery: `comment` is missing, which every issue_comment event has"
    );
}

// T15
#[test]
fn apps_are_known_by_type_or_by_login() {
    for (type_, login, is_bot) in [
        ("User", "octocat", false),
        ("Bot", "octocat", true),
        ("bot", "octocat", true),
        ("User", "dependabot[bot]", true),
        ("User", "x[BOT]", true),
        ("User", "robot", false),
    ] {
        let body = COMMENT
            .replace("\"type\": \"User\"", &format!("\"type\": {type_:?}"))
            .replace("\"login\": \"Codertocat\"", &format!("\"login\": {login:?}"))
            .replacen(&format!("\"owner\": {{\n      \"login\": {login:?}"), "\"owner\": {\n      \"login\": \"o\"", 1);
        assert_eq!(said_of("issue_comment", &body).author.is_bot, is_bot, "{type_} {login}");
    }
    let by_app = COMMENT.replace("\"performed_via_github_app\": null", "\"performed_via_github_app\": {\"id\": 7}");
    assert_eq!(said_of("issue_comment", &by_app).via_app, Some(7));
}

// T16: the login is the same, the id is not.
#[test]
fn text_that_another_account_sent_is_ignored() {
    let (head, sender) = COMMENT.split_at(COMMENT.rfind("\"sender\"").unwrap());
    let body = format!("{head}{}", sender.replace("21031067", "666"));
    assert_eq!(ignored("issue_comment", &body), "the text is not by the account that sent it");
}

// T17
#[test]
fn only_what_is_new_is_said() {
    for action in ["edited", "deleted", "created_by_magic", "CREATED", ""] {
        let body = COMMENT.replace("\"action\": \"created\"", &format!("\"action\": {action:?}"));
        assert!(matches!(read_text("issue_comment", &body).unwrap().event, Event::Ignored { .. }), "{action:?}");
    }
    let body = REVIEW.replace("\"action\": \"submitted\"", "\"action\": \"dismissed\"");
    assert_eq!(ignored("pull_request_review", &body), "pull_request_review.dismissed starts nothing");
    let body = OPENED.replacen('{', "{\"changes\": {\"old_issue\": {\"id\": 1}},", 1);
    assert_eq!(ignored("issues", &body), "the issue came from another repository; its text is not new");
    assert_eq!(ignored("weird\n<b>", "{}"), "weirdb events start nothing");
}

// T07
#[test]
fn hostile_json_is_an_error_that_says_where() {
    let with_id = |id: &str| COMMENT.replace("\"id\": 492700400", &format!("\"id\": {id}"));
    let with_body = |body: &str| COMMENT.replace("You are totally right!", body);
    let deep = format!("{{\"action\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (case, body) in [
        ("empty", String::new()),
        ("no object", "[]".into()),
        ("cut off", COMMENT[..COMMENT.len() / 2].to_owned()),
        ("trailing bytes", format!("{COMMENT}x")),
        ("deep", deep),
        (
            "deep where nobody looks",
            COMMENT.replacen('{', &format!("{{\"x\":{}1{},", "[".repeat(99), "]".repeat(99)), 1),
        ),
        ("duplicate section", COMMENT.replacen('{', "{\"comment\": null,", 1)),
        ("duplicate key", COMMENT.replace("\"id\": 492700400", "\"id\": 1, \"id\": 492700400")),
        ("infinite", with_id("1e999")),
        ("huge", with_id("92233720368547758080")),
        ("negative", with_id("-1")),
        ("fraction", with_id("1.5")),
        ("text for a number", with_id("\"492700400\"")),
        ("list for an object", COMMENT.replace("\"comment\": {", "\"comment\": [1], \"x\": {")),
        ("number for a text", COMMENT.replace("\"You are totally right! I'll get this fixed right away.\"", "7")),
        ("lone surrogate", with_body("\\ud800")),
        ("NUL", with_body("\\u0000")),
        ("name with a slash", COMMENT.replace("\"name\": \"Hello-World\"", "\"name\": \"../../etc\"")),
        ("action of another type", COMMENT.replace("\"action\": \"created\"", "\"action\": {}")),
    ] {
        assert!(read_text("issue_comment", &body).is_err(), "{case}");
    }
    assert!(parse("issue_comment", b"{\"action\":\"\xff\"}").is_err(), "no UTF-8");
    insta::assert_snapshot!(
        error("issue_comment", &COMMENT.replace("\"id\": 492700400,", "")),
        @"malformed delivery: `comment` missing field `id` at line 13 column 3"
    );
    insta::assert_snapshot!(
        error("issue_comment", &with_body("\\u0000")),
        @r"malformed delivery: `comment` text contains NUL at line 4 column 52"
    );
}

#[test]
fn absent_texts_are_empty_and_deleted_authors_nobody() {
    let body = REVIEW.replace("\"body\": \"", "\"body\": null, \"was\": \"");
    assert_eq!(said_of("pull_request_review", &body).body, "");
    let body = LABELED.replacen("\"user\": {", "\"user\": null, \"was\": {", 1);
    let Event::Labeled(labeled) = read_text("issues", &body).unwrap().event else { panic!("no label") };
    assert_eq!(labeled.issue.author, None);
}

#[test]
fn deliveries_of_one_number_share_a_lane() {
    let repository = RepositoryId(186853002);
    for (event, body, lane) in [
        ("issues", LABELED, Some((repository, Some(Number(1))))),
        ("issue_comment", COMMENT, Some((repository, Some(Number(1))))),
        ("pull_request_review", REVIEW, Some((repository, Some(Number(2))))),
        ("installation_repositories", ADDED, None),
        ("push", LABELED, None),
        ("issues", "{", None),
        ("issues", "{\"repository\": 7}", None),
    ] {
        assert_eq!(lane_of(event, body.as_bytes()), lane, "{event}");
    }
}

#[test]
fn keys_tell_triggers_apart() {
    let review = Place::Review { id: 5, state: ReviewState::Commented };
    for (place, n, key) in [
        (Place::Comment { id: 5 }, 1, "comment:5:1"),
        (Place::Comment { id: 5 }, 2, "comment:5:2"),
        (Place::IssueText { id: 5 }, 1, "issue:5:1"),
        (Place::PullText { id: 5 }, 1, "pull:5:1"),
        (review, 1, "review:5"),
        (review, 2, "review:5:2"),
        (Place::ReviewComment { id: 5 }, 1, "review_comment:5:1"),
    ] {
        assert_eq!(trigger_key(place, n), key);
    }
    assert_eq!(label_trigger_key(5), "label:5");
}

// T07
proptest! {
    #[test]
    fn damaged_bytes_never_panic(sample in 0..SAMPLES.len(), at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 0..8), cut in 0..40_usize) {
        let (event, body) = SAMPLES[sample];
        let mut bytes = body.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, with);
        let _ = lane_of(event, &bytes);
        // Whatever was damaged: what is still read as text by somebody has an author who sent it.
        if let Ok(Envelope { event: Event::Said(said), sender, .. }) = parse(event, &bytes) {
            prop_assert_eq!(Some(said.author.account.id), sender.map(|sender| sender.account.id));
        }
    }

    #[test]
    fn wrong_types_anywhere_never_panic(sample in 0..SAMPLES.len(), line in any::<prop::sample::Index>(), value in prop::sample::select(vec!["null", "true", "-1", "1e999", "\"\"", "\"\\ud800\"", "[]", "[{}]", "{}"])) {
        let (event, body) = SAMPLES[sample];
        let fields: Vec<_> = body.match_indices("\": ").map(|(at, found)| at + found.len()).collect();
        let at = fields[line.index(fields.len())];
        let end = at + body[at..].find('\n').unwrap();
        let comma = if body[..end].ends_with(',') { "," } else { "" };
        let mutated = format!("{}{value}{comma}{}", &body[..at], &body[end..]);
        let _ = parse(event, mutated.as_bytes());
        let _ = lane_of(event, mutated.as_bytes());
    }
}

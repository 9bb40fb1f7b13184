//! From a payload's sections to an event: which actions mean something, and what a body has to look like to be believed.

use super::{
    Envelope, Event, Installation, InstallationChange, IssueText, Labeled, Life, LifeChange, Malformed, Place,
    Repository, RepositoryChange, ReviewState, Said, Sender, wire,
};
use crate::model::{Account, AccountId, InstallationId, Number, RepositoryId};

/// Reads a delivery. The event name comes from a header that GitHub does not sign, so the body has to have the shape of that event.
pub fn parse(event_name: &str, body: &[u8]) -> Result<Envelope, Malformed> {
    let body = wire::Body::read(body)?;
    let event = match SHAPES.iter().find(|shape| shape.event == event_name) {
        Some(shape) => {
            shape.check(&body)?;
            read(event_name, &body)?
        }
        None => Event::Ignored { why: format!("{} events start nothing", printable(event_name)) },
    };
    // Of an ignored event, whatever is readable is taken: nothing will be done by it.
    let lenient = matches!(event, Event::Ignored { .. });
    let sender = tolerate(body.optional::<wire::User>("sender"), lenient)?.map(Sender::from);
    let installation = tolerate(body.optional::<wire::Installation>("installation"), lenient)?;
    let repository = tolerate(body.optional("repository").and_then(|r| r.map(repository).transpose()), lenient)?;
    let number = match subject(&body) {
        Ok((issue, _)) => Some(Number(issue.number.0)),
        Err(_) => None,
    };
    Ok(Envelope { repository, installation: installation.map(|i| InstallationId(i.id.0)), sender, number, event })
}

/// The lane of a delivery: those of one repository and number are handled in order. `None` for events that start nothing and for bodies
/// that cannot be read, which wait for nobody. It reads no more than it needs.
pub fn lane_of(event_name: &str, body: &[u8]) -> Option<(RepositoryId, Option<Number>)> {
    SHAPES.iter().find(|shape| shape.event == event_name)?;
    let lane: wire::Lane = serde_json::from_slice(body).ok()?;
    let number = lane.issue.or(lane.pull_request).and_then(|about| about.number);
    Some((RepositoryId(lane.repository.id.0), number.map(|number| Number(number.0))))
}

/// Which sections the body of an event has and which it never has: a body sent again under another event's name does not fit.
pub(super) struct Shape {
    pub event: &'static str,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
}

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        event: "issues",
        has: &["issue", "repository", "sender"],
        lacks: &["comment", "review", "pull_request", "thread", "discussion"],
    },
    Shape {
        event: "issue_comment",
        has: &["issue", "comment", "repository", "sender"],
        lacks: &["review", "pull_request", "thread", "discussion"],
    },
    Shape {
        event: "pull_request",
        has: &["pull_request", "number", "repository", "sender"],
        lacks: &["issue", "comment", "review", "thread", "discussion"],
    },
    Shape {
        event: "pull_request_review",
        has: &["pull_request", "review", "repository", "sender"],
        lacks: &["issue", "comment", "thread", "discussion"],
    },
    Shape {
        event: "pull_request_review_comment",
        has: &["pull_request", "comment", "repository", "sender"],
        lacks: &["issue", "review", "thread", "discussion"],
    },
    Shape {
        event: "installation",
        has: &["installation", "sender"],
        lacks: &[
            "repository",
            "issue",
            "pull_request",
            "comment",
            "review",
            "repositories_added",
            "repositories_removed",
        ],
    },
    Shape {
        event: "repository",
        has: &["repository", "sender"],
        lacks: &[
            "number",
            "issue",
            "pull_request",
            "comment",
            "review",
            "thread",
            "discussion",
            "label",
            "repositories",
            "repositories_added",
            "repositories_removed",
        ],
    },
    Shape {
        event: "installation_repositories",
        has: &["installation", "repositories_added", "repositories_removed", "sender"],
        lacks: &["repository", "issue", "pull_request", "comment", "review", "repositories"],
    },
];

impl Shape {
    fn check(&self, body: &wire::Body<'_>) -> Result<(), Malformed> {
        if let Some(missing) = self.has.iter().find(|section| body.get(section).is_none()) {
            return Err(Malformed::new(
                format!("`{missing}`"),
                format!("is missing, which every {} event has", self.event),
            ));
        }
        if let Some(alien) = self.lacks.iter().find(|section| body.get(section).is_some()) {
            return Err(Malformed::new(format!("`{alien}`"), format!("is there, which no {} event has", self.event)));
        }
        Ok(())
    }
}

fn read(event_name: &str, body: &wire::Body<'_>) -> Result<Event, Malformed> {
    let action = body.action()?;
    match (event_name, action.as_str()) {
        ("issues" | "pull_request", "labeled") => labeled(body, Event::Labeled),
        ("issues" | "pull_request", "unlabeled") => labeled(body, Event::Unlabeled),
        ("issues" | "pull_request", "opened") => opened(body),
        ("issues" | "pull_request", "closed" | "reopened" | "deleted" | "transferred") => life(body, &action),
        ("issue_comment", "created") => commented(body, |comment| Place::Comment { id: comment.id.0 }),
        ("pull_request_review_comment", "created") => {
            commented(body, |comment| Place::ReviewComment { id: comment.id.0 })
        }
        ("pull_request_review", "submitted") => reviewed(body),
        ("installation" | "installation_repositories", _) => installed(body, &action),
        ("repository", "archived") => Ok(Event::Repository(RepositoryChange::Archived)),
        ("repository", "deleted") => Ok(Event::Repository(RepositoryChange::Deleted)),
        ("repository", "transferred") => Ok(Event::Repository(RepositoryChange::Transferred)),
        (_, "edited") => Ok(Event::Ignored { why: "edits start nothing; only what is new does".to_owned() }),
        _ => Ok(Event::Ignored { why: format!("{event_name}.{} starts nothing", printable(&action)) }),
    }
}

fn labeled(body: &wire::Body<'_>, event: fn(Labeled) -> Event) -> Result<Event, Malformed> {
    let (issue, on_pull) = subject(body)?;
    let Some(label) = body.optional::<wire::Label>("label")? else {
        return Ok(Event::Ignored { why: "the delivery does not name the label".to_owned() });
    };
    let by = body.section::<wire::User>("sender")?.into();
    Ok(event(Labeled { label: label.name.0, by, on_pull, issue: issue.into() }))
}

fn opened(body: &wire::Body<'_>) -> Result<Event, Malformed> {
    if body.optional::<wire::Changes>("changes")?.is_some_and(|changes| changes.old_issue.is_some()) {
        return Ok(Event::Ignored { why: "the issue came from another repository; its text is not new".to_owned() });
    }
    let (issue, on_pull) = subject(body)?;
    // An issue event about a pull request carries the id of the issue behind it.
    let id = issue.id.0;
    let place = if body.pull_request.is_some() { Place::PullText { id } } else { Place::IssueText { id } };
    let via_app = issue.performed_via_github_app.as_ref().map(|app| app.id.0);
    let issue = IssueText::from(issue);
    let (author, text, html_url) = (issue.author.clone(), issue.body.clone(), issue.html_url.clone());
    said(body, author, |author| Said { place, on_pull, author, via_app, body: text, issue, html_url })
}

fn commented(body: &wire::Body<'_>, place: fn(&wire::Comment) -> Place) -> Result<Event, Malformed> {
    let comment: wire::Comment = body.section("comment")?;
    let place = place(&comment);
    wrote(body, comment, place)
}

fn reviewed(body: &wire::Body<'_>) -> Result<Event, Malformed> {
    let review: wire::Comment = body.section("review")?;
    // Webhooks write states in lower case, the API in upper case; recovered deliveries are GitHub's JSON too.
    let state = match review.state.as_ref().map(|state| state.0.to_ascii_lowercase()).as_deref() {
        Some("commented") => ReviewState::Commented,
        Some("approved") => ReviewState::Approved,
        Some("changes_requested") => ReviewState::ChangesRequested,
        _ => ReviewState::Other,
    };
    let place = Place::Review { id: review.id.0, state };
    wrote(body, review, place)
}

fn wrote(body: &wire::Body<'_>, comment: wire::Comment, place: Place) -> Result<Event, Malformed> {
    let (issue, on_pull) = subject(body)?;
    let via_app = comment.performed_via_github_app.map(|app| app.id.0);
    let text = comment.body.unwrap_or_default().0;
    let html_url = comment.html_url.0;
    said(body, comment.user.map(Sender::from), |author| Said {
        place,
        on_pull,
        author,
        via_app,
        body: text,
        issue: issue.into(),
        html_url,
    })
}

/// Only the account that wrote a text can have asked for something by it.
fn said(body: &wire::Body<'_>, author: Option<Sender>, event: impl FnOnce(Sender) -> Said) -> Result<Event, Malformed> {
    let sender: Sender = body.section::<wire::User>("sender")?.into();
    match author {
        Some(author) if author.account.id == sender.account.id => Ok(Event::Said(event(author))),
        Some(_) => Ok(Event::Ignored { why: "the text is not by the account that sent it".to_owned() }),
        None => Ok(Event::Ignored { why: "the text has no author".to_owned() }),
    }
}

fn life(body: &wire::Body<'_>, action: &str) -> Result<Event, Malformed> {
    let (issue, on_pull) = subject(body)?;
    let change = match action {
        "closed" if issue.merged == Some(true) => LifeChange::Merged,
        "closed" => LifeChange::Closed,
        "reopened" => LifeChange::Reopened,
        "deleted" => LifeChange::Deleted,
        _ => LifeChange::Transferred,
    };
    let by = body.section::<wire::User>("sender")?.into();
    Ok(Event::Life(Life { change, by, on_pull, issue: issue.into() }))
}

fn installed(body: &wire::Body<'_>, action: &str) -> Result<Event, Malformed> {
    let (change, list) = match (body.repositories_added.is_some(), action) {
        (false, "created") => (InstallationChange::Created, "repositories"),
        (false, "deleted") => (InstallationChange::Deleted, "repositories"),
        (false, "suspend") => (InstallationChange::Suspended, "repositories"),
        (false, "unsuspend") => (InstallationChange::Unsuspended, "repositories"),
        (true, "added") => (InstallationChange::Added, "repositories_added"),
        (true, "removed") => (InstallationChange::Removed, "repositories_removed"),
        _ => {
            return Ok(Event::Ignored { why: format!("{} of an installation starts nothing", printable(action)) });
        }
    };
    let installation: wire::Installation = body.section("installation")?;
    // Every App event names the installation by its id; only those about the installation describe it.
    let Some(installed_on) = installation.account else {
        return Err(Malformed::new("`installation`", "has no account, which every event about an installation has"));
    };
    let repositories = body
        .list::<wire::ListedRepository>(list)?
        .into_iter()
        .map(|r| match r.full_name.0.parse() {
            Ok(name) => Ok((RepositoryId(r.id.0), name)),
            Err(error) => Err(Malformed::new(format!("`{list}`"), format!("has a wrong full_name: {error}"))),
        })
        .collect::<Result<_, _>>()?;
    let account = account(installed_on);
    Ok(Event::Installation(Installation { change, id: InstallationId(installation.id.0), account, repositories }))
}

/// The issue or pull request that a delivery is about, and whether it is a pull request.
fn subject(body: &wire::Body<'_>) -> Result<(wire::Issue, bool), Malformed> {
    if body.pull_request.is_some() {
        return Ok((body.section("pull_request")?, true));
    }
    let issue: wire::Issue = body.section("issue")?;
    let on_pull = issue.pull_request.is_some();
    Ok((issue, on_pull))
}

fn tolerate<T>(read: Result<Option<T>, Malformed>, lenient: bool) -> Result<Option<T>, Malformed> {
    if lenient { Ok(read.unwrap_or(None)) } else { read }
}

fn repository(r: wire::Repository) -> Result<Repository, Malformed> {
    let name = format!("{}/{}", r.owner.login.0, r.name.0);
    let name = name.parse().map_err(|error| Malformed::new("`repository`", format!("has a wrong name: {error}")))?;
    let owner_is_organization = r.owner.kind.as_ref().is_some_and(|kind| kind.0 == "Organization");
    Ok(Repository {
        id: RepositoryId(r.id.0),
        name,
        owner: account(r.owner),
        owner_is_organization,
        default_branch: r.default_branch.map(|branch| branch.0),
        archived: r.archived,
        private: r.private,
    })
}

fn account(user: wire::User) -> Account {
    Account { id: AccountId(user.id.0), login: user.login.0 }
}

impl From<wire::User> for Sender {
    fn from(user: wire::User) -> Self {
        let is_bot = user.kind.as_ref().is_some_and(|kind| kind.0.eq_ignore_ascii_case("bot"))
            || user.login.0.to_ascii_lowercase().ends_with("[bot]");
        Self { account: account(user), is_bot }
    }
}

impl From<wire::Issue> for IssueText {
    fn from(issue: wire::Issue) -> Self {
        Self {
            title: issue.title.0,
            body: issue.body.unwrap_or_default().0,
            author: issue.user.map(Sender::from),
            state_open: issue.state.is_some_and(|state| state.0 == "open"),
            updated_at: issue
                .updated_at
                .and_then(|at| chrono::DateTime::parse_from_rfc3339(&at.0).ok().map(|time| time.timestamp_millis())),
            head_branch: issue.head.map(|head| head.r#ref.0),
            html_url: issue.html_url.0,
        }
    }
}

/// A word of the sender's as it may stand in a record.
fn printable(word: &str) -> String {
    let word: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(60).collect();
    if word.is_empty() { "nameless".to_owned() } else { word }
}

//! What a delivery may be about, by itself: pure, before anybody is asked. Most deliveries end here.

use crate::event::{self, Envelope, Event, Installation, IssueText, LifeChange, RepositoryChange, ReviewState, Said};
use crate::model::{Account, Number, Place, looks_marked};
use crate::trigger::choose::read_label;
use crate::trigger::command;
use crate::trigger::decide::Wish;
use crate::trigger::feedback::Submitted;

/// What is left of a delivery.
#[derive(Clone, Debug)]
pub enum Screened {
    /// Nothing is wanted, for this reason.
    Ignored {
        /// A word that names the rule.
        reason: &'static str,
        /// A sentence for the decision record.
        detail: String,
    },
    /// Somebody may want something.
    Asked(Box<Asked>),
    /// Where the App is installed changed.
    Installed(Installation),
    /// The repository may be out of reach.
    Moved(RepositoryChange),
    /// A pull request or issue took a turn.
    Life {
        /// Which.
        number: Number,
        /// Whether it is a pull request.
        on_pull: bool,
        /// The branch that a pull request brings.
        head_branch: Option<String>,
        /// What became of it.
        change: LifeChange,
    },
}

/// How somebody asked.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In a text on GitHub.
    Said(event::Place),
    /// By a label, whose key GitHub's events have.
    Label,
    /// On the bot's own machine, under this key.
    ByHand(String),
}

impl Origin {
    /// Where it stands on GitHub.
    pub fn place(&self) -> Option<event::Place> {
        match self {
            Self::Said(place) => Some(*place),
            Self::Label | Self::ByHand(_) => None,
        }
    }
}

/// What somebody may want.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The issue or pull request.
    pub number: Number,
    /// Whether it is a pull request.
    pub on_pull: bool,
    /// Who asks.
    pub actor: Account,
    /// Where it was said; reactions go there.
    pub place: Place,
    /// What the keys of its triggers are made of.
    pub origin: Origin,
    /// The label that was put on.
    pub label: Option<String>,
    /// What is wanted, in order; nothing in so many words where a review may want a follow-up.
    pub wishes: Vec<Wish>,
    /// The review that was submitted.
    pub review: Option<Submitted>,
    /// Title and text of the issue or pull request.
    pub issue: IssueText,
}

/// Screens a delivery.
pub fn screen(envelope: &Envelope, trigger_label: &str) -> Screened {
    let ignored = |reason, detail: &str| Screened::Ignored { reason, detail: detail.to_owned() };
    if let Event::Installation(installation) = &envelope.event {
        return Screened::Installed(installation.clone());
    }
    if let Event::Repository(change) = envelope.event {
        return Screened::Moved(change);
    }
    let (Some(number), Some(sender)) = (envelope.number, &envelope.sender) else {
        return match &envelope.event {
            Event::Ignored { why } => ignored("not_used", why),
            _ => ignored("no_subject", "it names no issue or pull request, or nobody who acted"),
        };
    };
    match &envelope.event {
        Event::Ignored { why } => ignored("not_used", why),
        Event::Unlabeled(_) => ignored("not_used", "taking a label off starts nothing"),
        // Told apart above, for they name no issue.
        Event::Installation(_) | Event::Repository(_) => ignored("not_used", "it changes nothing for track"),
        Event::Life(life) => Screened::Life {
            number,
            on_pull: life.on_pull,
            head_branch: life.issue.head_branch.clone(),
            change: life.change,
        },
        Event::Labeled(_) | Event::Said(_) if sender.is_bot => {
            ignored("bot", "apps are not obeyed, nor is track itself")
        }
        Event::Labeled(labeled) => match read_label(&labeled.label, trigger_label) {
            None => ignored("other_label", "the label is not the trigger label"),
            Some(_) if labeled.on_pull => ignored("label_on_pull", "the trigger label works on issues"),
            Some(trigger) => Screened::Asked(Box::new(Asked {
                number,
                on_pull: labeled.on_pull,
                actor: sender.account.clone(),
                place: Place::Issue,
                origin: Origin::Label,
                label: Some(labeled.label.clone()),
                wishes: vec![Wish::Label { selects: trigger.selects }],
                review: None,
                issue: labeled.issue.clone(),
            })),
        },
        Event::Said(said) if said.via_app.is_some() => {
            ignored("via_app", "text that an app wrote for somebody is not obeyed")
        }
        Event::Said(said) if looks_marked(&said.body) => ignored("own_words", "it repeats a comment of track"),
        Event::Said(said) => {
            let wishes: Vec<Wish> = command::parse(&said.body)
                .into_iter()
                .map(|parsed| parsed.map_or_else(Wish::Mistake, Wish::Command))
                .collect();
            let review = submitted(said);
            if wishes.is_empty() && review.is_none() {
                return ignored("no_command", "it holds no command");
            }
            Screened::Asked(Box::new(Asked {
                number,
                on_pull: said.on_pull,
                actor: sender.account.clone(),
                place: place_of(said.place),
                origin: Origin::Said(said.place),
                label: None,
                wishes,
                review,
                issue: said.issue.clone(),
            }))
        }
    }
}

/// The review that somebody submitted on a pull request, whatever it decides.
fn submitted(said: &Said) -> Option<Submitted> {
    let event::Place::Review { id, state } = said.place else { return None };
    Some(Submitted {
        id,
        wants_changes: matches!(state, ReviewState::Commented | ReviewState::ChangesRequested),
        says_something: command::says_more(&said.body),
    })
}

fn place_of(place: event::Place) -> Place {
    match place {
        event::Place::Comment { id } => Place::Comment(id),
        event::Place::IssueText { .. } | event::Place::PullText { .. } => Place::Issue,
        event::Place::Review { id, .. } => Place::Review(id),
        event::Place::ReviewComment { id } => Place::ReviewComment(id),
    }
}

//! What the agent was given: where it began, what it acts on, and what it was told.

use super::super::fault::Fault;
use super::super::view::Safe;
use super::{PROMPT, Scene};
use crate::context::Context;
use crate::db::runs::LeftOut;
use crate::markup;
use crate::model::{Feedback, Sha};
use crate::run::snapshot::{self, Given};

/// The section of the page.
pub(super) struct GivenView {
    pub(super) given: Option<(Sha, String)>,
    pub(super) feedback: Vec<Said>,
    pub(super) left_out: Vec<String>,
    pub(super) turns: Vec<Given>,
}

/// A review or comment that the run acts on.
pub(super) struct Said {
    pub(super) who: String,
    pub(super) at: i64,
    /// Which file and line, or what sort of review.
    pub(super) about: String,
    pub(super) text: Safe,
}

impl GivenView {
    pub(super) async fn of(context: &Context, scene: &Scene) -> Result<Self, Fault> {
        let run = &scene.run;
        let github = scene.github(context);
        let turns = snapshot::given(&context.config.home, run, PROMPT).await.map_err(anyhow::Error::from)?;
        Ok(Self {
            given: run.given.clone().map(|sha| {
                let url = format!("{github}/commit/{sha}");
                (sha, url)
            }),
            feedback: run.feedback.as_ref().map(said).unwrap_or_default(),
            left_out: left_out(run.left_out),
            turns,
        })
    }
}

fn said(feedback: &Feedback) -> Vec<Said> {
    let reviews = feedback.reviews.iter().map(|review| Said {
        who: review.author.login.clone(),
        at: review.at,
        about: format!("review, {}", review.state.replace('_', " ")),
        text: Safe(markup::html(&review.text)),
    });
    let comments = feedback.comments.iter().map(|comment| Said {
        who: comment.author.login.clone(),
        at: comment.at,
        about: place(&comment.path, comment.line),
        text: Safe(markup::html(&comment.text)),
    });
    reviews.chain(comments).collect()
}

/// A line of a file.
pub(super) fn place(path: &str, line: Option<u32>) -> String {
    match line {
        Some(line) => format!("{path}:{line}"),
        None => path.to_owned(),
    }
}

fn left_out(left_out: LeftOut) -> Vec<String> {
    let LeftOut { lfs, submodules, hidden_characters } = left_out;
    let hidden = match hidden_characters {
        0 => None,
        1 => Some("1 hidden character of the texts".to_owned()),
        n => Some(format!("{n} hidden characters of the texts")),
    };
    let named = |is: bool, what: &str| is.then(|| what.to_owned());
    [named(lfs, "the contents of files in Git LFS"), named(submodules, "submodules"), hidden]
        .into_iter()
        .flatten()
        .collect()
}

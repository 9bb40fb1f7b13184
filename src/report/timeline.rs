//! What the timeline of a thread says of the bot's posts: who was told of what, and what GitHub would not take (B27). Pure.

use crate::db::decisions::{About, Decision};
use crate::db::reports::{Payload, Report};
use crate::db::runs::Run;
use crate::db::threads::Thread;
use crate::model::{Kind, Sha};

/// The record of a post that GitHub shows now, or refused for good; `None` where it is not worth one. The status comment is the run's own
/// news, and a review is recorded with its address by the run.
pub fn told(report: &Report, (run, thread): (&Run, &Thread), error: Option<&str>) -> Option<Decision> {
    let number = report.number;
    let (reason, detail) = match (&report.payload, error) {
        (Payload::Reaction { .. } | Payload::Unlabel { .. } | Payload::Resolve { .. }, _) => return None,
        (payload, Some(error)) => {
            let what = match payload {
                Payload::Review { .. } => "review",
                Payload::ThreadReply { .. } => "answer to a comment",
                Payload::Status => "status comment",
                _ => "closing comment",
            };
            ("not_posted", format!("the {what} of run {} could not be posted on #{number}: {error}", run.id))
        }
        (Payload::Final { .. }, None) if run.kind == Kind::Review => {
            ("commented", format!("the findings of run {} are in a comment on #{number}", run.id))
        }
        (Payload::Final { told, .. }, None) => {
            let who = if told.is_empty() { "nobody in particular".to_owned() } else { told.join(", ") };
            let head = run.pushed.as_ref().map_or("the new head", Sha::short);
            ("notified", format!("{who} was told on #{number} of {head}"))
        }
        _ => return None,
    };
    let about = About { pull: Some(number), head: run.pushed.clone(), ..About::default() };
    Some(Decision { about, ..Decision::of_run(thread, run.id, reason, detail) })
}

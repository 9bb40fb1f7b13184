//! Where a result goes: that depends on what became of the pull request while the agent worked (B20, B40).

use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision;
use crate::db::lines::Line;
use crate::db::runs::{Ending, Run};
use crate::github::{ApiError, pulls};
use crate::model::{Kind, LineState, Millis, Number, Outcome, Reason, Repository};

/// Where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the line's branch.
    Line,
    /// There too, once this pull request is open again.
    Reopened(Number),
    /// To a line of its own, for this pull request was merged.
    AnotherLine(Number),
    /// Nowhere: it is kept, and the line ended so.
    Nowhere(LineState, Reason),
}

/// How a pull request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Merged,
    Closed { at: Millis },
}

/// A task is the and goes on whatever was merged; a follow-up was about the pull request and ends with it. Closing one unmerged is a
/// person's decision, unless a follow-up was asked for afterwards, which opens it again.
fn destination(kind: Kind, queued_at: Millis, (pull, ended): (Number, Ended)) -> Destination {
    match (kind, ended) {
        (Kind::FollowUp, Ended::Closed { at }) if at <= queued_at => Destination::Reopened(pull),
        (_, Ended::Closed { .. }) => Destination::Nowhere(LineState::Closed, Reason::PullRequestClosed),
        (Kind::FollowUp, Ended::Merged) => Destination::Nowhere(LineState::Merged, Reason::PullRequestMerged),
        (_, Ended::Merged) => Destination::AnotherLine(pull),
    }
}

/// Asks GitHub what became of the line's pull request.
pub async fn find(context: &Context, repository: &Repository, run: &Run, line: &Line) -> Result<Destination, ApiError> {
    let Some(number) = line.pull else { return Ok(Destination::Line) };
    let pull = pulls::get(&context.github, repository, number).await?;
    if pull.is_open() {
        return Ok(Destination::Line);
    }
    // The branch is what makes a pull request the line's, so somebody may have opened another one.
    let others = pulls::find_by_head(&context.github, repository, &line.branch).await?;
    if others.iter().any(pulls::PullRequest::is_open) {
        return Ok(Destination::Line);
    }
    let ended = match pull.closed_at {
        _ if pull.is_merged() => Ended::Merged,
        // Its time is by GitHub's clock.
        at => Ended::Closed { at: at.map_or(0, |at| at - context.github.skew()) },
    };
    Ok(destination(run.kind, run.queued_at, (number, ended)))
}

/// Opens a pull request again, where GitHub allows it: not once the branch has moved.
pub async fn reopen(context: &Context, repository: &Repository, number: Number) -> Result<(), ApiError> {
    let open = pulls::PullChange { state: Some("open"), ..pulls::PullChange::default() };
    match pulls::update(&context.github, repository, number, open).await {
        Ok(_) | Err(ApiError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why the work of a run goes to another line.
#[derive(Clone, Copy, Debug)]
pub enum Left {
    /// This pull request of the line was merged.
    Merged(Number),
    /// The line's branch is gone.
    Gone,
}

/// Has the work of a run go to a line of its own, and says so.
pub async fn another_line(context: &Context, run: &Run, line: &Line, left: Left) -> Result<Line, Trouble> {
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    if let Left::Merged(_) = left {
        db::lines::set_state(&mut tx, line.id, LineState::Merged).await?;
    }
    let thread = db::threads::get(&mut tx, run.thread).await?;
    let mut another = db::lines::open(&mut tx, thread.id, thread.repository, thread.number, now).await?;
    let detail = match left {
        Left::Merged(pull) => {
            another.continues = Some(pull);
            db::lines::set_continues(&mut tx, another.id, pull).await?;
            format!("#{pull} was merged while the agent worked, so this has a branch and a pull request of its own")
        }
        Left::Gone => "The branch was deleted while the agent worked, so this has another one".to_owned(),
    };
    db::runs::set_line(&mut tx, run.id, another.id).await?;
    let record = Decision::of_run(&thread, run.id, "another_line", detail.clone());
    db::decisions::insert(&mut tx, &record, now).await?;
    let ending = Ending { outcome: Outcome::Succeeded, reason: Reason::Changes, detail };
    db::runs::set_ending(&mut tx, run.id, &ending).await?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    tracing::info!("the work of run {} does not go to {} any more, but to {}", run.id, line.branch, another.branch);
    Ok(another)
}

#[cfg(test)]
mod tests {
    use super::*;

    // B20, B40
    #[test]
    fn a_result_goes_where_its_pull_request_lets_it() {
        use Destination::{AnotherLine, Nowhere, Reopened};
        let pull = Number(8);
        let (closed, merged) = (
            Nowhere(LineState::Closed, Reason::PullRequestClosed),
            Nowhere(LineState::Merged, Reason::PullRequestMerged),
        );
        for (kind, ended, goes) in [
            (Kind::Task, Ended::Merged, AnotherLine(pull)),
            (Kind::Task, Ended::Closed { at: 99 }, closed),
            (Kind::Task, Ended::Closed { at: 101 }, closed),
            (Kind::FollowUp, Ended::Merged, merged),
            // Asked for afterwards, it opens the pull request again.
            (Kind::FollowUp, Ended::Closed { at: 99 }, Reopened(pull)),
            (Kind::FollowUp, Ended::Closed { at: 101 }, closed),
        ] {
            assert_eq!(destination(kind, 100, (pull, ended)), goes, "{kind} {ended:?}");
        }
    }
}

//! What is done about reviews of the bot's own pull requests, which ask for a follow-up without a command: pure, like [`super::decide`].

use super::decide::{next_minute, too_dear};
use crate::config::{FollowUp, Limits};
use crate::model::{AccountId, Millis};

/// A review that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// GitHub's id of it.
    pub id: i64,
    /// Whether its state is commented or changes requested; approvals and dismissed reviews start nothing.
    pub wants_changes: bool,
    /// Whether it has a text of its own.
    pub says_something: bool,
}

/// What is done about a review when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It becomes a follow-up at once, or when the live run is over.
    Now,
    /// It becomes one when nothing has come for a while (B24): GitHub submits a review for every lone comment and reply in a thread.
    AfterQuiet,
    /// It starts nothing.
    Ignored {
        /// A word that names the rule.
        reason: &'static str,
        /// A sentence for the decision record.
        detail: String,
    },
}

/// Receives a review by `author` with so many comments on lines; `mains` are the accounts whose reviews start follow-ups.
pub fn receive(review: &Submitted, comments: usize, author: AccountId, mains: &[AccountId]) -> Received {
    let ignored = |reason, detail: &str| Received::Ignored { reason, detail: detail.to_owned() };
    if !review.wants_changes {
        return ignored("verdict", "only reviews that comment or request changes start follow-ups");
    }
    if !mains.contains(&author) {
        return ignored("not_main_user", "only reviews by a main user start follow-ups");
    }
    match (review.says_something, comments) {
        // None may only mean that GitHub does not list it yet.
        (false, 0 | 1) => Received::AfterQuiet,
        _ => Received::Now,
    }
}

/// What is known when waiting feedback is acted on.
#[derive(Clone, Debug)]
pub struct FeedbackFacts {
    /// Whether somebody asked for a follow-up in so many words, which no rule about automatic ones holds up.
    pub requested: bool,
    /// Whether the issue is open.
    pub issue_open: bool,
    /// Whether the pull request is open.
    pub pull_open: bool,
    /// Whether the repository is archived.
    pub archived: bool,
    /// By server and repository together.
    pub mode: FollowUp,
    /// What is wrong with `.github/track.yml`.
    pub bad_policy: Option<String>,
    /// Pieces of feedback that no finished run has answered.
    pub open: usize,
    /// Follow-ups that reviews started on this pull request in the last day.
    pub rounds: i64,
    /// US dollars spent in the last day.
    pub cost_last_day: f64,
    /// When less than the limit will have been spent in a day; `None` where that never is.
    pub afforded_again_at: Option<Millis>,
    /// The limits of server and repository together.
    pub limits: Limits,
}

/// What becomes of waiting feedback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A follow-up is queued.
    Start,
    /// None is, for this reason.
    Skip {
        /// A word that names the rule.
        reason: &'static str,
        /// A sentence for the decision record.
        detail: String,
    },
    /// None is, and the people on the pull request are told what to do.
    Tell {
        /// A word that names the rule.
        reason: &'static str,
        /// What they read, Markdown.
        text: String,
    },
    /// None is before this time, and the people on the pull request are told so; the feedback goes on waiting.
    Wait {
        /// A word that names the limit.
        reason: &'static str,
        /// What they read, Markdown.
        text: String,
        /// When the limit has room again.
        until: Millis,
    },
}

/// Decides about the feedback that waits on a line.
pub fn act(facts: &FeedbackFacts) -> Verdict {
    // Whoever asked in so many words is told; a review alone asked for nothing.
    let skip = |reason, detail: &str| match facts.requested {
        true => Verdict::Tell { reason, text: format!("The follow-up that was kept does not start: {detail}.") },
        false => Verdict::Skip { reason, detail: detail.to_owned() },
    };
    let go_on = "`/track followup <text>` goes on all the same";
    if !facts.pull_open {
        return skip("pull_closed", "the pull request is not open any more");
    }
    if !facts.issue_open {
        return skip("issue_closed", "the issue is closed");
    }
    if facts.archived {
        return skip("archived", "the repository is archived");
    }
    if facts.mode == FollowUp::Off && !facts.requested {
        return skip("follow_up_off", "automatic follow-ups are off (`follow_up`)");
    }
    if let Some(mistake) = &facts.bad_policy {
        return Verdict::Tell { reason: "bad_policy", text: mistake.clone() };
    }
    if facts.open == 0 && !facts.requested {
        return skip("answered", "everything that was said has been answered");
    }
    if facts.rounds >= i64::from(facts.limits.followups_per_day) && !facts.requested {
        let text = format!(
            "Reviews have started {} follow-ups here in 24 hours, which is the limit (`followups_per_day`). {go_on}.",
            facts.rounds
        );
        return Verdict::Tell { reason: "rounds", text };
    }
    let reason = "cost_limit";
    match (too_dear(facts.cost_last_day, &facts.limits), facts.afforded_again_at) {
        (None, _) => Verdict::Start,
        (Some(what), Some(until)) => {
            let text = format!("{what} What was said waits, and becomes a follow-up after {}.", next_minute(until));
            Verdict::Wait { reason, text, until }
        }
        (Some(what), None) => Verdict::Tell { reason, text: format!("{what} No follow-up starts until it is raised.") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: AccountId = AccountId(7);

    fn facts() -> FeedbackFacts {
        FeedbackFacts {
            requested: false,
            issue_open: true,
            pull_open: true,
            archived: false,
            mode: FollowUp::Auto,
            bad_policy: None,
            open: 1,
            rounds: 0,
            cost_last_day: 0.0,
            afforded_again_at: Some(1_774_000_000_001),
            limits: Limits::default(),
        }
    }

    // B22, B24
    #[test]
    fn a_main_users_review_is_acted_on_and_lone_comments_wait_for_each_other() {
        let review = Submitted { id: 1, wants_changes: true, says_something: true };
        let silent = Submitted { says_something: false, ..review };
        let approval = Submitted { wants_changes: false, ..review };
        for (review, comments, author, received) in [
            (review, 0, MAIN, "now"),
            (review, 1, MAIN, "now"),
            (silent, 15, MAIN, "now"),
            (silent, 1, MAIN, "quiet"),
            (silent, 0, MAIN, "quiet"),
            (approval, 3, MAIN, "verdict"),
            (review, 3, AccountId(8), "not_main_user"),
        ] {
            let word = match receive(&review, comments, author, &[MAIN]) {
                Received::Now => "now",
                Received::AfterQuiet => "quiet",
                Received::Ignored { reason, .. } => reason,
            };
            assert_eq!(word, received, "{review:?} with {comments} comments by {author}");
        }
    }

    // B22, B25
    #[test]
    fn feedback_becomes_a_follow_up_unless_a_rule_says_otherwise() {
        let rounds = i64::from(Limits::default().followups_per_day);
        for (facts, verdict) in [
            (facts(), "start"),
            (FeedbackFacts { pull_open: false, ..facts() }, "pull_closed"),
            (FeedbackFacts { issue_open: false, ..facts() }, "issue_closed"),
            (FeedbackFacts { archived: true, ..facts() }, "archived"),
            (FeedbackFacts { mode: FollowUp::Off, ..facts() }, "follow_up_off"),
            (FeedbackFacts { bad_policy: Some("line 1".into()), ..facts() }, "bad_policy"),
            (FeedbackFacts { open: 0, ..facts() }, "answered"),
            (FeedbackFacts { rounds: rounds - 1, ..facts() }, "start"),
            (FeedbackFacts { rounds, ..facts() }, "rounds"),
            (FeedbackFacts { cost_last_day: 100.0, ..facts() }, "wait: cost_limit"),
            (FeedbackFacts { cost_last_day: 100.0, afforded_again_at: None, ..facts() }, "cost_limit"),
            (FeedbackFacts { requested: true, open: 0, rounds, mode: FollowUp::Off, ..facts() }, "start"),
            (FeedbackFacts { requested: true, pull_open: false, ..facts() }, "told: pull_closed"),
            (FeedbackFacts { requested: true, cost_last_day: 100.0, ..facts() }, "wait: cost_limit"),
        ] {
            let word = match act(&facts) {
                Verdict::Start => "start".to_owned(),
                Verdict::Wait { reason, .. } => format!("wait: {reason}"),
                Verdict::Tell { reason, .. } if facts.requested => format!("told: {reason}"),
                Verdict::Skip { reason, .. } | Verdict::Tell { reason, .. } => reason.to_owned(),
            };
            assert_eq!(word, verdict, "{facts:?}");
        }
        let Verdict::Tell { text, .. } = act(&FeedbackFacts { rounds, ..facts() }) else { panic!("nothing is told") };
        insta::assert_snapshot!(text, @"Reviews have started 5 follow-ups here in 24 hours, which is the limit (`followups_per_day`). `/track followup <text>` goes on all the same.");
        let dear = FeedbackFacts { cost_last_day: 100.0, ..facts() };
        let Verdict::Wait { text, .. } = act(&dear) else { panic!("nothing is told") };
        insta::assert_snapshot!(text, @"The runs of the last 24 hours cost $100.00, and $100.00 a day is the limit (`cost_usd_per_day`). What was said waits, and becomes a follow-up after 2026-03-20 09:47 UTC.");
    }
}

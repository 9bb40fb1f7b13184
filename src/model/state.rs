//! The one state machine of every kind of ask, as a table of allowed moves, and how a run can end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::RunId;

/// An enum whose variants are stored and shown as fixed words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word under which it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($name::$variant),)+
                    other => Err(UnknownWord { what: stringify!($name), word: other.to_owned() }),
                }
            }
        }
    };
}
pub(super) use words;

/// A stored word that this version does not know: the row is damaged or comes from a newer version.
#[derive(Debug, thiserror::Error)]
#[error("{word:?} is no {what} known to this version")]
pub struct UnknownWord {
    pub(super) what: &'static str,
    pub(super) word: String,
}

words!(
    /// Where a run is.
    Status {
        /// Waits for a slot on a runner.
        Queued => "queued",
        /// The workspace is being made and the agent launched.
        Preparing => "preparing",
        /// The agent works.
        Running => "running",
        /// The result is pushed and reported.
        Publishing => "publishing",
        /// Over; nothing leads out of here.
        Done => "done",
    }
);

words!(
    /// How a run ended; kept apart from [`Status`] because every ending passes through publishing.
    Outcome {
        /// The agent finished what was asked, with or without changes.
        Succeeded => "succeeded",
        /// Agent or launcher broke.
        Failed => "failed",
        /// The agent says why it cannot go on.
        Blocked => "blocked",
        /// A person ended it.
        Canceled => "canceled",
        /// Wall clock or silence limit.
        TimedOut => "timed_out",
        /// The runner did not answer for too long.
        Lost => "lost",
    }
);

words!(
    /// Where a line of work is in its life.
    LineState {
        /// The next dispatch goes on with it.
        Open => "open",
        /// A fresh dispatch opened another one.
        Superseded => "superseded",
        /// Its pull request was merged.
        Merged => "merged",
        /// Its pull request was closed.
        Closed => "closed",
    }
);

words!(
    /// What the bot's mirror keeps of a run that is over (B81).
    Kept {
        /// Its result.
        Result => "runs",
        /// What lay in its workspace when that was removed, and was not its result.
        Left => "left",
    }
);

impl Kept {
    /// The reference under which the mirror has it.
    pub fn reference(self, run: RunId) -> String {
        format!("refs/track/{self}/{run}")
    }
}

words!(
    /// What a preparing run is doing (B05).
    Phase {
        /// Reaching the runner and looking at its tools.
        CheckingRunner => "checking_runner",
        /// Bringing the repository to the bot and to the runner.
        FetchingRepository => "fetching_repository",
        /// Making the clone in which the agent works.
        PreparingWorkspace => "preparing_workspace",
        /// Writing prompt and schema.
        UploadingPrompt => "uploading_prompt",
        /// Starting the agent.
        Launching => "launching",
    }
);

words!(
    /// The stated reason of an ending (P5); the sentence that people read is made from it by `report`.
    Reason {
        /// The agent delivered commits.
        Changes => "changes",
        /// The agent's review was handed over.
        Reviewed => "reviewed",
        /// The agent finished and left nothing to publish (B12a).
        NoChanges => "no_changes",
        /// The agent's answer says failed.
        AgentFailed => "agent_failed",
        /// The agent's answer says blocked.
        AgentBlocked => "agent_blocked",
        /// The program ended with an error before it answered.
        AgentCrashed => "agent_crashed",
        /// The model provider refused the login.
        AgentLogin => "agent_login",
        /// The model provider is overloaded or the quota is used up.
        AgentRateLimited => "agent_rate_limited",
        /// The model provider could not be reached or answered with an error.
        AgentApi => "agent_api",
        /// A limit on turns or cost was reached.
        AgentLimit => "agent_limit",
        /// No answer where the agent should have left one.
        NoAnswer => "no_answer",
        /// An answer that does not match the schema.
        BadAnswer => "bad_answer",
        /// The run reached its wall-clock limit.
        WallClock => "wall_clock",
        /// The agent printed nothing for too long.
        Silence => "silence",
        /// Somebody canceled the run.
        Canceled => "canceled",
        /// The supervisor died without a word: the machine rebooted or it was killed.
        SupervisorDied => "supervisor_died",
        /// The runner knows nothing of the run any more: its files were removed.
        RunForgotten => "run_forgotten",
        /// The runner could not be reached for too long.
        RunnerUnreachable => "runner_unreachable",
        /// The runner's host key is not the pinned one.
        HostKeyChanged => "host_key_changed",
        /// The runner lacks something that the run needs.
        RunnerSetup => "runner_setup",
        /// The runner's disk is full.
        RunnerDisk => "runner_disk",
        /// The workspace's place is taken by something that is not ours (B07).
        WorkspaceTaken => "workspace_taken",
        /// The commit to which a review is pinned cannot be had any more.
        CommitGone => "commit_gone",
        /// The repository cannot be worked on: empty, archived, base branch missing.
        RepositoryUnusable => "repository_unusable",
        /// The requester lost the right to ask before the run started.
        PermissionLost => "permission_lost",
        /// What came back does not descend from what was given.
        NotDescendant => "not_descendant",
        /// What came back breaks a path or size rule.
        ResultRefused => "result_refused",
        /// Somebody else moved the branch on GitHub while the agent worked.
        BranchMoved => "branch_moved",
        /// The pull request was closed while the agent worked, which is a person's decision.
        PullRequestClosed => "pull_request_closed",
        /// The pull request was merged while the agent worked, so that nothing can be added to it.
        PullRequestMerged => "pull_request_merged",
        /// GitHub refused the push.
        PushRefused => "push_refused",
        /// GitHub refused the pull request.
        PullRequestRefused => "pull_request_refused",
        /// Something broke in the bot itself.
        Internal => "internal",
    }
);

impl Status {
    /// Every move of a run's life, the same for task, follow-up and review.
    pub fn can_become(self, next: Status) -> bool {
        use Status::*;
        matches!(
            (self, next),
            // To publishing straight from the queue: canceled or refused before it began.
            (Queued, Preparing | Publishing)
                // Back to the queue: the runner is busy or unreachable, try later.
                | (Preparing, Queued | Running | Publishing)
                // Never back: an agent's work is not repeatable.
                | (Running, Publishing)
                // The only way to the end, so that every ending is reported.
                | (Publishing, Done)
        )
    }

    /// Whether a run in this state is live, that is, holds its lane.
    pub fn is_live(self) -> bool {
        self != Status::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_leads_to_done_and_nothing_leads_out_of_it() {
        for &from in Status::ALL {
            assert!(!Status::Done.can_become(from));
            let mut seen = vec![from];
            let mut at = 0;
            while at < seen.len() {
                for &next in Status::ALL {
                    if seen[at].can_become(next) && !seen.contains(&next) {
                        seen.push(next);
                    }
                }
                at += 1;
            }
            assert!(seen.contains(&Status::Done), "{from} never ends");
        }
    }

    #[test]
    fn words_read_back_as_what_they_were() {
        for &status in Status::ALL {
            assert_eq!(status.as_str().parse::<Status>().unwrap(), status);
        }
        for &reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>().unwrap(), reason);
        }
        assert!("paused".parse::<Status>().is_err());
    }
}

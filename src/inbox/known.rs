//! What a decision has to know, out of the tables and of what GitHub said.

use super::Trouble;
use super::apply::Scene;
use crate::agent::BUILT_IN;
use crate::context::Context;
use crate::db::runs::Run;
use crate::db::{self, Conn};
use crate::model::{Account, Millis, Status};
use crate::trigger::decide::{Facts, LastRun, LineFacts, LiveRun, ProfileFacts, PullFacts, ReviewFacts, dearest_until};
use crate::trigger::policy::{self, Policy};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// Runs of a thread that are looked at.
const HISTORY: i64 = 10;

/// What GitHub says, as far as rules depend on it.
pub(super) struct Said {
    /// Whether the issue or pull request is open.
    pub open: bool,
    /// Whether the repository is archived.
    pub archived: bool,
    /// `.github/track.yml`, or what is wrong with it.
    pub policy: Result<Policy, String>,
    /// The pull request on which it was said.
    pub pull: Option<PullFacts>,
}

/// The facts for a wish of this actor.
pub(super) async fn gather(
    conn: &mut Conn,
    context: &Context,
    scene: &Scene,
    (actor, said): (&Account, Said),
    now: Millis,
) -> Result<Facts, Trouble> {
    let config = &context.config;
    let (mut live, mut last, mut reviewed) = (Vec::new(), None, None);
    if let Some(thread) = scene.thread {
        let runs = db::runs::of_thread(&mut *conn, thread.id, HISTORY).await?;
        live = runs.iter().filter(|run| run.status != Status::Done).map(live_run).collect();
        let over = runs.iter().find(|run| run.status == Status::Done);
        let line = match over.and_then(|run| run.line) {
            Some(line) => Some(db::lines::get(&mut *conn, line).await?),
            None => None,
        };
        let line = line.map(|line| (line.state, line.pull));
        last = over.and_then(|run| {
            Some(LastRun { id: run.id, kind: run.kind, outcome: run.outcome?, attempt: run.attempt, line })
        });
        if let Some(pull) = &said.pull {
            reviewed = db::runs::newest_review(&mut *conn, thread.id, pull.number).await?.map(review_facts);
        }
    }
    let line = match &scene.line {
        Some(line) => {
            let newest = db::runs::of_line(&mut *conn, line.id, 1).await?.pop();
            Some(LineFacts {
                id: line.id,
                state: line.state,
                pull: line.pull,
                base: line.base_branch.clone(),
                agent: newest.map(|run| run.agent),
            })
        }
        None => None,
    };
    let limits = match &said.policy {
        Ok(policy) => policy::effective(&config.limits, policy),
        Err(_) => config.limits.clone(),
    };
    let costs = db::runs::costs_since(&mut *conn, now - DAY).await?;
    let agents = BUILT_IN.iter().map(|name| (*name).to_owned()).chain(config.agents.keys().cloned()).collect();
    let profiles = config
        .profiles
        .iter()
        .map(|(name, profile)| ProfileFacts {
            name: name.clone(),
            agent: profile.agent.clone(),
            model: profile.model.clone(),
            instructions: profile.instructions.clone(),
        })
        .collect();
    Ok(Facts {
        open: said.open,
        archived: said.archived,
        pull: said.pull,
        live,
        last,
        line,
        reviewed,
        policy: said.policy,
        agents,
        profiles,
        runners: context.runners.defaults(),
        default_agent: config.default_agent.clone(),
        asked_last_hour: db::runs::asked_since(&mut *conn, actor.id, now - HOUR).await?,
        asked_again_at: match limits.runs_per_user_hour {
            0 => None,
            n => db::runs::nth_asked_since(conn, actor.id, (n, now - HOUR)).await?.map(|at| at + HOUR + 1),
        },
        cost_last_day: costs.iter().map(|(_, cost)| cost).sum(),
        afforded_again_at: dearest_until(&costs, &limits).map(|at| at + DAY + 1),
        limits,
    })
}

pub(super) fn review_facts(run: Run) -> ReviewFacts {
    ReviewFacts {
        agent: run.agent,
        model: run.model,
        profile: run.profile,
        prompt: run.ask.pin.and_then(|pin| pin.prompt),
    }
}

pub(super) fn live_run(run: &Run) -> LiveRun {
    LiveRun {
        id: run.id,
        lane: run.lane,
        status: run.status,
        canceling: run.cancel_at.is_some(),
        out_of_sight: run.unreachable_since.is_some(),
    }
}

//! One wish on its way into the tables: the facts that the decision needs, and what comes of it, written in the transaction of its delivery.

use tracing::info;

use super::Trouble;
use super::apply::{Scene, about};
use super::cause::Cause;
use super::facts::GitHubFacts;
use super::feedback;
use super::known::{Said, gather};
use super::screen::Asked;
use crate::config::Limits;
use crate::context::Context;
use crate::db::decisions::Decision as Record;
use crate::db::reports::{NewReport, Payload};
use crate::db::runs::Ending;
use crate::db::threads::Thread;
use crate::db::triggers::Trigger;
use crate::db::{self, Conn};
use crate::model::{Ask, Kind, Millis, Outcome, Place, Reaction, Reason, Repository, RunId, Status};
use crate::report::wording;
use crate::run::discard::{Discarded, discard};
use crate::run::feedback as run_feedback;
use crate::run::start::{NewWork, start};
use crate::trigger::decide::{Decision, Facts, PullFacts, Question, Start, Wish, decide};
use crate::trigger::help;

/// Runs that `/track status` lists.
const HISTORY: i64 = 10;
/// Decisions that `/track why` lists; a run has a handful of them.
const DECISIONS: i64 = 20;

/// One wish on its way into the tables.
pub(super) struct Act<'a> {
    pub context: &'a Context,
    pub cause: Cause<'a>,
    pub repository: &'a Repository,
    pub asked: &'a Asked,
    /// The review in which it stands.
    pub review: Option<&'a feedback::Kept>,
    pub github: &'a GitHubFacts,
    pub wish: &'a Wish,
    pub key: &'a str,
    pub positions: &'a [RunId],
    pub now: Millis,
}

impl Act<'_> {
    /// Decides about the wish and writes what comes of it; answers the runs whose tasks are to look again.
    pub(super) async fn perform(&self, tx: &mut Conn, scene: &Scene) -> Result<Vec<RunId>, Trouble> {
        if db::triggers::exists(&mut *tx, self.key).await? {
            self.record(&mut *tx, scene, None, ("ignored", "repeated", "this was asked for and decided before".into()))
                .await?;
            return Ok(Vec::new());
        }
        let facts = self.facts(&mut *tx, scene).await?;
        let decision = decide(self.wish, &facts);
        info!("{} by {}: {}", self.wish.verb(), self.asked.actor.login, word(&decision));
        let mut thread = scene.thread;
        let (mut rings, mut taken_along, mut waits) = (Vec::new(), None, None);
        let (run, verdict, reason, detail) = match decision {
            Decision::Start(wanted) => {
                let found = db::threads::ensure(&mut *tx, self.repository.id, scene.subject, self.now).await?;
                thread = Some(found);
                let work = self.new_work(found, &wanted, facts.limits);
                if let (Some(line), Kind::FollowUp, false) = (&scene.line, wanted.kind, wanted.fresh) {
                    // What reviewers said is in the follow-up that a person asks for, too.
                    let named = run_feedback::named(&wanted.instructions);
                    let mut waiting = db::triggers::waiting_for(&mut *tx, line.id).await?;
                    waiting.retain(|said| named.is_empty() || named.contains(&said.actor.login.to_ascii_lowercase()));
                    taken_along = Some((line.clone(), waiting));
                }
                if let Some(run) = wanted.abandons {
                    self.abandon(&mut *tx, run).await?;
                    rings.push(run);
                }
                match start(&mut *tx, &work, self.now).await? {
                    Some(run) => (Some(run), "accepted", "queued", format!("run {run} is queued for {}", wanted.agent)),
                    None => return Err(anyhow::anyhow!("the lane was taken between decision and start").into()),
                }
            }
            Decision::Retry { of, attempt } => {
                let earlier = db::runs::get(&mut *tx, of).await?;
                let again = NewWork::again(&mut *tx, &earlier, self.asked.actor.clone(), self.now).await?;
                // The App may have been installed since.
                let ask = Ask { unposted: self.repository.installation.is_none(), ..again.ask.clone() };
                let work = NewWork { ask, limits: facts.limits, ..again };
                match start(&mut *tx, &work, self.now).await? {
                    Some(run) => (Some(run), "accepted", "retried", format!("run {run} is attempt {attempt} of {of}")),
                    None => return Err(anyhow::anyhow!("the lane was taken between decision and start").into()),
                }
            }
            Decision::Cancel { runs } => {
                for run in &runs {
                    db::runs::request_cancel(&mut *tx, *run, &self.asked.actor.login, self.now).await?;
                    db::reports::touch_status(&mut *tx, *run, self.now).await?;
                }
                let named: Vec<String> = runs.iter().map(RunId::to_string).collect();
                rings.extend(&runs);
                (runs.first().copied(), "accepted", "canceled", format!("to end: {}", named.join(", ")))
            }
            Decision::Pause { line, paused, text } => {
                db::lines::set_paused(&mut *tx, line, paused).await?;
                if !paused && !db::triggers::waiting_for(&mut *tx, line).await?.is_empty() {
                    db::lines::set_follow_up_at(&mut *tx, line, Some(self.now)).await?;
                }
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", if paused { "paused" } else { "resumed" }, text)
            }
            Decision::Keep { line, instructions, text } => {
                waits = Some((line, Some(instructions), self.now));
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", "kept", text)
            }
            Decision::Discard => {
                let text = self.discard(&mut *tx, scene).await?;
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", "discarded", text)
            }
            Decision::Answer(question) => {
                let text = self.answer_to(&mut *tx, scene, question).await?;
                self.owe(&mut *tx, "reply", Payload::Reply { text }).await?;
                (None, "accepted", "answered", format!("{} was answered", self.wish.verb()))
            }
            Decision::NotYet { reason, mut text, again_at } => {
                // The command is refused, and what the review says besides is still open (B23).
                if let Some(review) = self.review.filter(|review| !review.alone()) {
                    text.push_str(" What else this review says is kept for the next follow-up.");
                    waits = review.counts().then_some((review.line, None, again_at));
                }
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "refused", reason, text)
            }
            Decision::Refuse { reason, text } => {
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "refused", reason, text)
            }
        };
        self.react(&mut *tx, if verdict == "refused" { Reaction::Confused } else { Reaction::Eyes }).await?;
        if let Some(label) = &self.asked.label {
            // Taken off when it is obeyed or refused, so that putting it on again asks again.
            self.owe(&mut *tx, "unlabel", Payload::Unlabel { label: label.clone() }).await?;
        }
        let consumes = run.filter(|_| reason != "canceled");
        let trigger = Trigger {
            key: self.key.to_owned(),
            delivery: self.cause.id().to_owned(),
            repository: self.repository.id,
            number: self.asked.number,
            thread: thread.map(|thread| thread.id),
            place: self.asked.place,
            verb: self.wish.verb().to_owned(),
            actor: self.asked.actor.clone(),
            run: consumes,
            request: waits.as_ref().and_then(|(_, instructions, _)| instructions.clone()),
            created_at: self.now,
        };
        db::triggers::insert(&mut *tx, &trigger).await?;
        if let Some((line, _, at)) = waits {
            db::triggers::set_waiting(&mut *tx, self.key, line).await?;
            let sooner = db::lines::get(&mut *tx, line).await?.follow_up_at.filter(|due| *due < at);
            db::lines::set_follow_up_at(&mut *tx, line, Some(sooner.unwrap_or(at))).await?;
        }
        if let (Some((line, waiting)), Some(_)) = (taken_along, run) {
            let detail = format!("the follow-up that {} asked for takes it along", self.asked.actor.login);
            feedback::settle(&mut *tx, &line, &waiting, (run, ("accepted", "follow_up", &detail)), self.now).await?;
        }
        self.record(tx, scene, run, (verdict, reason, detail)).await?;
        Ok(rings)
    }

    /// Gives a run up whose runner does not answer: what its agent does until it is ended, as soon as the runner is back, is not published (B44).
    async fn abandon(&self, tx: &mut Conn, id: RunId) -> Result<(), Trouble> {
        let run = db::runs::get(&mut *tx, id).await?;
        let detail = format!(
            "{} began anew without it; its agent may still be working on runner {} until that answers",
            self.asked.actor.login,
            run.runner.as_deref().unwrap_or("that it was given")
        );
        let ending = Ending { outcome: Outcome::Lost, reason: Reason::RunnerUnreachable, detail };
        if run.status == Status::Publishing {
            db::runs::set_ending(&mut *tx, id, &ending).await?;
        } else {
            db::runs::end(&mut *tx, id, run.status, &ending, self.now).await?;
        }
        db::runs::advance(&mut *tx, id, Status::Publishing, Status::Done, self.now).await?;
        let thread = db::threads::get(&mut *tx, run.thread).await?;
        let record = Record::of_run(&thread, id, "lost", format!("run {id} is given up: {}", ending.detail));
        db::decisions::insert(&mut *tx, &record, self.now).await?;
        db::runs::set_unsettled(&mut *tx, id, true).await?;
        Ok(db::reports::hurry_status(tx, id).await?)
    }

    /// Forgets the runs that are over; their files go as soon as their runners answer (B41).
    async fn discard(&self, tx: &mut Conn, scene: &Scene) -> Result<String, Trouble> {
        let Some(thread) = scene.thread else { return Err(anyhow::anyhow!("a thread with runs exists").into()) };
        match discard(tx, thread.id, self.now).await? {
            Discarded::Done { runs, runners } => Ok(wording::discarded(runs, runners)),
            Discarded::Live(..) => Err(anyhow::anyhow!("a run began between decision and discarding").into()),
        }
    }

    async fn facts(&self, tx: &mut Conn, scene: &Scene) -> Result<Facts, Trouble> {
        let pull = self.github.pull.as_ref().filter(|_| self.asked.on_pull).map(|pull| PullFacts {
            number: pull.number,
            ours: scene.on_ours,
            open: pull.is_open(),
            merged: pull.is_merged(),
            head: pull.head.sha.clone(),
            base: pull.base.r#ref.clone(),
        });
        let GitHubFacts { open, archived, policy, .. } = self.github;
        let said = Said { open: *open, archived: *archived, policy: policy.clone(), pull };
        gather(tx, self.context, scene, (&self.asked.actor, said), self.now).await
    }

    fn new_work(&self, thread: Thread, wanted: &Start, limits: Limits) -> NewWork {
        // Words come from the delivery where it carries them; on one of our pull requests the task is the issue's. A review is about the
        // pull request on which it is asked for.
        let same = self.asked.number == thread.number || wanted.kind == Kind::Review;
        let (title, body, author) = if same {
            let author = self.asked.issue.author.as_ref().map(|author| author.account.login.clone());
            (self.asked.issue.title.clone(), self.asked.issue.body.clone(), author)
        } else {
            (self.github.title.clone(), self.github.body.clone(), self.github.author.clone())
        };
        NewWork {
            thread,
            ask: Ask {
                kind: wanted.kind,
                title,
                body,
                author: author.unwrap_or_default(),
                instructions: wanted.instructions.clone(),
                base: wanted.base.clone(),
                fresh: wanted.fresh,
                requester: self.asked.actor.clone(),
                told_on: match wanted.kind {
                    Kind::Task => None,
                    Kind::FollowUp | Kind::Review => Some(self.asked.number),
                },
                pin: wanted.pin.clone(),
                unposted: self.repository.installation.is_none(),
            },
            retry_of: None,
            line: wanted.line,
            agent: wanted.agent.clone(),
            chosen_by: wanted.chosen_by.as_str().to_owned(),
            model: wanted.model.clone(),
            profile: wanted.profile.clone(),
            runner: wanted.runner.clone(),
            limits,
            allowed_at: self.now,
            automatic: false,
        }
    }

    async fn answer_to(&self, tx: &mut Conn, scene: &Scene, question: Question) -> Result<String, Trouble> {
        Ok(match question {
            Question::Help => help::markdown(&self.context.config.label),
            Question::Why => {
                let number = scene.subject;
                wording::why(&db::decisions::newest_asked(tx, self.repository.id, number, DECISIONS).await?)
            }
            Question::Status => {
                let runs = match scene.thread {
                    Some(thread) => db::runs::of_thread(tx, thread.id, HISTORY).await?,
                    None => Vec::new(),
                };
                wording::history(&runs, &|run| self.positions.iter().position(|id| *id == run.id).map(|n| n + 1))
            }
        })
    }

    async fn react(&self, tx: &mut Conn, content: Reaction) -> Result<(), Trouble> {
        if !self.asked.place.takes_reactions() {
            return Ok(());
        }
        let payload = Payload::Reaction { place: self.asked.place, content };
        self.owe(tx, "reaction", payload).await
    }

    async fn owe(&self, tx: &mut Conn, what: &str, payload: Payload) -> Result<(), Trouble> {
        if self.asked.place == Place::Nowhere {
            // Whoever asked is told there, from the decision's record.
            return Ok(());
        }
        let report = NewReport {
            key: format!("{what}:{}", self.key),
            repository: self.repository.id,
            number: self.asked.number,
            run: None,
            payload,
        };
        Ok(db::reports::owe(tx, &report, self.now).await?)
    }

    async fn record(
        &self,
        tx: &mut Conn,
        scene: &Scene,
        run: Option<RunId>,
        (verdict, reason, detail): (&'static str, &str, String),
    ) -> Result<(), Trouble> {
        let record = Record {
            delivery: Some(self.cause.id().to_owned()),
            repository: Some(self.repository.id),
            number: Some(scene.subject),
            trigger: Some(self.key.to_owned()),
            run,
            actor: Some(self.asked.actor.login.clone()),
            verdict,
            reason: reason.to_owned(),
            detail,
            about: about(scene, self.asked, self.github.pull.as_ref()),
        };
        Ok(db::decisions::insert(tx, &record, self.now).await?)
    }
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Start(_) => "a run is queued",
        Decision::Retry { .. } => "the last run is attempted again",
        Decision::Cancel { .. } => "what is live is to end",
        Decision::Pause { paused: true, .. } => "automatic follow-ups are paused",
        Decision::Pause { paused: false, .. } => "automatic follow-ups are resumed",
        Decision::Keep { .. } => "it is kept until the live run is over",
        Decision::Discard => "the history is discarded",
        Decision::Answer(_) => "answered",
        Decision::Refuse { reason, .. } | Decision::NotYet { reason, .. } => reason,
    }
}

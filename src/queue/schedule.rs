//! Which queued run gets which slot: pure, first come first served, within the limits, on the least loaded runner.

use crate::model::{Millis, RepositoryId, RunId};
use crate::runner::pool::Slots;

/// A queued run, as far as its turn depends on it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Which.
    pub id: RunId,
    /// Its repository.
    pub repository: RepositoryId,
    /// The runner that it must go to: named by the request, or where its agent may be already.
    pub runner: Option<String>,
    /// It was given to that runner before, so that its agent may be there already.
    pub is_there: bool,
    /// The runner that it would rather go to, as long as that answers: the workspace and the session are there.
    pub prefers: Option<String>,
    /// Not before this time.
    pub not_before: Millis,
    /// Runs at once in its repository, as far as server and repository allow.
    pub per_repository: u32,
}

/// A run that holds a slot.
#[derive(Clone, Debug)]
pub struct Busy {
    /// Its repository.
    pub repository: RepositoryId,
    /// The runner on which it is.
    pub runner: String,
}

/// What becomes of a queued run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It gets a slot on this runner.
    Start(String),
    /// It waits, for this reason.
    Wait(String),
}

/// Decides about every queued run; `waiting` is in the order of asking, and `most` runs are at once over all runners.
pub fn schedule(waiting: &[Waiting], busy: &[Busy], runners: &[Slots], most: u32, now: Millis) -> Vec<(RunId, Turn)> {
    let mut busy = busy.to_vec();
    let mut turns = Vec::with_capacity(waiting.len());
    for run in waiting {
        let turn = turn_of(run, &busy, runners, most, now);
        if let Turn::Start(runner) = &turn {
            busy.push(Busy { repository: run.repository, runner: runner.clone() });
        }
        turns.push((run.id, turn));
    }
    turns
}

fn turn_of(run: &Waiting, busy: &[Busy], runners: &[Slots], most: u32, now: Millis) -> Turn {
    let wait = |why: String| Turn::Wait(why);
    if run.not_before > now {
        return wait("the last attempt to prepare it failed; the next one follows shortly".into());
    }
    if busy.len() >= most as usize {
        return wait(format!("{}, which is the limit (`runs`)", live(busy.len())));
    }
    let in_repository = busy.iter().filter(|other| other.repository == run.repository).count();
    if in_repository >= run.per_repository as usize {
        return wait(format!("{} in this repository, which is the limit (`runs_per_repository`)", live(in_repository)));
    }
    if runners.is_empty() {
        return wait("no runner is configured; `track runner add` adds one".into());
    }
    let eligible: Vec<&Slots> =
        runners.iter().filter(|runner| run.runner.as_ref().is_none_or(|wanted| *wanted == runner.name)).collect();
    if let Some(wanted) = run.runner.as_ref().filter(|_| eligible.is_empty()) {
        return wait(format!("its runner {wanted} is not configured any more"));
    }
    let takes = |runner: &&Slots| run.is_there || !runner.draining;
    if !eligible.iter().any(takes) {
        return wait(match run.runner.as_ref() {
            Some(wanted) => {
                format!("its runner {wanted} is drained, and `track runner undrain {wanted}` has it take runs again")
            }
            None => "every runner is drained; `track runner undrain` has one take runs again".into(),
        });
    }
    let eligible: Vec<&Slots> = eligible.into_iter().filter(takes).collect();
    if !eligible.iter().any(|runner| runner.in_service) {
        return wait("its runner is out of service; `track runner check` says why".into());
    }
    let answers = |runner: &Slots| runner.in_service && runner.silent_until.is_none_or(|until| until <= now);
    if !eligible.iter().any(|runner| answers(runner)) {
        if let Some(refuses) = eligible.iter().find(|runner| runner.in_service && runner.refuses_login) {
            return wait(format!(
                "runner {0} refuses the bot's login: put the line that `track runner check {0}` prints into `authorized_keys` there; it is asked again shortly",
                refuses.name
            ));
        }
        return wait("its runner does not answer; it is asked again shortly".into());
    }
    let preferred: Vec<&Slots> = eligible
        .iter()
        .filter(|runner| answers(runner) && run.prefers.as_ref() == Some(&runner.name))
        .copied()
        .collect();
    let eligible = if preferred.is_empty() { eligible } else { preferred };
    let load = |name: &str| busy.iter().filter(|other| other.runner == name).count();
    eligible
        .into_iter()
        .filter(|runner| answers(runner) && load(&runner.name) < runner.total as usize)
        .min_by(|a, b| {
            // Compared crosswise, so that a runner with two of eight slots taken goes before one with one of two.
            let left = load(&a.name) as u64 * u64::from(b.total);
            let right = load(&b.name) as u64 * u64::from(a.total);
            left.cmp(&right).then_with(|| a.name.cmp(&b.name))
        })
        .map_or_else(|| wait("every slot is taken".into()), |runner| Turn::Start(runner.name.clone()))
}

fn live(runs: usize) -> String {
    if runs == 1 { "1 run is live".to_owned() } else { format!("{runs} runs are live") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(repository: i64, runner: Option<&str>) -> Waiting {
        Waiting {
            id: RunId::new(),
            repository: RepositoryId(repository),
            runner: runner.map(str::to_owned),
            is_there: false,
            prefers: None,
            not_before: 0,
            per_repository: 2,
        }
    }

    fn slots(name: &str, total: u32) -> Slots {
        Slots { name: name.into(), total, in_service: true, silent_until: None, refuses_login: false, draining: false }
    }

    fn turns(waiting: &[Waiting], busy: &[Busy], runners: &[Slots]) -> Vec<Turn> {
        schedule(waiting, busy, runners, 16, 1).into_iter().map(|(_, turn)| turn).collect()
    }

    #[test]
    fn runs_spread_over_runners_by_load() {
        let queue = [waiting(1, None), waiting(2, None), waiting(3, None)];
        assert_eq!(
            turns(&queue, &[], &[slots("a", 1), slots("b", 2)]),
            [Turn::Start("a".into()), Turn::Start("b".into()), Turn::Start("b".into())]
        );
    }

    #[test]
    fn a_full_repository_does_not_hold_up_another() {
        // B73
        let queue = [waiting(1, None), waiting(1, None), waiting(1, None), waiting(2, None)];
        let turns = turns(&queue, &[], &[slots("a", 8)]);
        assert!(matches!(&turns[2], Turn::Wait(why) if why.contains("runs_per_repository")), "{turns:?}");
        assert_eq!(turns[3], Turn::Start("a".into()));
    }

    #[test]
    fn a_runner_that_does_not_answer_attracts_nobody_until_it_is_asked_again() {
        let silent = |until| Slots { silent_until: Some(until), ..slots("a", 8) };
        let one = [waiting(1, None)];
        assert_eq!(turns(&one, &[], &[silent(2), slots("b", 1)]), [Turn::Start("b".into())]);
        assert_eq!(turns(&one, &[], &[silent(1)]), [Turn::Start("a".into())]);
        assert!(matches!(&turns(&one, &[], &[silent(2)])[0], Turn::Wait(why) if why.contains("does not answer")));
    }

    #[test]
    fn work_that_goes_on_waits_for_its_runner_unless_that_is_away() {
        let one = [Waiting { prefers: Some("b".into()), ..waiting(1, None) }];
        let full = [Busy { repository: RepositoryId(9), runner: "b".into() }];
        assert_eq!(turns(&one, &[], &[slots("a", 8), slots("b", 1)]), [Turn::Start("b".into())]);
        assert!(matches!(&turns(&one, &full, &[slots("a", 8), slots("b", 1)])[0], Turn::Wait(_)));
        let away = Slots { silent_until: Some(9), ..slots("b", 1) };
        assert_eq!(turns(&one, &[], &[slots("a", 8), away]), [Turn::Start("a".into())]);
    }

    #[test]
    fn a_drained_runner_gets_nothing_new_and_keeps_what_it_has() {
        let drained = |name| Slots { draining: true, ..slots(name, 8) };
        assert_eq!(
            turns(&[waiting(1, None)], &[], &[drained("a"), slots("b", 1)]),
            [Turn::Start("b".into())],
            "another takes it"
        );
        let follows = Waiting { prefers: Some("a".into()), ..waiting(1, None) };
        assert_eq!(turns(&[follows], &[], &[drained("a"), slots("b", 1)]), [Turn::Start("b".into())]);
        let there = Waiting { is_there: true, ..waiting(1, Some("a")) };
        assert_eq!(turns(&[there], &[], &[drained("a")]), [Turn::Start("a".into())], "its agent may be there");
        for (run, says) in
            [(waiting(1, Some("a")), "`track runner undrain a`"), (waiting(1, None), "every runner is drained")]
        {
            assert!(matches!(&turns(&[run], &[], &[drained("a")])[0], Turn::Wait(why) if why.contains(says)), "{says}");
        }
    }

    #[test]
    fn each_reason_to_wait_is_said() {
        let reason = |run: Waiting, busy: &[Busy], runners: &[Slots]| match &turns(&[run], busy, runners)[..] {
            [Turn::Wait(why)] => why.clone(),
            other => panic!("{other:?}"),
        };
        let taken = Busy { repository: RepositoryId(9), runner: "a".into() };
        assert!(reason(waiting(1, None), &[], &[]).contains("track runner add"));
        assert!(reason(waiting(1, Some("z")), &[], &[slots("a", 1)]).contains("not configured any more"));
        assert!(reason(waiting(1, None), &[taken], &[slots("a", 1)]).contains("every slot is taken"));
        let out = Slots { in_service: false, ..slots("a", 1) };
        assert!(reason(waiting(1, None), &[], &[out]).contains("out of service"));
        let locked = Slots { silent_until: Some(9), refuses_login: true, ..slots("a", 1) };
        let away = Slots { silent_until: Some(9), ..slots("b", 1) };
        assert!(reason(waiting(1, None), &[], &[away, locked]).contains("`track runner check a`"));
        let later = Waiting { not_before: 2, ..waiting(1, None) };
        assert!(reason(later, &[], &[slots("a", 1)]).contains("follows shortly"));
    }
}

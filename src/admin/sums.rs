//! Sums over runs (B71): how many, how they ended, how long people waited for a pull request, what it cost.

use std::collections::BTreeMap;

use crate::db::usage::Spent;
use crate::model::{Millis, Outcome};

/// A day of all charts and sums, which are in UTC.
pub const DAY: Millis = 24 * 60 * 60 * 1_000;

/// What some runs come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many there are, whatever became of them.
    pub runs: u64,
    /// Not over yet.
    pub live: u64,
    /// Ended as they should.
    pub succeeded: u64,
    /// Ended otherwise: failed, timed out, lost.
    pub failed: u64,
    /// The agent could not go on without a person.
    pub blocked: u64,
    /// A person ended them.
    pub canceled: u64,
    /// How long agents worked.
    pub agent_time: Millis,
    /// Tokens read, cached ones included.
    pub tokens_in: i64,
    /// Of those, tokens that came from the provider's cache.
    pub tokens_cached: i64,
    /// Tokens written.
    pub tokens_out: i64,
    /// In millionths of a US dollar, of the runs whose agents say it.
    pub cost: i64,
    /// How many say it.
    pub priced: u64,
    /// From request to pull request, shortest first, of the tasks that brought one.
    to_pull: Vec<Millis>,
}

impl Sums {
    /// Of some runs.
    pub fn of<'a>(spent: impl IntoIterator<Item = &'a Spent>) -> Self {
        let mut sums = Self::default();
        spent.into_iter().for_each(|run| sums.add(run));
        sums.to_pull.sort_unstable();
        sums
    }

    /// The share of runs that succeeded, of those that are over and that nobody ended.
    pub fn success_rate(&self) -> Option<f64> {
        let judged = self.succeeded + self.failed + self.blocked;
        (judged > 0).then(|| self.succeeded as f64 / judged as f64)
    }

    /// The time to a pull request that half of the tasks did not exceed.
    pub fn to_pull_median(&self) -> Option<Millis> {
        self.to_pull_within(1, 2)
    }

    /// The time to a pull request that nine of ten tasks did not exceed.
    pub fn to_pull_p90(&self) -> Option<Millis> {
        self.to_pull_within(9, 10)
    }

    /// The cost, if any agent says it.
    pub fn cost(&self) -> Option<i64> {
        (self.priced > 0).then_some(self.cost)
    }

    /// Whether any agent says how many tokens it used.
    pub fn has_tokens(&self) -> bool {
        self.tokens_in != 0 || self.tokens_out != 0
    }

    fn to_pull_within(&self, share: usize, of: usize) -> Option<Millis> {
        let rank = (self.to_pull.len() * share).div_ceil(of);
        self.to_pull.get(rank.checked_sub(1)?).copied()
    }

    fn add(&mut self, run: &Spent) {
        self.runs += 1;
        *match run.outcome {
            None => &mut self.live,
            Some(Outcome::Succeeded) => &mut self.succeeded,
            Some(Outcome::Failed | Outcome::TimedOut | Outcome::Lost) => &mut self.failed,
            Some(Outcome::Blocked) => &mut self.blocked,
            Some(Outcome::Canceled) => &mut self.canceled,
        } += 1;
        // What agents report may be any number, and clocks go backwards.
        self.agent_time = self.agent_time.saturating_add(run.agent_time.unwrap_or(0).max(0));
        self.tokens_in = self.tokens_in.saturating_add(run.tokens_in);
        self.tokens_cached = self.tokens_cached.saturating_add(run.tokens_cached);
        self.tokens_out = self.tokens_out.saturating_add(run.tokens_out);
        self.cost = self.cost.saturating_add(run.cost.unwrap_or(0));
        self.priced += u64::from(run.cost.is_some());
        self.to_pull.extend(run.to_pull.map(|time| time.max(0)));
    }
}

/// The sums of runs that have something in common, in the order of what that is.
pub fn grouped<'a, K: Ord>(spent: &'a [Spent], key: impl Fn(&'a Spent) -> K) -> Vec<(K, Sums)> {
    let mut groups: BTreeMap<K, Vec<&Spent>> = BTreeMap::new();
    for run in spent {
        groups.entry(key(run)).or_default().push(run);
    }
    groups.into_iter().map(|(key, runs)| (key, Sums::of(runs))).collect()
}

/// The sums of each day of a period, those without a run included; days are named by their beginning.
pub fn by_day(spent: &[Spent], (from, until): (Millis, Millis)) -> Vec<(Millis, Sums)> {
    let begin = |at: Millis| at.div_euclid(DAY) * DAY;
    let mut found: BTreeMap<Millis, Sums> = grouped(spent, |run| begin(run.queued_at)).into_iter().collect();
    let mut days = Vec::new();
    let mut day = begin(from);
    while day < until {
        days.push((day, found.remove(&day).unwrap_or_default()));
        day += DAY;
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, RepositoryId};

    fn run(queued_at: Millis, agent: &str, outcome: Option<Outcome>, to_pull: Option<Millis>) -> Spent {
        Spent {
            queued_at,
            repository: RepositoryId(1),
            requester: AccountId(2),
            agent: agent.to_owned(),
            outcome,
            agent_time: outcome.map(|_| 60_000),
            to_pull,
            tokens_in: 100,
            tokens_cached: 40,
            tokens_out: 10,
            cost: (agent == "claude").then_some(250_000),
        }
    }

    #[test]
    fn a_rate_is_of_those_that_were_left_to_end() {
        use Outcome::*;
        let ended = [Some(Succeeded), Some(Succeeded), Some(Succeeded), Some(TimedOut), Some(Canceled), None];
        let runs: Vec<Spent> = ended.map(|outcome| run(0, "codex", outcome, None)).to_vec();
        let sums = Sums::of(&runs);
        assert_eq!((sums.runs, sums.live, sums.succeeded, sums.failed, sums.canceled), (6, 1, 3, 1, 1));
        assert_eq!(sums.success_rate(), Some(0.75));
        assert_eq!((sums.agent_time, sums.tokens_in, sums.cost()), (300_000, 600, None));
        assert_eq!(Sums::default().success_rate(), None);
    }

    #[test]
    fn median_and_p90_are_times_that_somebody_waited() {
        let times = |times: &[Millis]| {
            let runs: Vec<Spent> =
                times.iter().map(|time| run(0, "claude", Some(Outcome::Succeeded), Some(*time))).collect();
            let sums = Sums::of(&runs);
            (sums.to_pull_median(), sums.to_pull_p90())
        };
        assert_eq!(times(&[]), (None, None));
        assert_eq!(times(&[7]), (Some(7), Some(7)));
        assert_eq!(times(&[9, 1, 5]), (Some(5), Some(9)));
        assert_eq!(times(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]), (Some(5), Some(9)));
    }

    #[test]
    fn numbers_of_any_size_add_up_to_something() {
        let mut large = run(0, "claude", Some(Outcome::Succeeded), Some(-5));
        (large.tokens_in, large.cost, large.agent_time) = (i64::MAX, Some(i64::MAX), Some(-1));
        let sums = Sums::of(&[large.clone(), large]);
        assert_eq!((sums.tokens_in, sums.cost(), sums.agent_time), (i64::MAX, Some(i64::MAX), 0));
        assert_eq!(sums.to_pull_median(), Some(0));
    }

    #[test]
    fn days_without_runs_are_days() {
        let runs = [run(DAY + 5, "codex", None, None), run(3 * DAY, "claude", None, None)];
        let days: Vec<(Millis, u64)> =
            by_day(&runs, (DAY, 4 * DAY)).iter().map(|(day, sums)| (*day / DAY, sums.runs)).collect();
        assert_eq!(days, [(1, 1), (2, 0), (3, 1)]);
        let agents: Vec<(&str, u64)> =
            grouped(&runs, |run| run.agent.as_str()).iter().map(|(agent, sums)| (*agent, sums.runs)).collect();
        assert_eq!(agents, [("claude", 1), ("codex", 1)]);
    }
}

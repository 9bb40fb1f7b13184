//! How often the bot may write to GitHub, per installation.
//!
//! GitHub answers more than 80 content-creating requests a minute or 500 an hour with its secondary rate limit
//! (docs.github.com, "Rate limits for the REST API"); these numbers stay below, and progress leaves half of the hour to what matters.

use std::collections::VecDeque;

use crate::model::Millis;

const BURST: f64 = 10.0;
const PER_SECOND: f64 = 1.0;
const PER_MINUTE: usize = 60;
const PER_HOUR: usize = 400;
const MINUTE: Millis = 60_000;
const HOUR: Millis = 3_600_000;

/// The writes of one installation.
#[derive(Debug)]
pub struct Budget {
    tokens: f64,
    filled_at: Millis,
    sent: VecDeque<Millis>,
}

impl Budget {
    /// A full bucket.
    pub fn new(now: Millis) -> Self {
        Self { tokens: BURST, filled_at: now, sent: VecDeque::new() }
    }

    /// Takes one write, or says when to ask again. `progress` is served from the first half of the hour's budget only.
    pub fn take(&mut self, now: Millis, progress: bool) -> Result<(), Millis> {
        self.open(now, progress)?;
        self.tokens -= 1.0;
        self.sent.push_back(now);
        Ok(())
    }

    /// Whether [`Budget::take`] would give one, else when to ask again.
    pub fn open(&mut self, now: Millis, progress: bool) -> Result<(), Millis> {
        // A clock that was set back must not stop the bot for long: times in the future count as now.
        let passed = (now - self.filled_at).max(0);
        self.tokens = (self.tokens + passed as f64 / 1000.0 * PER_SECOND).min(BURST);
        self.filled_at = now;
        while self.sent.front().is_some_and(|at| *at <= now - HOUR || *at > now + MINUTE) {
            self.sent.pop_front();
        }
        let hour_limit = if progress { PER_HOUR / 2 } else { PER_HOUR };
        if self.sent.len() >= hour_limit {
            return Err(self.sent[self.sent.len() - hour_limit] + HOUR + 1);
        }
        if self.sent.len() >= PER_MINUTE {
            let nth_last = self.sent[self.sent.len() - PER_MINUTE];
            if nth_last > now - MINUTE {
                return Err(nth_last + MINUTE + 1);
            }
        }
        if self.tokens < 1.0 {
            return Err(now + (((1.0 - self.tokens) / PER_SECOND) * 1000.0).ceil() as Millis);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(budget: &mut Budget, mut now: Millis, until: Millis, progress: bool) -> Vec<Millis> {
        let mut sent = Vec::new();
        while now < until {
            match budget.take(now, progress) {
                Ok(()) => sent.push(now),
                Err(at) => {
                    assert!(at > now, "waiting must lead somewhere");
                    now = at;
                }
            }
        }
        sent
    }

    #[test]
    fn no_window_holds_more_than_its_limit() {
        // F10
        let sent = drain(&mut Budget::new(0), 0, 2 * HOUR, false);
        let most = |window: Millis| {
            sent.iter().map(|&from| sent.iter().filter(|&&at| at >= from && at < from + window).count()).max().unwrap()
        };
        assert!(most(1000) <= 11);
        assert_eq!(most(MINUTE), PER_MINUTE);
        assert_eq!(most(HOUR), PER_HOUR);
        assert_eq!(sent.iter().filter(|&&at| at < 500).count(), 10);
    }

    #[test]
    fn progress_leaves_half_an_hour_budget_to_final_words() {
        let mut budget = Budget::new(0);
        assert_eq!(drain(&mut budget, 0, HOUR / 2, true).len(), PER_HOUR / 2);
        assert!(budget.take(HOUR / 2, true).is_err());
        assert!(budget.take(HOUR / 2, false).is_ok());
    }
}

//! What a running bot found last, in memory: nothing depends on it but what people are shown.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::facts::{Around, Check, Look};

/// What was found last, and what is being looked at.
pub struct Kept {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    around: Option<Around>,
    looking_around: bool,
    looks: BTreeMap<String, Look>,
    /// Runners that are being looked at, with the lines that came so far.
    underway: BTreeMap<String, Vec<Check>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Kept {
    /// What was found last around the bot.
    pub fn around(&self) -> Option<Around> {
        self.lock().around.clone()
    }

    /// Whether somebody looks around the bot now.
    pub fn is_looking_around(&self) -> bool {
        self.lock().looking_around
    }

    /// Begins to look around the bot; `None` if somebody else does.
    pub(super) fn begin_around(&self) -> Option<LookingAround<'_>> {
        if std::mem::replace(&mut self.lock().looking_around, true) {
            return None;
        }
        self.tell();
        Some(LookingAround(self))
    }

    /// What was found last on a runner.
    pub fn look(&self, runner: &str) -> Option<Look> {
        self.lock().looks.get(runner).cloned()
    }

    /// The lines that came so far of a runner that is being looked at; `None` if nobody looks.
    pub fn underway(&self, runner: &str) -> Option<Vec<Check>> {
        self.lock().underway.get(runner).cloned()
    }

    /// Says that something changed of what is kept: a counter.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Forgets a runner.
    pub fn forget(&self, runner: &str) {
        self.change(|inner| inner.looks.remove(runner));
    }

    /// Begins to look at a runner; `None` if somebody else does.
    pub(super) fn begin(&self, runner: &str) -> Option<Looking<'_>> {
        let mut inner = self.lock();
        if inner.underway.contains_key(runner) {
            return None;
        }
        inner.underway.insert(runner.to_owned(), Vec::new());
        drop(inner);
        self.tell();
        Some(Looking { kept: self, runner: runner.to_owned() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) {
        change(&mut self.lock());
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at a runner that is underway; it is over when this is dropped, whatever came of it.
pub(super) struct Looking<'a> {
    kept: &'a Kept,
    runner: String,
}

impl Looking<'_> {
    /// A line came.
    pub fn line(&self, check: Check) {
        self.kept.change(|inner| inner.underway.entry(self.runner.clone()).or_default().push(check));
    }

    /// Keeps what was found.
    pub fn done(self, look: Look) {
        self.kept.lock().looks.insert(self.runner.clone(), look);
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.kept.change(|inner| inner.underway.remove(&self.runner));
    }
}

/// A look around the bot that is underway; it is over when this is dropped, whatever came of it.
pub(super) struct LookingAround<'a>(&'a Kept);

impl LookingAround<'_> {
    /// Keeps what was found.
    pub fn done(self, around: Around) {
        self.0.lock().around = Some(around);
    }
}

impl Drop for LookingAround<'_> {
    fn drop(&mut self) {
        self.0.change(|inner| inner.looking_around = false);
    }
}

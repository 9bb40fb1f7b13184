//! The newest items of a run that is watched, rendered, within a bound of memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Mark, State};

/// Bytes of rendered items that are kept of one run; older ones are in the journal.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// Items that are kept of one run.
const KEPT_ITEMS: usize = 2_000;
/// New items, and bytes of them, that are handed out at once: each watcher has as much in memory while it is sent.
const AT_ONCE: usize = 100;
const AT_ONCE_BYTES: usize = 32 * 1024;

/// An item as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The turn of the agent.
    pub turn: i64,
    /// Its number within the turn.
    pub number: u32,
    /// Where it begins.
    pub begun: Mark,
    /// Where it changed last.
    pub changed: Mark,
    /// How it looks.
    pub html: Arc<str>,
}

/// What is newer than what somebody has seen.
#[derive(Clone, Debug)]
pub struct News<S = State> {
    /// Whoever has taken in all of this has seen everything up to here.
    pub mark: Mark,
    /// Items that are new, in their order.
    pub fresh: Vec<Stored>,
    /// Items that had been seen and look otherwise now.
    pub changed: Vec<Stored>,
    /// Some items before the new ones are kept no longer.
    pub gap: bool,
    /// The run, if something is new about it.
    pub state: Option<Arc<S>>,
    /// The journal was read up to its end: whatever comes from here on has only just happened.
    pub live: bool,
}

/// Everything that is kept.
#[derive(Clone, Debug)]
pub struct Now<S = State> {
    /// Everything up to here is in it.
    pub mark: Mark,
    /// The newest items, in their order.
    pub items: Vec<Stored>,
    /// Older items that are kept no longer.
    pub earlier: usize,
    /// The run.
    pub state: Arc<S>,
    /// Nothing more will come.
    pub over: bool,
}

#[derive(Debug)]
pub(super) struct Store<S = State> {
    items: VecDeque<Stored>,
    bytes: usize,
    gone: usize,
    /// Where the newest item begins that is kept no longer.
    gone_until: Mark,
    mark: Mark,
    state: Arc<S>,
    version: u64,
    ready: bool,
    over: bool,
}

impl<S> Store<S> {
    pub fn new(state: S) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            gone: 0,
            gone_until: Mark::default(),
            mark: Mark::default(),
            state: Arc::new(state),
            version: 1,
            ready: false,
            over: false,
        }
    }

    /// Takes in items that are new or changed.
    pub fn put(&mut self, items: Vec<Stored>) {
        for item in items {
            self.mark = self.mark.max(item.changed);
            match self.items.binary_search_by_key(&(item.turn, item.number), |kept| (kept.turn, kept.number)) {
                Ok(at) => {
                    self.bytes = self.bytes - self.items[at].html.len() + item.html.len();
                    self.items[at] = item;
                }
                // One that is kept no longer stays away.
                Err(at) if at == self.items.len() => {
                    self.bytes += item.html.len();
                    self.items.push_back(item);
                }
                Err(_) => {}
            }
        }
        while (self.bytes > KEPT_BYTES || self.items.len() > KEPT_ITEMS) && self.items.len() > 1 {
            if let Some(old) = self.items.pop_front() {
                self.bytes -= old.html.len();
                self.gone += 1;
                self.gone_until = self.gone_until.max(old.begun);
            }
        }
    }

    pub fn state(&self) -> &S {
        &self.state
    }

    pub fn set_state(&mut self, state: S) {
        self.state = Arc::new(state);
        self.version += 1;
    }

    pub fn ready(&mut self) {
        self.ready = true;
    }

    pub fn end(&mut self) {
        self.ready = true;
        self.over = true;
    }

    pub fn is_ready(&self) -> bool {
        self.ready
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What is newer than a mark and a version of the state, which then are those of what is handed out.
    pub fn since(&self, mark: &mut Mark, seen: &mut u64) -> Option<News<S>> {
        let begin = self.items.partition_point(|item| item.begun <= *mark);
        let changed: Vec<Stored> = self.items.range(..begin).filter(|item| item.changed > *mark).cloned().collect();
        let (mut end, mut bytes) = (begin, 0);
        while end < self.items.len() && end - begin < AT_ONCE && bytes < AT_ONCE_BYTES {
            bytes += self.items[end].html.len();
            end += 1;
        }
        // Items of one frame share their mark.
        while end > begin && end < self.items.len() && self.items[end].begun == self.items[end - 1].begun {
            end += 1;
        }
        let fresh: Vec<Stored> = self.items.range(begin..end).cloned().collect();
        let state = (*seen < self.version).then(|| self.state.clone());
        if fresh.is_empty() && changed.is_empty() && state.is_none() {
            return None;
        }
        let gap = self.gone_until > *mark && !fresh.is_empty();
        if end < self.items.len() {
            *mark = fresh.last().map_or(*mark, |item| item.begun);
        } else {
            *mark = self.mark.max(*mark);
        }
        *seen = self.version;
        Some(News { mark: *mark, fresh, changed, gap, state, live: self.ready })
    }

    pub fn now(&self, mark: &mut Mark, seen: &mut u64) -> Now<S> {
        *mark = self.mark;
        *seen = self.version;
        Now {
            mark: self.mark,
            items: self.items.iter().cloned().collect(),
            earlier: self.gone,
            state: self.state.clone(),
            over: self.over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u32, (begun, changed): (u64, u64), html: &str) -> Stored {
        let mark = |at| Mark { turn: 1, at };
        Stored { turn: 1, number, begun: mark(begun), changed: mark(changed), html: html.into() }
    }

    fn numbers(items: &[Stored]) -> Vec<u32> {
        items.iter().map(|item| item.number).collect()
    }

    #[test]
    fn who_comes_back_gets_what_was_missed() {
        let mut store = Store::new("running");
        store.put(vec![item(1, (10, 10), "a"), item(2, (20, 20), "b…"), item(3, (30, 30), "c")]);
        let (mut mark, mut seen) = (Mark::default(), 0);
        let news = store.since(&mut mark, &mut seen).unwrap();
        assert_eq!(
            (numbers(&news.fresh), news.changed.len(), news.state.as_deref()),
            (vec![1, 2, 3], 0, Some(&"running"))
        );
        assert!(store.since(&mut mark, &mut seen).is_none());

        // While nobody looks, the second one is over and a fourth one is there.
        store.put(vec![item(2, (20, 40), "b!"), item(4, (50, 50), "d")]);
        store.set_state("done");
        let (mut late, mut nothing) = (mark, 0);
        for (mark, seen) in [(&mut mark, &mut seen), (&mut late, &mut nothing)] {
            let news = store.since(mark, seen).unwrap();
            assert_eq!((numbers(&news.fresh), numbers(&news.changed)), (vec![4], vec![2]));
            assert_eq!((&*news.changed[0].html, news.state.as_deref(), news.gap), ("b!", Some(&"done"), false));
            assert_eq!(*mark, Mark { turn: 1, at: 50 });
        }
    }

    #[test]
    fn much_at_once_comes_in_parts_and_none_is_lost_or_sent_twice() {
        let mut store = Store::new(());
        // The hundredth and the one behind it are of one frame.
        let begun = |n: u32| u64::from(if n == 101 { 100 } else { n });
        store.put((1..=250).map(|n| item(n, (begun(n), begun(n)), "x")).collect());
        let (mut mark, mut seen) = (Mark::default(), 1);
        let mut got = Vec::new();
        while let Some(news) = store.since(&mut mark, &mut seen) {
            got.push(news.fresh.len());
            assert!(news.changed.is_empty());
        }
        assert_eq!(got, [101, 100, 49]);
    }

    #[test]
    fn memory_is_bounded_and_what_is_gone_is_said() {
        let mut store = Store::new(());
        let html = "x".repeat(KEPT_BYTES / 10);
        let (mut mark, mut seen) = (Mark { turn: 1, at: 3 }, 1);
        for n in 1..=30 {
            store.put(vec![item(n, (n.into(), n.into()), &html)]);
            assert!(store.bytes <= KEPT_BYTES);
        }
        let now = store.now(&mut Mark::default(), &mut 0);
        assert_eq!((now.items.len(), now.earlier), (10, 20));
        let news = store.since(&mut mark, &mut seen).unwrap();
        assert!(news.gap);
        // Large ones come one by one.
        assert_eq!(std::iter::from_fn(|| store.since(&mut mark, &mut seen)).count(), 9);
        // Nothing is put where it would not be in order.
        store.put(vec![item(5, (5, 31), "late")]);
        assert!(store.since(&mut mark, &mut seen).is_none());
        store.put((31..=4_000).map(|n| item(n, (n.into(), n.into()), "x")).collect());
        assert_eq!(store.items.len(), KEPT_ITEMS);
    }

    #[test]
    fn a_mark_reads_back_as_what_it_was() {
        let mark = Mark { turn: 2, at: u64::MAX };
        assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
        for bad in ["", "1", "1:", "1:-1", "x:1", "1:2:3", "<script>"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad}");
        }
        assert!(Mark { turn: 1, at: 900 } < Mark { turn: 2, at: 1 });
    }
}

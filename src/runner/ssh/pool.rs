//! Which channel of which connection a caller gets.
//!
//! sshd refuses more than `MaxSessions` (10) channels on one connection, and a refused channel would cost a fresh login;
//! so the channels are counted here, before ssh is asked for one. Nothing in this file performs IO.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::runner::ChannelLane;

/// Channels of one connection for ordinary work. With [`URGENT`] it makes the 10 of OpenSSH's default `MaxSessions` (sshd_config(5)).
const ORDINARY: usize = 8;

/// Channels of one connection that only urgent execs may take.
const URGENT: usize = 2;

/// How long a connection that refused a channel is passed over: its sshd still counts channels that we gave back, because what ran in
/// them goes on. Doubled with each further refusal, up to [`LONGEST_PAUSE`].
pub(super) const REFUSAL_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The newest connection, when idle, is let go while the others have this many ordinary channels free: more than a connection's
/// worth, so that work which comes and goes at the border does not log in each time.
const PLENTY: usize = 12;

/// The live connections of a machine and how full they are.
pub(super) struct Pool<C> {
    slots: Mutex<Slots<C>>,
    changed: Notify,
}

struct Slots<C> {
    next_id: u64,
    list: Vec<Slot<C>>,
}

struct Slot<C> {
    id: u64,
    connection: Arc<C>,
    load: Load,
}

/// How full one connection is.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    ordinary: usize,
    /// Of the ordinary ones, those that last as long as an agent works.
    lasting: usize,
    urgent: usize,
    /// Refusals since a channel was opened.
    refusals: u32,
    paused_until: Option<Instant>,
}

/// The share of a connection that a channel is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Ordinary,
    Lasting,
    Urgent,
}

/// One channel, counted until it is dropped.
pub(super) struct Channel<C> {
    pool: Arc<Pool<C>>,
    slot: u64,
    share: Share,
    connection: Arc<C>,
}

impl<C> Pool<C> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { slots: Mutex::new(Slots { next_id: 0, list: Vec::new() }), changed: Notify::new() })
    }

    /// A free channel for `lane`, of the oldest connection that has one, so that later connections fall idle first.
    pub(super) fn take(self: &Arc<Self>, lane: ChannelLane, now: Instant) -> Option<Channel<C>> {
        let mut slots = self.lock();
        let rested = slots.list.iter_mut().filter(|slot| !slot.load.is_paused(now));
        self.give(lane, rested)
    }

    /// A channel of a connection that refused one lately, for what must not wait until it is asked again.
    pub(super) fn take_paused(self: &Arc<Self>, lane: ChannelLane) -> Option<Channel<C>> {
        let mut slots = self.lock();
        let mut by_pause: Vec<_> = slots.list.iter_mut().collect();
        by_pause.sort_by_key(|slot| slot.load.paused_until);
        self.give(lane, by_pause.into_iter())
    }

    fn give<'a>(
        self: &Arc<Self>,
        lane: ChannelLane,
        mut slots: impl Iterator<Item = &'a mut Slot<C>>,
    ) -> Option<Channel<C>>
    where
        C: 'a,
    {
        let (slot, share) = slots.find_map(|slot| slot.load.share(lane).map(|share| (slot, share)))?;
        slot.load.count(share, 1);
        Some(Channel { pool: self.clone(), slot: slot.id, share, connection: slot.connection.clone() })
    }

    /// Adds a connection and says under which id [`Pool::remove`] knows it.
    pub(super) fn add(&self, connection: Arc<C>) -> u64 {
        let mut slots = self.lock();
        let id = slots.next_id;
        slots.next_id += 1;
        slots.list.push(Slot { id, connection, load: Load::default() });
        drop(slots);
        self.changed.notify_waiters();
        id
    }

    /// Forgets a connection that died; what still holds channels of it keeps them.
    pub(super) fn remove(&self, id: u64) {
        self.lock().list.retain(|slot| slot.id != id);
        self.changed.notify_waiters();
    }

    /// Takes all connections out, for ending them.
    pub(super) fn drain(&self) -> Vec<Arc<C>> {
        let drained = std::mem::take(&mut self.lock().list);
        self.changed.notify_waiters();
        drained.into_iter().map(|slot| slot.connection).collect()
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.lock().list.len()
    }

    /// How many connections there should be: enough that `spare` ordinary channels stay free of what lasts. Bursts of short work wait for a
    /// channel instead, which is sooner there than a login.
    pub(super) fn wanted(&self, spare: usize) -> usize {
        let lasting: usize = self.lock().list.iter().map(|slot| slot.load.lasting).sum();
        (lasting + spare).div_ceil(ORDINARY)
    }

    /// Resolves when a channel or a connection came or went after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Slots<C>> {
        // Counters stay meaningful whatever panicked while holding them.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn pause(&mut self, now: Instant) {
        let pause = REFUSAL_PAUSE.saturating_mul(1 << self.refusals.min(16)).min(LONGEST_PAUSE);
        self.refusals += 1;
        self.paused_until = Some(now + pause);
    }

    fn share(&self, lane: ChannelLane) -> Option<Share> {
        match lane {
            ChannelLane::Urgent if self.urgent < URGENT => Some(Share::Urgent),
            _ if self.ordinary >= ORDINARY => None,
            ChannelLane::Lasting => Some(Share::Lasting),
            _ => Some(Share::Ordinary),
        }
    }

    fn count(&mut self, share: Share, by: isize) {
        let counters: &mut [&mut usize] = match share {
            Share::Ordinary => &mut [&mut self.ordinary],
            Share::Lasting => &mut [&mut self.ordinary, &mut self.lasting],
            Share::Urgent => &mut [&mut self.urgent],
        };
        for counter in counters {
            **counter = counter.saturating_add_signed(by);
        }
    }
}

impl<C> Channel<C> {
    /// The connection that the channel belongs to.
    pub(super) fn connection(&self) -> &Arc<C> {
        &self.connection
    }

    /// sshd did not open the channel although we counted it as free: passes the connection over for a while,
    /// or forgets it where all its channels are leftovers that nobody here holds.
    pub(super) fn refused(self, now: Instant) {
        let mut slots = self.pool.lock();
        if let Some(slot) = slots.list.iter_mut().find(|slot| slot.id == self.slot) {
            if slot.load.ordinary + slot.load.urgent <= 1 {
                slots.list.retain(|slot| slot.id != self.slot);
            } else {
                slot.load.pause(now);
            }
        }
    }

    /// sshd opened the channel, so the connection is as good as any.
    pub(super) fn opened(&self) {
        if let Some(slot) = self.pool.lock().list.iter_mut().find(|slot| slot.id == self.slot) {
            (slot.load.refusals, slot.load.paused_until) = (0, None);
        }
    }

    /// The connection is dead: nobody shall be given a channel of it any more.
    pub(super) fn dead(self) {
        self.pool.remove(self.slot);
    }
}

impl<C> Drop for Channel<C> {
    fn drop(&mut self) {
        let mut slots = self.pool.lock();
        if let Some(slot) = slots.list.iter_mut().find(|slot| slot.id == self.slot) {
            slot.load.count(self.share, -1);
        }
        let surplus = slots.take_surplus();
        drop(slots);
        // Letting go of a connection may take a moment that others need not wait for.
        drop(surplus);
        self.pool.changed.notify_waiters();
    }
}

impl<C> Slots<C> {
    fn take_surplus(&mut self) -> Option<Slot<C>> {
        let (newest, others) = self.list.split_last()?;
        let free: usize = others.iter().map(|slot| ORDINARY - slot.load.ordinary).sum();
        if newest.load.ordinary + newest.load.urgent == 0 && free >= PLENTY { self.list.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(connections: usize) -> Arc<Pool<usize>> {
        let pool = Pool::new();
        for n in 0..connections {
            pool.add(Arc::new(n));
        }
        pool
    }

    fn take_all(pool: &Arc<Pool<usize>>, lane: ChannelLane, now: Instant) -> Vec<Channel<usize>> {
        std::iter::from_fn(|| pool.take(lane, now)).collect()
    }

    #[test]
    fn two_channels_of_each_connection_are_kept_for_urgent_execs() {
        let now = Instant::now();
        let pool = pool(2);
        let ordinary = take_all(&pool, ChannelLane::Ordinary, now);
        let taken: Vec<usize> = ordinary.iter().map(|channel| **channel.connection()).collect();
        assert_eq!(taken, [[0; 8], [1; 8]].concat(), "the oldest connection is filled first");
        assert_eq!(take_all(&pool, ChannelLane::Urgent, now).len(), 4);
    }

    #[test]
    fn an_urgent_exec_also_takes_an_ordinary_channel() {
        let now = Instant::now();
        let pool = pool(1);
        assert_eq!(take_all(&pool, ChannelLane::Urgent, now).len(), 10);
    }

    #[test]
    fn only_what_lasts_asks_for_another_connection() {
        let now = Instant::now();
        let pool = pool(2);
        let _burst: Vec<_> = (0..6).map_while(|_| pool.take(ChannelLane::Ordinary, now)).collect();
        assert_eq!(pool.wanted(4), 1);
        let mut attaches: Vec<_> = (0..10).map_while(|_| pool.take(ChannelLane::Lasting, now)).collect();
        assert_eq!((attaches.len(), pool.wanted(4)), (10, 2), "⌈(10 + 4) / 8⌉");
        assert!(pool.take(ChannelLane::Lasting, now).is_none(), "they are ordinary channels, too");
        attaches.truncate(4);
        assert_eq!(pool.wanted(4), 1);
    }

    #[test]
    fn a_dropped_channel_is_free_again() {
        let now = Instant::now();
        let pool = pool(1);
        drop(take_all(&pool, ChannelLane::Ordinary, now));
        assert_eq!(take_all(&pool, ChannelLane::Ordinary, now).len(), 8);
    }

    #[test]
    fn connections_that_a_burst_needed_are_let_go_after_it() {
        let now = Instant::now();
        let pool = pool(4);
        let mut burst = take_all(&pool, ChannelLane::Ordinary, now);
        assert_eq!((burst.len(), pool.len()), (32, 4));
        while burst.pop().is_some() {}
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn a_connection_that_refused_is_passed_over_for_a_while() {
        let now = Instant::now();
        let pool = pool(1);
        let held = pool.take(ChannelLane::Ordinary, now).expect("a free channel");
        let mut at = now;
        for milliseconds in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            pool.take(ChannelLane::Ordinary, at).expect("a free channel").refused(at);
            let rested = at + Duration::from_millis(milliseconds);
            assert!(pool.take(ChannelLane::Urgent, rested - Duration::from_millis(1)).is_none());
            assert!(pool.take(ChannelLane::Urgent, rested).is_some());
            at = rested;
        }
        held.opened();
        pool.take(ChannelLane::Ordinary, at).expect("a free channel").refused(at);
        assert!(pool.take(ChannelLane::Ordinary, at + REFUSAL_PAUSE).is_some(), "from the beginning");
    }

    #[test]
    fn what_is_urgent_may_ask_the_connection_that_refused_first() {
        let now = Instant::now();
        let pool = pool(2);
        let _held = [pool.take(ChannelLane::Ordinary, now)];
        let all = take_all(&pool, ChannelLane::Lasting, now);
        let later = now + Duration::from_millis(100);
        let mut urgent = take_all(&pool, ChannelLane::Urgent, now);
        let second = urgent.pop().expect("of the second connection");
        second.refused(now);
        urgent.remove(0).refused(later);
        drop(all);
        assert!(pool.take(ChannelLane::Urgent, later).is_none());
        assert_eq!(**pool.take_paused(ChannelLane::Urgent).expect("a channel").connection(), 1);
    }

    #[test]
    fn a_connection_full_of_leftovers_is_forgotten() {
        let now = Instant::now();
        let pool = pool(1);
        pool.take(ChannelLane::Ordinary, now).expect("a free channel").refused(now);
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn a_channel_of_a_dead_connection_does_not_count_on_the_next_one() {
        let now = Instant::now();
        let pool = pool(1);
        let held = pool.take(ChannelLane::Ordinary, now).expect("a free channel");
        pool.take(ChannelLane::Ordinary, now).expect("a free channel").dead();
        pool.add(Arc::new(7));
        drop(held);
        assert_eq!(take_all(&pool, ChannelLane::Ordinary, now).len(), 8);
    }
}

//! Time as a value that is passed in: production reads the system's clock, tests hold one in their hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, the unit of every stored time.
pub type Millis = i64;

/// A moment as people read it.
pub fn date_time(at: Millis) -> String {
    let time = chrono::DateTime::from_timestamp_millis(at);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// Where "now" comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's wall clock.
    #[default]
    System,
    /// The system's clock plus an offset in milliseconds that only [`Clock::advance`] changes.
    Shifted(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that runs with the system's and can be moved forward by [`Clock::advance`].
    pub fn shifted() -> Self {
        Self::Shifted(Arc::default())
    }

    /// The present time.
    pub fn now(&self) -> Millis {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis);
        match self {
            Self::System => system,
            Self::Shifted(by) => system + by.load(Ordering::SeqCst),
        }
    }

    /// Moves a shifted clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: Millis) {
        if let Self::Shifted(offset) = self {
            offset.fetch_add(by, Ordering::SeqCst);
        }
    }
}

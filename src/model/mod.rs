//! The words of track, as types: what a thread, a line, a run and an ask are.
//!
//! Nothing here performs IO or knows how anything is stored; every other module imports from here, and this one imports from nobody.

mod ask;
mod clock;
mod feedback;
mod ids;
mod marker;
mod session;
mod state;
mod usage;
mod visitor;

pub use ask::{Account, Ask, Kind, Lane, NotARepoName, Pin, Place, Reaction, RepoName, Repository, ReviewPrompt};
pub use clock::{Clock, Millis, date_time};
pub use feedback::{Feedback, LineComment, ReviewWords};
pub use ids::{
    AccountId, InstallationId, LineId, Number, RepositoryId, RunId, Sha, ThreadId, new_ulid, read_place, uuid,
};
pub use marker::{MarkerKey, looks_marked, without_marker};
pub use session::Session;
pub use state::{Kept, LineState, Outcome, Phase, Reason, Status};
pub use usage::Usage;
pub use visitor::{Role, Via};

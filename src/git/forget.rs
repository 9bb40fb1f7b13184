//! What the mirror need not keep any longer: commits that nothing names take room until they are collected.

use std::time::Duration;

use super::error::GitError;
use super::mirror::Mirror;
use crate::model::{Kept, LineId, RunId, Sha};

/// Time for rewriting a mirror without what nothing names.
const COLLECT: Duration = Duration::from_secs(30 * 60);
/// How long commits stay that nothing names: somebody may be about to name them.
const UNNAMED_KEPT: &str = "--prune=2.weeks.ago";
/// Where the heads of open lines are held, whatever becomes of their branches on GitHub.
const LINES: &str = "refs/track/lines/";

impl Mirror {
    /// Keeps nothing of a run any more. Its commits go with the next [`Mirror::collect_garbage`] that finds them old enough.
    pub async fn forget(&self, run: RunId) -> Result<(), GitError> {
        for kept in Kept::ALL {
            self.git("forgetting a run").args(["update-ref", "-d", &kept.reference(run)]).ok().await?;
        }
        Ok(())
    }

    /// Removes commits that nothing names, but for the heads of these lines: a branch that is gone from GitHub is followed up from
    /// the bot's copy (B20).
    pub async fn collect_garbage(&self, lines: &[(LineId, Sha)]) -> Result<(), GitError> {
        for (line, head) in lines {
            if self.has(head).await? {
                let reference = format!("{LINES}{line}");
                self.git("holding a line").args(["update-ref", &reference, head.as_str()]).ok().await?;
            }
        }
        let listed = self.git("listing lines").args(["for-each-ref", "--format=%(refname)", LINES]).ok().await?;
        for reference in String::from_utf8_lossy(&listed).lines() {
            if !lines.iter().any(|(line, _)| reference == format!("{LINES}{line}")) {
                self.git("letting go of a line").args(["update-ref", "-d", reference]).ok().await?;
            }
        }
        let git = self.git("removing what nothing names").timeout(COLLECT);
        git.args(["gc", "--quiet", UNNAMED_KEPT]).ok().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, git};
    use super::super::{Endpoint, Fetch};
    use super::*;

    #[tokio::test]
    async fn what_nothing_names_goes_and_the_heads_of_lines_stay() {
        let world = World::new().await;
        let first = world.commit("a", "1");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let run = RunId::new();
        let from = Endpoint { url: world.work.to_str().unwrap().to_owned(), ..Endpoint::default() };
        let kept = world.commit("b", "2");
        mirror.fetch_result(&from, "HEAD", run).await.unwrap();
        let (line, other) = (LineId::new(), LineId::new());
        mirror.collect_garbage(&[(line, kept.clone()), (other, first.clone())]).await.unwrap();
        mirror.forget(run).await.unwrap();
        // Also where nothing is kept, as after a crash.
        mirror.forget(run).await.unwrap();
        assert_eq!(mirror.result(run).await.unwrap(), None);

        let lines = || git(&mirror.dir, &["for-each-ref", "--format=%(refname) %(objectname)", LINES]);
        mirror.collect_garbage(&[(line, kept.clone())]).await.unwrap();
        assert_eq!(lines().trim(), format!("{LINES}{line} {kept}"));
        assert!(mirror.has(&kept).await.unwrap());
        mirror.collect_garbage(&[]).await.unwrap();
        assert_eq!(lines().trim(), "");
        assert!(mirror.has(&first).await.unwrap(), "a branch names it");
        git(&mirror.dir, &["gc", "--quiet", "--prune=now"]);
        assert!(!mirror.has(&kept).await.unwrap(), "nothing names it");
    }
}

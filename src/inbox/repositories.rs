//! Which repositories there are (B61): they register themselves when the App is installed, and are asked for when somebody wants to see them.

use tracing::{info, warn};

use super::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::repositories::Traits;
use crate::github::app;
use crate::github::repos::RepositoryInfo;
use crate::model::Repository;
use crate::run::plan;

/// What is kept of what GitHub says of a repository.
pub(super) fn traits(about: &RepositoryInfo) -> Traits {
    Traits {
        default_branch: about.default_branch.clone(),
        issues: about.has_issues,
        archived: about.archived || about.disabled,
    }
}

/// Asks GitHub what one repository is like now, and stores it.
pub async fn refresh(context: &Context, repository: &Repository) -> Result<(), Trouble> {
    let about = plan::about(context, repository).await?;
    let mut tx = context.db.begin().await?;
    db::repositories::set_traits(&mut tx, repository.id, &traits(&about)).await?;
    tx.commit().await?;
    Ok(())
}

/// Asks GitHub for every repository on which the App is installed, and stores what they are like; answers how many there are. An
/// installation that cannot be asked, because it is suspended or just gone, is left as it is known.
pub async fn look(context: &Context) -> Result<usize, Trouble> {
    let mut found = 0;
    for installation in app::installations(&context.github).await? {
        let asked_at = context.clock.now();
        let listed = match app::repositories_of(&context.github, installation).await {
            Ok(listed) => listed,
            Err(error) if error.retry_at(1, asked_at).is_none() => {
                warn!("the repositories of installation {installation} are not told: {error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        found += listed.len();
        let mut tx = context.db.begin().await?;
        for about in &listed {
            // Nobody can name a repository whose name is none.
            let Some(name) = about.name() else { continue };
            let repository = Repository { id: about.id, installation: Some(installation), name };
            db::repositories::upsert(&mut tx, &repository, asked_at).await?;
            db::repositories::set_traits(&mut tx, about.id, &traits(about)).await?;
        }
        tx.commit().await?;
    }
    info!("the App is installed on {found} repositories");
    Ok(found)
}

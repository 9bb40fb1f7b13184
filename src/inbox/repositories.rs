//! Which repositories there are (B61): they register themselves when the App is installed, and are asked for when somebody wants to see them.

use tracing::info;

use super::Trouble;
use crate::context::Context;
use crate::db::repositories::Traits;
use crate::db::{self, Conn};
use crate::github::installations::{self, Installed};
use crate::github::repos::RepositoryInfo;
use crate::model::{Millis, Repository};
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

/// Asks GitHub for every repository on which the App is installed, and stores what they are like; answers how many there are.
pub async fn look(context: &Context) -> Result<usize, Trouble> {
    let asked_at = context.clock.now();
    let all = installations::all(&context.github).await?;
    let mut tx = context.db.begin().await?;
    for on in &all {
        register(&mut tx, on, asked_at).await?;
    }
    tx.commit().await?;
    let found = all.iter().map(|on| on.repositories.len()).sum();
    info!("the App is installed on {found} repositories");
    Ok(found)
}

/// Stores the repositories of an installation as GitHub told them at a time.
pub async fn register(tx: &mut Conn, on: &Installed, at: Millis) -> sqlx::Result<()> {
    for about in &on.repositories {
        // Nobody can name a repository whose name is none.
        let Some(name) = about.name() else { continue };
        let repository = Repository { id: about.id, installation: Some(on.id), name };
        db::repositories::upsert(&mut *tx, &repository, at).await?;
        db::repositories::set_traits(&mut *tx, about.id, &traits(about)).await?;
    }
    Ok(())
}

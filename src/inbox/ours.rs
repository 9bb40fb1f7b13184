//! Which pull requests are track's: those whose branch is a line's, whoever opened them. A line's number of its pull request is only a cache.

use super::{Trouble, facts};
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::model::{Number, Repository};

/// Notes the pull request on which something happened as that of the line whose branch it brings, if `free` says that the line may have it.
pub(super) async fn adopt(
    context: &Context,
    repository: &Repository,
    (number, told_branch): (Number, Option<&str>),
    free: impl Fn(&Line) -> bool,
) -> Result<(), Trouble> {
    let mut conn = context.db.read().await?;
    if db::lines::by_pull(&mut conn, repository.id, number).await?.is_some() {
        return Ok(());
    }
    // Where the delivery tells the branch, nobody is asked about pull requests that cannot be ours.
    if let Some(branch) = told_branch
        && db::lines::by_branch(&mut conn, repository.id, branch).await?.is_none_or(|line| !free(&line))
    {
        return Ok(());
    }
    drop(conn);
    // A branch of a fork may have the same name.
    let pull = facts::pull_of(context, repository, number).await?;
    let Some(pull) = pull.filter(|pull| pull.is_from(repository.id)) else { return Ok(()) };
    let mut tx = context.db.begin().await?;
    if let Some(line) = db::lines::by_branch(&mut tx, repository.id, &pull.head.r#ref).await?
        && free(&line)
    {
        db::lines::set_pull(&mut tx, line.id, &pull.base.r#ref, number).await?;
    }
    tx.commit().await?;
    Ok(())
}

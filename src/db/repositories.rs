//! Repositories: the id is the identity, installation and name are attributes that each delivery refreshes.

use sqlx::Row as _;

use super::{Conn, Row};
use crate::model::{InstallationId, Millis, RepoName, Repository, RepositoryId};

/// Stores a repository as the latest delivery showed it.
pub async fn upsert(conn: &mut Conn, repository: &Repository, now: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "insert into repository (id, installation_id, owner, name, updated_at) values ($1, $2, $3, $4, $5) \
         on conflict (id) do update set installation_id = excluded.installation_id, owner = excluded.owner, \
         name = excluded.name, updated_at = excluded.updated_at",
    )
    .bind(repository.id.0)
    .bind(repository.installation.0)
    .bind(&repository.name.owner)
    .bind(&repository.name.name)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// The repository with this id.
pub async fn get(conn: &mut Conn, id: RepositoryId) -> sqlx::Result<Option<Repository>> {
    let row = sqlx::query("select id, installation_id, owner, name from repository where id = $1")
        .bind(id.0)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &Row) -> sqlx::Result<Repository> {
    Ok(Repository {
        id: RepositoryId(row.try_get("id")?),
        installation: InstallationId(row.try_get("installation_id")?),
        name: RepoName { owner: row.try_get("owner")?, name: row.try_get("name")? },
    })
}

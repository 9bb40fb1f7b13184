//! Repositories: the id is the identity, installation and name are attributes that each delivery refreshes.

use sqlx::Row as _;

use super::{Conn, Row};
use crate::model::{InstallationId, Millis, RepoName, Repository, RepositoryId};

/// Stands for the installation of a repository that is reached without one; GitHub's ids are greater.
const NOT_INSTALLED: i64 = 0;

/// What stands in the column of a repository that is reached through this installation.
pub(super) fn installation_column(installation: Option<InstallationId>) -> i64 {
    installation.map_or(NOT_INSTALLED, |installation| installation.0)
}

/// Stores a repository as it was at a time; what is known from later stays.
pub async fn upsert(conn: &mut Conn, repository: &Repository, at: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "insert into repository (id, installation_id, owner, name, updated_at) values ($1, $2, $3, $4, $5) \
         on conflict (id) do update set installation_id = excluded.installation_id, owner = excluded.owner, \
         name = excluded.name, updated_at = excluded.updated_at where repository.updated_at <= excluded.updated_at",
    )
    .bind(repository.id.0)
    .bind(installation_column(repository.installation))
    .bind(&repository.name.owner)
    .bind(&repository.name.name)
    .bind(at)
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

/// The repository that was last known by this name.
pub async fn named(conn: &mut Conn, name: &RepoName) -> sqlx::Result<Option<Repository>> {
    let row = sqlx::query(
        "select id, installation_id, owner, name from repository where lower(owner) = lower($1) and lower(name) = lower($2) \
         order by updated_at desc, id desc limit 1",
    )
    .bind(&name.owner)
    .bind(&name.name)
    .fetch_optional(conn)
    .await?;
    row.map(|row| read(&row)).transpose()
}

/// The repositories that are reached through an installation.
pub async fn of_installation(conn: &mut Conn, installation: InstallationId) -> sqlx::Result<Vec<Repository>> {
    let rows = sqlx::query("select id, installation_id, owner, name from repository where installation_id = $1")
        .bind(installation.0)
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// Every repository that the bot knows, by name.
pub async fn all(conn: &mut Conn) -> sqlx::Result<Vec<Repository>> {
    let rows = sqlx::query("select id, installation_id, owner, name from repository order by owner, name, id")
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// The repositories that are reached through any installation, by name.
pub async fn installed(conn: &mut Conn) -> sqlx::Result<Vec<Repository>> {
    let rows = sqlx::query(
        "select id, installation_id, owner, name from repository where installation_id <> $1 order by owner, name, id",
    )
    .bind(NOT_INSTALLED)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// A repository of an owner that is reached through an installation.
pub async fn of_owner(conn: &mut Conn, owner: &str) -> sqlx::Result<Option<Repository>> {
    let row = sqlx::query(
        "select id, installation_id, owner, name from repository where lower(owner) = lower($1) and installation_id <> $2 \
         order by updated_at desc, id desc limit 1",
    )
    .bind(owner)
    .bind(NOT_INSTALLED)
    .fetch_optional(conn)
    .await?;
    row.map(|row| read(&row)).transpose()
}

/// The repositories for which nothing is at work or still to be looked after, and nothing was since a time.
pub async fn at_rest_since(conn: &mut Conn, before: Millis) -> sqlx::Result<Vec<Repository>> {
    let rows = sqlx::query(
        "select id, installation_id, owner, name from repository where not exists \
         (select 1 from run where run.repository_id = repository.id \
         and (run.status <> 'done' or run.unsettled = 1 or run.done_at >= $1))",
    )
    .bind(before)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> sqlx::Result<Repository> {
    let installation = row.try_get("installation_id")?;
    Ok(Repository {
        id: RepositoryId(row.try_get("id")?),
        installation: (installation != NOT_INSTALLED).then_some(InstallationId(installation)),
        name: RepoName { owner: row.try_get("owner")?, name: row.try_get("name")? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    // T05, T11
    #[tokio::test]
    async fn a_late_delivery_takes_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let id = RepositoryId(5);
        let seen = |installation, name: &str| Repository {
            id,
            installation: Some(InstallationId(installation)),
            name: name.parse().unwrap(),
        };
        let (old, new) = (seen(3, "octo/hello"), seen(9, "octo/renamed"));
        upsert(&mut tx, &new, 2_000).await.unwrap();
        upsert(&mut tx, &old, 1_000).await.unwrap();
        assert_eq!(get(&mut tx, id).await.unwrap().unwrap(), new);
        upsert(&mut tx, &old, 2_000).await.unwrap();
        assert_eq!(get(&mut tx, id).await.unwrap().unwrap(), old);
        // B36
        let foreign = Repository { id: RepositoryId(6), installation: None, ..old };
        upsert(&mut tx, &foreign, 2_000).await.unwrap();
        assert_eq!(get(&mut tx, foreign.id).await.unwrap().unwrap(), foreign);
    }
}

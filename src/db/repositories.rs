//! Repositories: the id is the identity, installation and name are attributes that each delivery refreshes.

use sqlx::Row as _;

use super::{Conn, Row, json, parsed_or_null, to_json};
use crate::model::{InstallationId, Millis, RepoName, Repository, RepositoryId, RunId};

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
         name = excluded.name, out_of_reach = null, updated_at = excluded.updated_at where repository.updated_at <= excluded.updated_at",
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

/// What a repository is like, as GitHub said when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The branch that work starts from unless told otherwise.
    pub default_branch: String,
    /// Whether it has issues.
    pub issues: bool,
    /// Whether it is read-only.
    pub archived: bool,
}

/// What operators say of a repository (B61).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Other names that people use for it.
    pub aliases: Vec<String>,
    /// What it is for.
    pub description: String,
}

/// A repository with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The repository.
    pub repository: Repository,
    /// What it is like; `None`: GitHub was never asked.
    pub traits: Option<Traits>,
    /// Why the App does not reach it any more, in a word of GitHub's: `uninstalled`, `suspended`, `removed`.
    pub out_of_reach: Option<String>,
    /// What operators say of it.
    pub words: Words,
    /// Threads on which work is open: a branch or pull request that is neither merged nor closed, or a private task.
    pub open_threads: i64,
    /// Its newest run, and when that was asked for.
    pub last_run: Option<(RunId, Millis)>,
}

/// Stores what a repository is like.
pub async fn set_traits(conn: &mut Conn, id: RepositoryId, traits: &Traits) -> sqlx::Result<()> {
    sqlx::query("update repository set default_branch = $2, issues_on = $3, archived = $4 where id = $1")
        .bind(id.0)
        .bind(&traits.default_branch)
        .bind(i64::from(traits.issues))
        .bind(i64::from(traits.archived))
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores what operators say of a repository.
pub async fn set_words(conn: &mut Conn, id: RepositoryId, words: &Words) -> sqlx::Result<()> {
    sqlx::query("update repository set aliases = $2, description = $3 where id = $1")
        .bind(id.0)
        .bind(to_json(&words.aliases)?)
        .bind(&words.description)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes why the App does not reach a repository any more; `None`: it does. What is known from later stays.
pub async fn set_out_of_reach(conn: &mut Conn, id: RepositoryId, why: Option<&str>, at: Millis) -> sqlx::Result<()> {
    sqlx::query("update repository set out_of_reach = $2 where id = $1 and updated_at <= $3")
        .bind(id.0)
        .bind(why)
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

const KNOWN: &str = "select repository.*, \
    (select count(*) from thread where thread.repository_id = repository.id and \
    (exists (select 1 from line where line.thread_id = thread.id and line.state = 'open') or \
    exists (select 1 from task where task.thread_id = thread.id and task.closed_at is null))) as open_threads, \
    (select id from run where run.repository_id = repository.id order by queued_at desc limit 1) as last_run, \
    (select max(queued_at) from run where run.repository_id = repository.id) as last_run_at from repository";

/// Every repository with what is known of it, by name.
pub async fn all_known(conn: &mut Conn) -> sqlx::Result<Vec<Known>> {
    let sql = format!("{KNOWN} order by lower(owner), lower(name), id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(conn).await?;
    rows.iter().map(read_known).collect()
}

/// One repository with what is known of it.
pub async fn known(conn: &mut Conn, id: RepositoryId) -> sqlx::Result<Option<Known>> {
    let sql = format!("{KNOWN} where repository.id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(conn).await?;
    row.map(|row| read_known(&row)).transpose()
}

fn read_known(row: &Row) -> sqlx::Result<Known> {
    let traits = match (row.try_get("default_branch")?, row.try_get::<Option<i64>, _>("issues_on")?) {
        (Some(default_branch), Some(issues)) => Some(Traits {
            default_branch,
            issues: issues == 1,
            archived: row.try_get::<Option<i64>, _>("archived")? == Some(1),
        }),
        _ => None,
    };
    Ok(Known {
        repository: read(row)?,
        traits,
        out_of_reach: row.try_get("out_of_reach")?,
        words: Words { aliases: json(row, "aliases")?, description: row.try_get("description")? },
        open_threads: row.try_get("open_threads")?,
        last_run: parsed_or_null(row, "last_run")?.zip(row.try_get("last_run_at")?),
    })
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

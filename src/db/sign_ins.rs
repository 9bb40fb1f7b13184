//! Who is signed in to the admin page, and sign-ins on their way.
//!
//! Secrets are hashed before they come here, so that a copy of the database opens nothing.

use sqlx::Row as _;

use super::{Conn, Row, parsed};
use crate::model::{Account, AccountId, Millis, Role, Via};

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// SHA-256 of what the browser's cookie holds, in hex.
    pub id: String,
    /// How they signed in.
    pub via: Via,
    /// Who it is; `None` where a link names nobody.
    pub account: Option<Account>,
    /// What they may do.
    pub role: Role,
    /// When they signed in.
    pub created_at: Millis,
    /// When their right to be here was last confirmed.
    pub checked_at: Millis,
    /// When they have to sign in again.
    pub expires_at: Millis,
}

/// A sign-in that was begun, or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// SHA-256 of the state or of the link's token, in hex.
    pub id: String,
    /// How it goes on.
    pub via: Via,
    /// SHA-256 of what the cookie of the browser that began it holds; none for a link.
    pub browser: Option<String>,
    /// The verifier of RFC 7636.
    pub verifier: Option<String>,
    /// Where to go afterwards.
    pub next: Option<String>,
    /// Whom a link signs in.
    pub account: Option<Account>,
    /// Until when it is good.
    pub expires_at: Millis,
}

/// Stores a session.
pub async fn insert(conn: &mut Conn, signed_in: &SignedIn) -> sqlx::Result<()> {
    sqlx::query(
        "insert into session (id, via, account_id, login, role, created_at, checked_at, expires_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&signed_in.id)
    .bind(signed_in.via.as_str())
    .bind(signed_in.account.as_ref().map(|account| account.id.0))
    .bind(signed_in.account.as_ref().map(|account| &account.login))
    .bind(signed_in.role.as_str())
    .bind(signed_in.created_at)
    .bind(signed_in.checked_at)
    .bind(signed_in.expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// The session of a cookie, if it has not ended.
pub async fn get(conn: &mut Conn, id: &str, now: Millis) -> sqlx::Result<Option<SignedIn>> {
    let row = sqlx::query("select * from session where id = $1 and expires_at > $2")
        .bind(id)
        .bind(now)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Everybody who is signed in, the newest first.
pub async fn all(conn: &mut Conn, now: Millis) -> sqlx::Result<Vec<SignedIn>> {
    let rows = sqlx::query("select * from session where expires_at > $1 order by created_at desc, id")
        .bind(now)
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// Notes that somebody's right was confirmed, and what it is now.
pub async fn set_checked(conn: &mut Conn, id: &str, role: Role, now: Millis) -> sqlx::Result<()> {
    sqlx::query("update session set role = $2, checked_at = $3 where id = $1")
        .bind(id)
        .bind(role.as_str())
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a session; false if there was none.
pub async fn remove(conn: &mut Conn, id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from session where id = $1").bind(id).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a sign-in that was begun, and forgets what has ended meanwhile. Only so many are kept: anybody may begin one.
pub async fn begin(conn: &mut Conn, sign_in: &SignIn, now: Millis) -> sqlx::Result<()> {
    const KEPT: i64 = 1_000;
    for table in ["delete from sign_in where expires_at <= $1", "delete from session where expires_at <= $1"] {
        sqlx::query(table).bind(now).execute(&mut *conn).await?;
    }
    sqlx::query("delete from sign_in where kind = 'github' and id in (select id from sign_in where kind = 'github' order by expires_at desc limit $2 offset $1)")
        .bind(KEPT)
        .bind(KEPT)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "insert into sign_in (id, kind, browser, verifier, next, account_id, login, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&sign_in.id)
    .bind(sign_in.via.as_str())
    .bind(&sign_in.browser)
    .bind(&sign_in.verifier)
    .bind(&sign_in.next)
    .bind(sign_in.account.as_ref().map(|account| account.id.0))
    .bind(sign_in.account.as_ref().map(|account| &account.login))
    .bind(sign_in.expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a sign-in, which is good once; `None` if there is none, or not any more.
pub async fn take(conn: &mut Conn, id: &str, via: Via, now: Millis) -> sqlx::Result<Option<SignIn>> {
    let row = sqlx::query("select * from sign_in where id = $1 and kind = $2 and expires_at > $3")
        .bind(id)
        .bind(via.as_str())
        .bind(now)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    sqlx::query("delete from sign_in where id = $1").bind(id).execute(conn).await?;
    Ok(Some(SignIn {
        id: row.try_get("id")?,
        via,
        browser: row.try_get("browser")?,
        verifier: row.try_get("verifier")?,
        next: row.try_get("next")?,
        account: account(&row)?,
        expires_at: row.try_get("expires_at")?,
    }))
}

fn account(row: &Row) -> sqlx::Result<Option<Account>> {
    let id: Option<i64> = row.try_get("account_id")?;
    let login: Option<String> = row.try_get("login")?;
    Ok(id.zip(login).map(|(id, login)| Account { id: AccountId(id), login }))
}

fn read(row: &Row) -> sqlx::Result<SignedIn> {
    Ok(SignedIn {
        id: row.try_get("id")?,
        via: parsed(row, "via")?,
        account: account(row)?,
        role: parsed(row, "role")?,
        created_at: row.try_get("created_at")?,
        checked_at: row.try_get("checked_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

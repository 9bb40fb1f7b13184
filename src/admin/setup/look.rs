//! What GitHub says of the App and of where it is installed, kept in the tables for pages to read.

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::context::Context;
use crate::db::{self, Conn};
use crate::github::app;
use crate::inbox::{Trouble, repositories};
use crate::model::Millis;

const KEY: &str = "github_app";

/// The App as GitHub described it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The slug of its address.
    pub slug: String,
    /// Who owns it, whose repositories are served unless `allow` says otherwise.
    pub owner: String,
    /// When GitHub was asked.
    pub looked_at: Millis,
    /// Why GitHub did not say.
    pub trouble: Option<String>,
}

/// What is known; nothing before GitHub was asked for the first time.
pub(super) async fn known(conn: &mut Conn) -> sqlx::Result<Known> {
    let text = db::settings::get(conn, KEY).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Asks GitHub and remembers what it says. A trouble is remembered too: the page tells it.
pub async fn look(context: &Context) -> anyhow::Result<()> {
    let asked = ask(context).await;
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let before = known(&mut tx).await?;
    let after = match asked {
        Ok(app) => Known { slug: app.slug, owner: app.owner.account.login, looked_at: now, trouble: None },
        Err(Trouble::GitHub(error)) => {
            warn!("GitHub does not say where the App is installed: {error}");
            Known { looked_at: now, trouble: Some(error.to_string()), ..before }
        }
        Err(Trouble::Other(error)) => return Err(error),
    };
    db::settings::set(&mut tx, KEY, &serde_json::to_string(&after)?).await?;
    tx.commit().await?;
    Ok(())
}

async fn ask(context: &Context) -> Result<app::App, Trouble> {
    let app = app::me(&context.github).await?;
    repositories::look(context).await?;
    Ok(app)
}

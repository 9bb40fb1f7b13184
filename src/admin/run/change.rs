//! What a run changed, file by file, from the bot's mirror.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::super::Admin;
use super::super::fault::Fault;
use super::super::person::Person;
use super::super::view::{Frame, Safe, filters, page};
use super::{Scene, diff};
use crate::git::diff as change;
use crate::model::{Outcome, Sha};

#[derive(Template)]
#[template(path = "run_change.html")]
struct ChangePage {
    frame: Frame,
    scene: Scene,
    found: Found,
}

enum Found {
    /// The run has no result.
    Nothing,
    /// It cannot be shown, for this reason.
    Not(String),
    Change {
        files: Safe,
        count: usize,
        insertions: u64,
        deletions: u64,
        given: Sha,
        result: Sha,
        is_kept: bool,
    },
}

/// `GET /admin/runs/{run}/change`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(run): Path<String>,
) -> Result<Response, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let found = find(&admin, &scene).await?;
    let frame = Frame::new(&admin, Some(&person), format!("Change of {}", scene.title()), "Runs");
    Ok(page(&ChangePage { frame, scene, found }))
}

async fn find(admin: &Admin, scene: &Scene) -> Result<Found, Fault> {
    let run = &scene.run;
    let (Some(given), Some(result)) = (run.given.clone(), run.result.clone()) else { return Ok(Found::Nothing) };
    if given == result {
        return Ok(Found::Nothing);
    }
    let mirrors = &admin.context().mirrors;
    // A mirror that is gone is not made again for somebody who looks.
    if !mirrors.has(run.repository) {
        return Ok(Found::Not("The bot keeps nothing of this repository any more.".to_owned()));
    }
    let mirror = mirrors.open(run.repository).await.map_err(anyhow::Error::from)?;
    for sha in [&given, &result] {
        if !mirror.has(sha).await.map_err(anyhow::Error::from)? {
            return Ok(Found::Not(format!("The bot does not keep commit {sha} any more.")));
        }
    }
    Ok(match change::diff(&mirror, &given, &result).await {
        Ok(change) => Found::Change {
            files: Safe(diff::render(&change)),
            count: change.files.len() + change.more,
            insertions: change.insertions,
            deletions: change.deletions,
            is_kept: run.outcome != Some(Outcome::Succeeded),
            given,
            result,
        },
        Err(error) => Found::Not(format!("The change cannot be shown: {error}.")),
    })
}

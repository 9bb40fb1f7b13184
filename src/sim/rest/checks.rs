//! Check runs. <https://docs.github.com/en/rest/checks/runs>

use serde_json::{Value, json};

use crate::sim::app_auth::Access::Read;
use crate::sim::world::{CheckRun, stamp};
use crate::sim::{git, json};

use super::repos::{Place, known};
use super::{Answer, Call, Reply, refusal};

/// The newest run of each check of a commit.
pub(super) async fn runs(call: &Call<'_>, repo: &str, name: &str) -> Answer {
    let place = {
        let world = call.inner.world();
        let id = call.repository(&world, repo, &[("checks", Read)])?;
        Place::of(&world, known(&world, id)?)
    };
    let no_commit = || refusal(422, &format!("No commit found for SHA: {name}"));
    let sha = git::resolve(&place.folder, name).await.ok_or_else(no_commit)?;
    let world = call.inner.world();
    let run = |run: &CheckRun| {
        let url = format!("{}/check-runs/{}", place.url, run.id);
        let output = json!({
            "title": run.name,
            "summary": run.summary,
            "text": null,
            "annotations_count": 0,
            "annotations_url": format!("{url}/annotations"),
        });
        json!({
            "id": run.id,
            "node_id": format!("CR_{}", run.id),
            "head_sha": run.sha,
            "external_id": "",
            "url": url,
            "html_url": format!("{}/runs/{}", place.html, run.id),
            "details_url": format!("{}/runs/{}", place.html, run.id),
            "status": "completed",
            "conclusion": run.conclusion,
            "started_at": stamp(run.at),
            "completed_at": stamp(run.at),
            "output": output,
            "name": run.name,
            "check_suite": { "id": run.id },
            "app": json::app(&world),
            "pull_requests": [],
        })
    };
    let runs: Vec<Value> = known(&world, place.id)?.checks.iter().filter(|run| run.sha == sha).map(run).collect();
    let total = runs.len();
    let (page, headers) = call.slice(runs);
    Ok(Reply::json(200, &json!({ "total_count": total, "check_runs": page })).with_headers(headers))
}

//! What the checks of a commit say: what a follow-up has to put right besides the review.

use hyper::Method;
use serde::Deserialize;

use super::client::{As, GitHub, Reply};
use super::error::ApiError;
use super::path::repo_path;
use super::text_or_null;
use crate::model::{Repository, Sha};

/// A check run that ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// `failure`, `timed_out`, `cancelled` or `action_required`.
    pub conclusion: String,
    /// What it has to say, Markdown.
    pub summary: Option<String>,
    /// The details, Markdown.
    pub text: Option<String>,
    /// Its page.
    pub html_url: String,
}

/// The newest run of each check of a commit that ended badly. The App need not be allowed to know: then there are none.
/// <https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference>
pub async fn failing(gh: &GitHub, repo: &Repository, sha: &Sha) -> Result<Vec<Check>, ApiError> {
    #[derive(Deserialize)]
    struct Page {
        check_runs: Vec<Run>,
    }
    #[derive(Deserialize)]
    struct Run {
        name: String,
        status: String,
        conclusion: Option<String>,
        #[serde(default)]
        output: Output,
        #[serde(default, deserialize_with = "text_or_null")]
        html_url: String,
    }
    #[derive(Default, Deserialize)]
    struct Output {
        summary: Option<String>,
        text: Option<String>,
    }

    let mut failing = Vec::new();
    let mut next = Some(repo_path(repo, &format!("/commits/{sha}/check-runs?per_page=100")));
    // GitHub gives the runs of the newest thousand suites only, so the pages end.
    while let Some(path) = next {
        let reply: Reply<Page> = match gh.call(As::Checks(repo), Method::GET, &path, None::<&()>).await {
            Ok(reply) => reply,
            // Without the permission GitHub gives no token (422); without the commit it has no answer.
            Err(ApiError::Refused { .. } | ApiError::NotFound { .. } | ApiError::NoInstallation { .. }) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        next = gh.linked(&path, &reply.headers, "next")?;
        for run in reply.body.check_runs.into_iter().filter(|run| run.status == "completed") {
            match run.conclusion {
                Some(conclusion) if BAD.contains(&conclusion.as_str()) => failing.push(Check {
                    name: run.name,
                    conclusion,
                    summary: run.output.summary,
                    text: run.output.text,
                    html_url: run.html_url,
                }),
                _ => {}
            }
        }
    }
    Ok(failing)
}

/// The conclusions after which somebody has to act.
const BAD: [&str; 4] = ["failure", "timed_out", "cancelled", "action_required"];

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;
    use serde_json::{Value, json};

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[tokio::test]
    async fn only_what_ended_badly_is_told() {
        let run = |name: &str, status: &str, conclusion: Value| json!({ "name": name, "status": status, "conclusion": conclusion, "output": { "title": null, "summary": "2 failed", "text": null }, "html_url": null });
        let fake = Fake::start("", move |request| {
            assert_eq!(request.path, format!("/repos/octo/hello/commits/{SHA}/check-runs"));
            let page = |runs: Value| respond(200, json!({ "total_count": 5, "check_runs": runs }));
            match request.query.as_str() {
                "per_page=100" => page(json!([
                    run("unit", "completed", json!("failure")),
                    run("lint", "completed", json!("success")),
                    run("slow", "in_progress", Value::Null),
                ]))
                .header("link", &format!("<{}{}?page=2>; rel=\"next\"", request.origin, request.path)),
                _ => page(json!([
                    run("deploy", "completed", json!("timed_out")),
                    run("old", "completed", json!("stale"))
                ])),
            }
        })
        .await;
        let found = failing(&fake.client(), &fake.repo(), &SHA.parse().unwrap()).await.unwrap();
        assert_eq!(found.iter().map(|check| check.name.as_str()).collect::<Vec<_>>(), ["unit", "deploy"]);
        assert_eq!((found[0].summary.as_deref(), found[0].text.as_deref()), (Some("2 failed"), None));
        assert_eq!(fake.seen()[0].body["permissions"], json!({ "checks": "read", "metadata": "read" }));
    }

    #[tokio::test]
    async fn an_app_that_may_not_know_knows_of_none() {
        let mint = |_: &_| {
            Some(respond(422, json!({ "message": "The permissions requested are not granted to this installation." })))
        };
        let fake = Fake::start_with("", mint, |_| respond(500, json!({}))).await;
        assert_eq!(failing(&fake.client(), &fake.repo(), &SHA.parse().unwrap()).await.unwrap(), []);
        let fake = Fake::start("", |_| respond(502, json!({}))).await;
        assert!(failing(&fake.client(), &fake.repo(), &SHA.parse().unwrap()).await.is_err());
    }
}

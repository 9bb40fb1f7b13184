//! Reviews by the address of a pull request, and reviews as text.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{ApiState, Refused};
use crate::cli::api::{ReviewQueued, ReviewRequest};
use crate::db::runs::Run;
use crate::inbox::Trouble;
use crate::inbox::by_url::{self, NotQueued, Wanted};
use crate::model::RepoName;
use crate::report::review;
use crate::trigger::command::Review;

/// Asks for a review.
pub(super) async fn ask(
    State(state): State<ApiState>,
    Json(asked): Json<ReviewRequest>,
) -> Result<Json<ReviewQueued>, Refused> {
    let Some(context) = &state.context else {
        let why = "no server runs that could carry a review out: start `track serve`, then ask again";
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    };
    let ReviewRequest { url, requester, agent, model, runner, instructions } = asked;
    let wanted = Wanted { url, requester, review: Review { agent, model, runner, instructions } };
    match by_url::review(context, &wanted).await {
        Ok(queued) => Ok(Json(ReviewQueued {
            run: queued.run.to_string(),
            repository: queued.repository.to_string(),
            number: queued.number.0,
            requester: queued.requester,
            not_posted: queued.not_posted,
        })),
        Err(NotQueued::Refused(why)) => Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, why)),
        Err(NotQueued::Trouble(Trouble::GitHub(error))) => {
            Err(Refused(StatusCode::BAD_GATEWAY, format!("{error}; nothing was started, ask again")))
        }
        Err(NotQueued::Trouble(Trouble::Other(error))) => Err(error.into()),
    }
}

/// A review as one Markdown text, every finding in it.
pub(super) fn markdown(state: &ApiState, run: &Run, repository: &RepoName) -> Option<String> {
    let page = state.config.public_url.as_ref().map(|url| format!("{url}/admin/runs/{}", run.id));
    review::markdown(run, &format!("{}/{repository}", state.server_url()), page.as_deref())
}

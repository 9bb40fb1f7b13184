//! Teams of organizations, where the page's allow-list names some.

use serde::Deserialize;

use super::client::{As, GitHub};
use super::error::ApiError;
use super::path::encoded;
use crate::model::Repository;

/// Whether a login is an active member of a team; `via` is a repository of the organization, through whose installation is asked.
/// <https://docs.github.com/en/rest/teams/members#get-team-membership-for-a-user>
///
/// # Errors
/// Also where the App may not read members: it needs the organization permission `members: read` for this, and for nothing else.
pub async fn has_member(
    gh: &GitHub,
    via: &Repository,
    (org, team): (&str, &str),
    login: &str,
) -> Result<bool, ApiError> {
    #[derive(Deserialize)]
    struct Membership {
        state: String,
    }

    let path = format!("/orgs/{}/teams/{}/memberships/{}", encoded(org), encoded(team), encoded(login));
    match gh.get::<Membership>(As::Members(via), &path).await {
        Ok(membership) => Ok(membership.state == "active"),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

//! People who signed in with the App, and the teams they are in.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-with-a-github-app-on-behalf-of-a-user>

use serde_json::json;

use crate::sim::app_auth::{Access, Caller, allows};

use super::app::account_in_full;
use super::{Answer, Call, Reply, invalid, not_found, refusal};

/// Whose token it is.
pub(super) fn user(call: &Call<'_>) -> Answer {
    match call.caller {
        Caller::Person(account) => Ok(Reply::json(200, &account_in_full(&call.inner.world(), *account))),
        Caller::Nobody => Err(refusal(401, "Requires authentication")),
        Caller::App | Caller::Installation(..) | Caller::Client => {
            Err(refusal(403, "Resource not accessible by integration"))
        }
    }
}

/// Ends a person's token. <https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token>
pub(super) fn revoke(call: &Call<'_>, client: &str) -> Answer {
    let mut world = call.inner.world();
    if !matches!(call.caller, Caller::Client) {
        return Err(refusal(401, "Requires authentication"));
    }
    if client != world.app.client_id {
        return Err(not_found());
    }
    let token = call.required("OauthAccess", "access_token")?;
    if world.web.revoke(token) {
        return Ok(Reply::empty(204));
    }
    Err(invalid(&[json!({ "resource": "OauthAccess", "field": "access_token", "code": "invalid" })]))
}

/// Whether somebody is in a team, and how.
pub(super) fn membership(call: &Call<'_>, organization: &str, team: &str, login: &str) -> Answer {
    let world = call.inner.world();
    let Caller::Installation(_, token) = call.caller else { return Err(refusal(401, "Requires authentication")) };
    let of = world.organization(organization).ok_or_else(not_found)?;
    let installed = world.installation_on(of).is_some_and(|on| on.id == token.installation);
    if !installed || !allows(token, ("members", Access::Read)) {
        return Err(refusal(403, "Resource not accessible by integration"));
    }
    let members = world.teams.get(&(of, team.to_ascii_lowercase())).ok_or_else(not_found)?;
    let person = world.account_of(login).ok_or_else(not_found)?;
    let membership = members.get(&person.id).ok_or_else(not_found)?;
    let url = format!("{}/organizations/{of}/team/{team}/memberships/{}", world.api(), person.login);
    Ok(Reply::json(200, &json!({ "url": url, "role": "member", "state": membership.state() })))
}

//! What a person may do in a repository, by GitHub's own answer and never by `author_association`.

use serde::Deserialize;

use super::client::{As, GitHub};
use super::error::ApiError;
use super::path::{encoded, repo_path};
use crate::model::{AccountId, Repository};

/// GitHub's roles, from the least to the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No access.
    None,
    /// May look.
    Read,
    /// May sort issues.
    Triage,
    /// May push.
    Write,
    /// May manage without administering.
    Maintain,
    /// May do everything.
    Admin,
}

impl Role {
    /// Whether this role entitles to commands.
    pub fn may_write(self) -> bool {
        self >= Self::Write
    }

    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "read" => Self::Read,
            "triage" => Self::Triage,
            "write" => Self::Write,
            "maintain" => Self::Maintain,
            "admin" => Self::Admin,
            _ => return None,
        })
    }
}

/// What GitHub says about a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The role.
    pub role: Role,
    /// The account that has the login now. Compare it with the account that acted: logins are renamed and taken over (T16).
    pub user: Option<AccountId>,
}

/// The role of a login in a repository; [`Role::None`] where GitHub knows no such person.
/// <https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user>
///
/// # Errors
/// Any other error is no answer: never take it for a yes (T12).
pub async fn of_login(gh: &GitHub, repo: &Repository, login: &str) -> Result<Permission, ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        permission: String,
        #[serde(default)]
        role_name: String,
        user: Option<User>,
    }
    #[derive(Deserialize)]
    struct User {
        id: AccountId,
    }

    let path = repo_path(repo, &format!("/collaborators/{}/permission", encoded(login)));
    match gh.get::<Answer>(As::Repository(repo), &path).await {
        Ok(answer) => {
            // A custom role has a name of its own; `permission` then is the built-in one below it.
            let role = Role::named(&answer.role_name).or_else(|| Role::named(&answer.permission));
            Ok(Permission { role: role.unwrap_or(Role::None), user: answer.user.map(|user| user.id) })
        }
        // Another 404 is about the repository, and so no answer.
        Err(ApiError::NotFound { message, .. }) if message.ends_with("is not a user") => {
            Ok(Permission { role: Role::None, user: None })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn every_answer_of_github_is_one_role() {
        // T12
        let fake = Fake::start("", |request| {
            let login = request.path.split('/').nth(5).unwrap();
            let (permission, role) = match login {
                "gone" => return respond(404, json!({ "message": "x is not a user" })),
                "hidden" => return respond(403, json!({ "message": "Must have push access" })),
                "broken" => return respond(500, json!({})),
                "elsewhere" => return respond(404, json!({ "message": "Not Found" })),
                "maintainer" => ("write", "maintain"),
                "triager" => ("read", "triage"),
                "custom" => ("write", "release-captain"),
                "new" => ("superuser", "superuser"),
                other => (other, other),
            };
            respond(200, json!({ "permission": permission, "role_name": role, "user": { "id": 5, "login": login } }))
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        for (login, role, may) in [
            ("none", Role::None, false),
            ("read", Role::Read, false),
            ("triager", Role::Triage, false),
            ("write", Role::Write, true),
            ("maintainer", Role::Maintain, true),
            ("admin", Role::Admin, true),
            ("custom", Role::Write, true),
            ("new", Role::None, false),
        ] {
            let answer = of_login(&gh, &repo, login).await.unwrap();
            assert_eq!((answer.role, answer.role.may_write(), answer.user), (role, may, Some(AccountId(5))), "{login}");
        }
        assert_eq!(of_login(&gh, &repo, "gone").await.unwrap(), Permission { role: Role::None, user: None });
        for login in ["hidden", "broken", "elsewhere"] {
            assert!(of_login(&gh, &repo, login).await.is_err(), "{login}");
        }
    }
}

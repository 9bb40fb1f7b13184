//! Accounts.

use super::User;
use super::client::{As, GitHub};
use super::error::ApiError;
use super::path::encoded;
use crate::model::{Account, Repository};

/// The account that has a login now; `None` where there is none.
/// <https://docs.github.com/en/rest/users/users#get-a-user>
pub async fn get(gh: &GitHub, via: &Repository, login: &str) -> Result<Option<Account>, ApiError> {
    match gh.get::<User>(As::Repository(via), &format!("/users/{}", encoded(login))).await {
        Ok(user) => Ok(Some(user.account)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

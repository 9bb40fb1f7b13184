//! Which repositories are served. Others get silence, and a decision record says why.

use crate::model::{AccountId, RepoName};

/// The pattern that serves a repository, or the reason why none does.
///
/// Patterns are `owner/*` and `owner/name`, compared without regard to case, as GitHub compares names. Without any setting, the
/// repositories of the App's owner are served, by the owner's id, because a login can be given up and taken by somebody else.
pub fn served(
    allow: Option<&[String]>,
    repository: &RepoName,
    owner: AccountId,
    app_owner: AccountId,
) -> Result<(), String> {
    match allow {
        None if owner == app_owner => Ok(()),
        None => Err(format!("{repository} does not belong to the App's owner; `allow` in track.toml can add it")),
        Some(patterns) if patterns.iter().any(|pattern| matches(pattern, repository)) => Ok(()),
        Some(_) => Err(format!("{repository} matches no pattern of `allow` in track.toml")),
    }
}

/// Whether a pattern is one: for the check of the configuration.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    let probe = pattern.strip_suffix("/*").map(|owner| format!("{owner}/x"));
    match probe.as_deref().unwrap_or(pattern).parse::<RepoName>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{pattern:?} is neither `owner/*` nor `owner/name`")),
    }
}

/// A pattern that is none matches nothing.
fn matches(pattern: &str, repository: &RepoName) -> bool {
    match pattern.split_once('/') {
        Some((owner, "*")) => owner.eq_ignore_ascii_case(&repository.owner),
        Some((owner, name)) => {
            owner.eq_ignore_ascii_case(&repository.owner) && name.eq_ignore_ascii_case(&repository.name)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: AccountId = AccountId(1);
    const THEIRS: AccountId = AccountId(2);

    // T11
    #[test]
    fn a_pattern_names_an_owner_or_one_repository() {
        let repository: RepoName = "Octo-Org/Hello.World".parse().unwrap();
        for (pattern, is_served) in [
            ("octo-org/*", true),
            ("OCTO-ORG/hello.world", true),
            ("Octo-Org/Hello.World", true),
            ("octo-org/hello", false),
            ("octo-org/hello.world2", false),
            ("octo-org/hello*", false),
            ("octo/*", false),
            ("octo-org2/*", false),
            ("*/hello.world", false),
            ("*/*", false),
            ("*", false),
            ("octo-org", false),
            ("octo-org/", false),
            ("", false),
        ] {
            let allow = [pattern.to_owned()];
            assert_eq!(served(Some(&allow), &repository, OURS, OURS).is_ok(), is_served, "{pattern}");
        }
        let both = ["a/*".to_owned(), "octo-org/*".to_owned()];
        assert_eq!(served(Some(&both), &repository, THEIRS, OURS), Ok(()));
        assert!(served(Some(&[]), &repository, OURS, OURS).is_err(), "an empty list serves nobody");
    }

    // T16
    #[test]
    fn without_a_setting_only_the_app_owners_repositories_are_served() {
        let repository: RepoName = "octocat/hello".parse().unwrap();
        assert_eq!(served(None, &repository, OURS, OURS), Ok(()));
        insta::assert_snapshot!(
            served(None, &repository, THEIRS, OURS).unwrap_err(),
            @"octocat/hello does not belong to the App's owner; `allow` in track.toml can add it"
        );
    }

    #[test]
    fn wrong_patterns_are_told_at_start() {
        for good in ["owner/*", "org/repo", "a-b/c.d_e"] {
            assert_eq!(check_pattern(good), Ok(()), "{good}");
        }
        for bad in ["", "*", "owner", "*/*", "*/x", "owner/x*", "owner/**", "a/b/c", "a/", "/b"] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }
}

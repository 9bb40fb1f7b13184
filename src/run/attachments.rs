//! What an agent finds in files beside its prompt: the pull request's diff, what its checks say, and what the texts refer to (B13).
//!
//! All of it helps and none of it is needed: what cannot be had is left out. Every text is data with its source in the first line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tracing::info;

use crate::agent::clean_text;
use crate::context::Context;
use crate::db::runs::Ground;
use crate::git::checks::patch;
use crate::github::{checks, issues};
use crate::model::{Number, Repository, Sha};

/// Bytes of a diff that are handed over; the agent has git for the rest.
const DIFF_LIMIT: usize = 512 * 1024;
/// Bytes of a check's details, from their end: what failed stands there.
const CHECK_TAIL: usize = 8 * 1024;
/// Checks that are told about.
const MOST_CHECKS: usize = 20;
/// Issues and pull requests that are fetched because a text names them.
const MOST_REFERENCES: usize = 10;
/// Bytes of one of them.
const TEXT_LIMIT: usize = 32 * 1024;

/// A file below the folder of the context, with what it is.
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// What it is, for the prompt: our own words.
    pub about: String,
    /// Its content.
    pub content: String,
}

/// Gathers the files. `pull` is the pull request that is gone on with; `texts` are searched for references to others than `subject`.
pub async fn gather(
    context: &Context,
    repository: &Repository,
    (subject, pull): (Number, Option<Number>),
    ground: &Ground,
    texts: &[&str],
) -> Vec<Attachment> {
    let mut named = references(texts);
    named.retain(|number| *number != subject && Some(*number) != pull);
    let (diff, checks, mut attachments) = tokio::join!(
        diff(context, repository, pull, ground),
        failing_checks(context, repository, pull, ground.lease.as_ref()),
        referenced(context, repository, &named),
    );
    attachments.extend(diff);
    attachments.extend(checks);
    attachments.sort_by(|a, b| a.name.cmp(&b.name));
    attachments
}

async fn diff(context: &Context, repository: &Repository, pull: Option<Number>, ground: &Ground) -> Option<Attachment> {
    let pull = pull?;
    let mirror = context.mirrors.open(repository.id).await.ok()?;
    let base = mirror.branch(&ground.base_branch).await.ok()??;
    let mut content = patch(&mirror, &base, &ground.given).await.ok()?;
    let cut = content.len() > DIFF_LIMIT;
    if cut {
        content = format!("{}\n[cut: ask git for the rest]\n", head(&content, DIFF_LIMIT));
    }
    (!content.is_empty()).then(|| Attachment {
        name: "pull-request.diff".to_owned(),
        about: format!("the change of pull request #{pull} as it is now{}", if cut { ", cut" } else { "" }),
        content,
    })
}

async fn failing_checks(
    context: &Context,
    repository: &Repository,
    pull: Option<Number>,
    head: Option<&Sha>,
) -> Option<Attachment> {
    let (pull, head) = (pull?, head?);
    let failing = match checks::failing(&context.github, repository, head).await {
        Ok(failing) => failing,
        Err(error) => {
            info!("the checks of #{pull} are left out: {error}");
            return None;
        }
    };
    let mut content = format!("Checks of {head} that ended badly, as they were reported.\n");
    for check in failing.iter().take(MOST_CHECKS) {
        let _ = writeln!(content, "\n## {} ({}): {}\n", cleaned(&check.name), check.conclusion, check.html_url);
        for text in [&check.summary, &check.text].into_iter().flatten() {
            let _ = writeln!(content, "{}\n", tail(&cleaned(text), CHECK_TAIL));
        }
    }
    (!failing.is_empty()).then(|| Attachment {
        name: "failing-checks.md".to_owned(),
        about: format!("what the failing checks of pull request #{pull} say"),
        content,
    })
}

async fn referenced(context: &Context, repository: &Repository, named: &BTreeSet<Number>) -> Vec<Attachment> {
    let mut attachments = Vec::new();
    for number in named.iter().take(MOST_REFERENCES) {
        // A number that is none of this repository's is no reference.
        let Ok(issue) = issues::get(&context.github, repository, *number).await else { continue };
        let what = if issue.is_pull() { "pull request" } else { "issue" };
        let by = issue.user.as_ref().map_or("nobody", |user| user.account.login.as_str());
        let content = format!(
            "{what} #{number} ({}) by @{by}: {}\n\n{}\n",
            issue.state,
            cleaned(&issue.title),
            head(&cleaned(&issue.body), TEXT_LIMIT)
        );
        attachments.push(Attachment {
            name: format!("referenced-{number}.md"),
            about: format!("{what} #{number}, which a text names"),
            content,
        });
    }
    attachments
}

/// The numbers that texts name as `#7`, where no word or path continues before or after them.
fn references(texts: &[&str]) -> BTreeSet<Number> {
    let mut named = BTreeSet::new();
    for text in texts {
        for (at, _) in text.match_indices('#') {
            let before = text[..at].chars().next_back();
            let digits: String = text[at + 1..].chars().take_while(char::is_ascii_digit).collect();
            let after = text[at + 1 + digits.len()..].chars().next();
            let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '/' | '&' | '#'));
            if let (false, false, Ok(number @ 1..)) = (joined(before), joined(after), digits.parse::<i64>()) {
                named.insert(Number(number));
            }
        }
    }
    named
}

fn cleaned(text: &str) -> String {
    clean_text(text).0
}

fn head(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn tail(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_by_themselves() {
        let named = references(&["See #12, (#7) and octo/other#3; &#39; #0 #8th a#9 ##5\n#21", "Like #7: x/#4"]);
        assert_eq!(named.into_iter().map(|number| number.0).collect::<Vec<_>>(), [7, 12, 21]);
    }
}

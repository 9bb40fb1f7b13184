//! What people said about a line's pull request and no finished run has answered (B20, B23).

use std::collections::HashSet;

use super::trouble::Trouble;
use crate::context::Context;
use crate::db::answered::{self, What};
use crate::db::runs::Run;
use crate::github::reviews::{self, Review, ReviewComment};
use crate::github::{User, permission};
use crate::model::{Account, AccountId, Feedback, LineComment, Millis, Number, Repository, ReviewWords};
use crate::trigger::command;

/// Reviews in these states say what is to be done; the others are verdicts.
const ASKING: &[&str] = &["commented", "changes_requested"];

/// Open feedback of the main users alone, since other people's words are not in an automatic follow-up (B23), and the reviews that
/// GitHub lists by now.
pub async fn by_main_users(
    context: &Context,
    repository: &Repository,
    pull: Number,
    mains: &[Account],
) -> Result<(Feedback, HashSet<i64>), Trouble> {
    let mut said = said(context, repository, pull).await?;
    let listed = std::mem::take(&mut said.listed);
    Ok((said.only(|author, _| mains.iter().any(|main| main.id == author.id)), listed))
}

/// Open feedback for a follow-up that a person asks for: of the main users, of the bot's own reviews, and since the last run that
/// succeeded of everybody with write access (B20, B38); of those whose request was put off whenever they said it. A request that names a
/// reviewer brings only his.
pub async fn for_request(
    context: &Context,
    repository: &Repository,
    pull: Number,
    (run, mains, since): (&Run, &[Account], Millis),
    put_off: &HashSet<AccountId>,
) -> Result<Feedback, Trouble> {
    let mut said = said(context, repository, pull).await?;
    let bot = context.bot(repository).await?.account.id;
    // Answers of earlier runs are no findings.
    said.comments.retain(|comment| comment.author.id != bot || comment.root == comment.id);
    let mut trusted: HashSet<AccountId> = mains.iter().map(|main| main.id).collect();
    trusted.insert(bot);
    for author in said.authors() {
        if !trusted.contains(&author.id) {
            match permission::of_login(&context.github, repository, &author.login).await {
                Ok(found) if found.user == Some(author.id) && found.role.may_write() => {
                    trusted.insert(author.id);
                }
                Ok(_) => {}
                Err(error) if error.retry_at(1, context.clock.now()).is_none() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let whenever = |author: &Account| {
        author.id == bot || put_off.contains(&author.id) || mains.iter().any(|main| main.id == author.id)
    };
    let feedback = said.only(|author, at| trusted.contains(&author.id) && (at >= since || whenever(author)));
    Ok(of_the_named(feedback, &run.ask.instructions))
}

/// The logins that a request names, in lower case.
pub fn named(request: &str) -> HashSet<String> {
    request
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '@')
        .filter_map(|word| word.strip_prefix('@'))
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Where the request names reviewers by their logins, their words alone.
fn of_the_named(feedback: Feedback, request: &str) -> Feedback {
    let words = named(request);
    let named = |author: &Account| words.contains(&author.login.to_ascii_lowercase());
    let anybody = feedback.reviews.iter().any(|review| named(&review.author))
        || feedback.comments.iter().any(|comment| named(&comment.author));
    if !anybody {
        return feedback;
    }
    Feedback {
        pull: feedback.pull,
        reviews: feedback.reviews.into_iter().filter(|review| named(&review.author)).collect(),
        comments: feedback.comments.into_iter().filter(|comment| named(&comment.author)).collect(),
    }
}

/// Everything that is open, whoever said it.
struct Said {
    pull: Number,
    /// All reviews that there are.
    listed: HashSet<i64>,
    reviews: Vec<ReviewWords>,
    comments: Vec<LineComment>,
}

async fn said(context: &Context, repository: &Repository, pull: Number) -> Result<Said, Trouble> {
    let (listed, comments) = tokio::join!(
        reviews::list(&context.github, repository, pull),
        reviews::comments(&context.github, repository, pull, None),
    );
    let answered = answered::of_repository(&mut *context.db.read().await?, repository.id).await?;
    let (listed, comments) = (listed?, comments?);
    // Whoever dismissed a review took it back, with the comments that came with it.
    let taken_back: HashSet<i64> =
        listed.iter().filter(|review| review.state.eq_ignore_ascii_case("dismissed")).map(|review| review.id).collect();
    let open = |what: What, id: i64| !answered.contains(&(what, id));
    Ok(Said {
        pull,
        listed: listed.iter().map(|review| review.id).collect(),
        reviews: listed.into_iter().filter(|review| open(What::Review, review.id)).filter_map(words).collect(),
        comments: comments
            .into_iter()
            .filter(|comment| open(What::Comment, comment.id))
            .filter(|comment| comment.pull_request_review_id.is_none_or(|review| !taken_back.contains(&review)))
            .filter_map(line_comment)
            .collect(),
    })
}

impl Said {
    fn authors(&self) -> Vec<Account> {
        let mut authors: Vec<Account> = self.reviews.iter().map(|review| review.author.clone()).collect();
        authors.extend(self.comments.iter().map(|comment| comment.author.clone()));
        authors.sort_by_key(|author| author.id);
        authors.dedup_by_key(|author| author.id);
        authors
    }

    fn only(self, wanted: impl Fn(&Account, Millis) -> bool) -> Feedback {
        Feedback {
            pull: Some(self.pull),
            reviews: self.reviews.into_iter().filter(|review| wanted(&review.author, review.at)).collect(),
            comments: self.comments.into_iter().filter(|comment| wanted(&comment.author, comment.at)).collect(),
        }
    }
}

/// What a review says itself; one that says nothing has its comments.
fn words(review: Review) -> Option<ReviewWords> {
    let state = review.state.to_ascii_lowercase();
    let says = ASKING.contains(&state.as_str()) && command::says_more(&review.body);
    let author = author(review.user)?;
    says.then_some(ReviewWords { id: review.id, at: review.submitted_at?, author, state, text: review.body })
}

fn line_comment(comment: ReviewComment) -> Option<LineComment> {
    command::says_more(&comment.body).then_some(())?;
    Some(LineComment {
        id: comment.id,
        root: comment.in_reply_to_id.unwrap_or(comment.id),
        at: comment.created_at,
        author: author(comment.user)?,
        path: comment.path,
        // An outdated comment has the line at which it was written.
        line: comment.line.or(comment.original_line),
        left: comment.side.as_deref() == Some("LEFT"),
        diff_hunk: comment.diff_hunk,
        text: comment.body,
    })
}

fn author(user: Option<User>) -> Option<Account> {
    user.map(|user| user.account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(login: &str, id: i64) -> ReviewWords {
        let author = Account { id: AccountId(id), login: login.into() };
        ReviewWords { id, at: 0, author, state: "commented".into(), text: "x".into() }
    }

    // B20
    #[test]
    fn a_request_that_names_a_reviewer_brings_only_his_words() {
        let feedback = Feedback { reviews: vec![by("ann", 1), by("bob-2", 2)], ..Feedback::default() };
        for (request, ids) in [
            ("do what @bob-2 says", vec![2]),
            ("@Ann: yes", vec![1]),
            ("@ann and @bob-2", vec![1, 2]),
            ("do what bob-2 says", vec![1, 2]),
            ("ask @carol", vec![1, 2]),
        ] {
            let left = of_the_named(feedback.clone(), request);
            assert_eq!(left.reviews.iter().map(|review| review.id).collect::<Vec<_>>(), ids, "{request}");
        }
    }
}

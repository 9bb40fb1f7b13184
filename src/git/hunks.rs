//! Which lines of a change GitHub shows: a review comment on any other line is refused, and with it the whole review.
//! <https://docs.github.com/en/rest/pulls/comments#create-a-review-comment-for-a-pull-request>

use std::collections::HashMap;
use std::ops::Range;

use super::error::GitError;
use super::mirror::Mirror;
use crate::model::Sha;

/// Lines of context around a change, as GitHub's diffs have them.
const CONTEXT: &str = "--unified=3";

/// The shown lines of a change, by the path of the file's new version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hunks(HashMap<String, Vec<Hunk>>);

/// One contiguous piece of a file's diff.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hunk {
    old: Range<u32>,
    new: Range<u32>,
}

impl Hunks {
    /// The pieces of a diff by hand: path, lines of the old and of the new version.
    #[cfg(test)]
    pub fn of(pieces: &[(&str, Range<u32>, Range<u32>)]) -> Self {
        let mut hunks = Self::default();
        for (path, old, new) in pieces.iter().cloned() {
            hunks.0.entry(path.to_owned()).or_default().push(Hunk { old, new });
        }
        hunks
    }

    /// Whether the lines `start..=line` of a version stand in one piece of the diff.
    pub fn show(&self, path: &str, left: bool, (start, line): (u32, u32)) -> bool {
        let Some(hunks) = self.0.get(path) else { return false };
        start <= line
            && hunks.iter().any(|hunk| {
                let lines = if left { &hunk.old } else { &hunk.new };
                lines.contains(&start) && lines.contains(&line)
            })
    }
}

/// The pieces of `base...head`, as GitHub shows them on a pull request.
pub async fn hunks(mirror: &Mirror, base: &Sha, head: &Sha) -> Result<Hunks, GitError> {
    let range = format!("{base}...{head}");
    let git = mirror.git("reading the diff").setting("core.quotePath=false".to_owned()).args([
        "diff",
        CONTEXT,
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--find-renames",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        &range,
        "--",
    ]);
    Ok(parse(&String::from_utf8_lossy(&git.ok().await?)))
}

/// Reads a unified diff. Only headers count: the sizes in them say which lines are content.
fn parse(diff: &str) -> Hunks {
    let mut hunks = Hunks::default();
    let (mut old_path, mut path) = (None, None);
    let (mut old_left, mut new_left) = (0, 0);
    for line in diff.lines() {
        if old_left > 0 || new_left > 0 {
            match line.as_bytes().first() {
                Some(b'-') => old_left -= 1,
                Some(b'+') => new_left -= 1,
                Some(b'\\') => {}
                _ => {
                    old_left = u32::saturating_sub(old_left, 1);
                    new_left = u32::saturating_sub(new_left, 1);
                }
            }
            continue;
        }
        if let Some(name) = line.strip_prefix("--- ") {
            old_path = name.trim_end_matches('\t').strip_prefix("a/").map(str::to_owned);
        } else if let Some(name) = line.strip_prefix("+++ ") {
            // A removed file is known by its old name.
            path = name.trim_end_matches('\t').strip_prefix("b/").map(str::to_owned).or_else(|| old_path.clone());
        } else if let (Some((old, new)), Some(path)) = (sizes(line), &path) {
            (old_left, new_left) = (old.end - old.start, new.end - new.start);
            hunks.0.entry(path.clone()).or_default().push(Hunk { old, new });
        }
    }
    hunks
}

/// `@@ -3,7 +3,8 @@ …` as ranges of lines.
fn sizes(line: &str) -> Option<(Range<u32>, Range<u32>)> {
    let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let range = |text: &str| {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        let (start, count): (u32, u32) = (start.parse().ok()?, count.parse().ok()?);
        Some(start..start.checked_add(count)?)
    };
    Some((range(old)?, range(new)?))
}

#[cfg(test)]
mod tests {
    use super::super::Fetch;
    use super::super::testing::{World, git};
    use super::*;

    #[tokio::test]
    async fn lines_of_the_diff_with_their_context_are_shown_and_no_others() {
        let world = World::new().await;
        let lines = |changed: &[(usize, &str)]| -> String {
            let text = |n| {
                changed.iter().find(|(at, _)| *at == n).map_or_else(|| format!("line {n}"), |(_, t)| (*t).to_owned())
            };
            (1..=40).map(|n| text(n) + "\n").collect()
        };
        world.commit("ä b.txt", &lines(&[]));
        let base = world.commit("gone.txt", "a\nb\n");
        std::fs::remove_file(world.work.join("gone.txt")).unwrap();
        let head = world.commit("ä b.txt", &lines(&[(10, "--- a/x"), (30, "@@ -1,9 +1,9 @@")]));
        world.publish();
        git(&world.work, &["push", "--quiet", world.origin.to_str().unwrap(), "HEAD:refs/heads/other"]);
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let hunks = hunks(&mirror, &base, &head).await.unwrap();
        for (path, left, lines, shown) in [
            ("ä b.txt", false, (10, 10), true),
            ("ä b.txt", true, (7, 7), true),
            ("ä b.txt", false, (7, 13), true),
            ("ä b.txt", false, (6, 6), false),
            ("ä b.txt", false, (14, 14), false),
            ("ä b.txt", false, (13, 27), false),
            ("ä b.txt", false, (33, 27), false),
            ("ä b.txt", false, (27, 33), true),
            ("gone.txt", true, (2, 2), true),
            ("gone.txt", false, (1, 1), false),
            ("x", false, (1, 1), false),
        ] {
            assert_eq!(hunks.show(path, left, lines), shown, "{path} {left} {lines:?}");
        }
    }
}

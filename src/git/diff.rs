//! What a run changed, for people: every file with its lines, bounded however large the change is. Content and names are an agent's.

use std::time::Duration;

use super::error::{GitError, classify};
use super::mirror::Mirror;
use crate::model::Sha;

/// Bytes of the whole change that are read.
const PATCH_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of the list of files that are read.
const LIST_BYTES: u64 = 1024 * 1024;
/// Files that are listed.
const FILES: usize = 1_000;
/// Lines of one file that are kept.
const LINES: usize = 2_000;
/// Characters of one line that are kept.
const LINE_CHARS: usize = 2_000;
/// Time for each of the two commands.
const TIME: Duration = Duration::from_secs(10);
/// Files among which git looks for renames.
const RENAMES: &str = "-l400";

/// The difference of two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The changed files, in git's order.
    pub files: Vec<FileDiff>,
    /// Files that changed and are not listed; more may have changed if the list is [`Diff::cut`].
    pub more: usize,
    /// Lines added in all counted files.
    pub insertions: u64,
    /// Lines removed in them.
    pub deletions: u64,
    /// The list of files is not complete.
    pub cut: bool,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// Its path, or the one that it had; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// Where it was before, if it was renamed or copied.
    pub from: Option<String>,
    /// What happened to it.
    pub how: How,
    /// Lines added and removed; `None` for a binary file.
    pub lines: Option<(u64, u64)>,
    /// The changed lines with what is around them.
    pub hunks: Vec<Hunk>,
    /// Whether lines are missing in `hunks`.
    pub cut: bool,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It is a copy of another one.
    Copied,
    /// It is gone.
    Deleted,
    /// Its content changed.
    Modified,
    /// It has another name, and may have changed.
    Renamed,
    /// It is of another type, such as a link.
    Retyped,
}

/// One contiguous piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// The first line in the old and in the new version.
    pub at: (u32, u32),
    /// Where in the file it is, in git's guess: the head of a function.
    pub within: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is in both versions.
    Same(String),
    /// It is new.
    Added(String),
    /// It is gone.
    Removed(String),
    /// The line before ends the file without a line end.
    NoEnd,
}

/// What is different in `result` from `given`, capped in every direction.
///
/// # Errors
/// [`GitError::Slow`] for a change that takes too long, and git's own where a commit is not kept any more.
pub async fn diff(mirror: &Mirror, given: &Sha, result: &Sha) -> Result<Diff, GitError> {
    let what = "reading the change";
    let command = |form: &[&str]| {
        let git = mirror.git(what).setting("core.quotePath=false".to_owned()).timeout(TIME);
        git.args(["diff"]).args(form.iter().copied()).args([
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--find-renames",
            RENAMES,
            "--src-prefix=a/",
            "--dst-prefix=b/",
            given.as_str(),
            result.as_str(),
            "--",
        ])
    };
    let (list, patch) = tokio::join!(
        command(&["--raw", "--numstat", "-z", "--no-abbrev"]).first(LIST_BYTES).run(),
        command(&["--patch", "--unified=3"]).first(PATCH_BYTES).run(),
    );
    let (list, patch) = (list?, patch?);
    if let Some(failed) = [&list, &patch].into_iter().find(|output| !output.success) {
        return Err(classify(what, failed.stderr.clone()));
    }
    let unexpected = || classify(what, "git's output is not as expected".to_owned());
    let mut diff = read_list(&list.stdout, list.cut).ok_or_else(unexpected)?;
    fill(&mut diff.files, &String::from_utf8_lossy(&patch.stdout), patch.cut);
    Ok(diff)
}

/// Reads the raw entries, and the counts that follow them in the same order; `None` where they are anything else. Of a list that was cut
/// the entries may be there without their counts.
fn read_list(output: &[u8], cut: bool) -> Option<Diff> {
    let text = String::from_utf8_lossy(output);
    let mut fields = text.split('\0').peekable();
    let mut diff = Diff { cut, ..Diff::default() };
    let mut count = 0;
    while let Some(head) = fields.next_if(|field| field.starts_with(':')) {
        let Some((first, second)) = paths(head, &mut fields) else { break };
        let how = match head.rsplit(' ').next()?.chars().next()? {
            'A' => How::Added,
            'C' => How::Copied,
            'D' => How::Deleted,
            'R' => How::Renamed,
            'T' => How::Retyped,
            _ => How::Modified,
        };
        let (path, from) = match second {
            Some(to) => (to, Some(first)),
            None => (first, None),
        };
        count += 1;
        if diff.files.len() < FILES {
            diff.files.push(FileDiff { path, from, how, lines: None, hunks: Vec::new(), cut: false });
        }
    }
    diff.more = count - diff.files.len();
    for n in 0..count {
        let Some(numbers) = fields.next().filter(|field| !field.is_empty()) else { break };
        let mut numbers = numbers.splitn(3, '\t');
        let (Some(added), Some(removed), Some(path)) = (numbers.next(), numbers.next(), numbers.next()) else { break };
        // Of a rename both paths follow in fields of their own.
        if path.is_empty() {
            fields.nth(1);
        }
        let lines = added.parse::<u64>().ok().zip(removed.parse::<u64>().ok());
        let (added, removed) = lines.unwrap_or_default();
        diff.insertions += added;
        diff.deletions += removed;
        if let Some(file) = diff.files.get_mut(n) {
            file.lines = lines;
        }
    }
    (cut || fields.all(str::is_empty)).then_some(diff)
}

/// The path behind a raw entry, and the second one of a rename or copy.
fn paths<'a>(head: &str, fields: &mut impl Iterator<Item = &'a str>) -> Option<(String, Option<String>)> {
    let two = head.rsplit(' ').next()?.starts_with(['R', 'C']);
    let first = fields.next()?.to_owned();
    let second = if two { Some(fields.next()?.to_owned()) } else { None };
    Some((first, second))
}

/// Gives each file its part of the patch, which has them in the same order.
fn fill(files: &mut [FileDiff], patch: &str, cut: bool) {
    let mut lines = patch.split('\n').peekable();
    for file in files.iter_mut() {
        // A file of another type is removed and added again.
        let parts = if file.how == How::Retyped { 2 } else { 1 };
        for _ in 0..parts {
            if lines.next_if(|line| line.starts_with("diff --git ")).is_none() {
                file.cut = cut;
                break;
            }
            read_file(file, &mut lines);
        }
        if lines.peek().is_none() {
            file.cut |= cut;
        }
    }
}

/// Reads up to the head of the next file. The sizes in the heads of hunks say which lines are content, so that content cannot pose as a head.
fn read_file<'a>(file: &mut FileDiff, lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) {
    let mut kept: usize = file.hunks.iter().map(|hunk| hunk.lines.len()).sum();
    while let Some(head) = lines.next_if(|line| !line.starts_with("diff --git ")) {
        let Some(Head { at, sizes: (mut old, mut new), within }) = hunk_head(head) else { continue };
        let mut hunk = Hunk { at, within: capped(within), lines: Vec::new() };
        while old > 0 || new > 0 || lines.peek().is_some_and(|line| line.starts_with('\\')) {
            let Some(line) = lines.next() else { break };
            let text = line.get(1..).unwrap_or_default();
            let line = match line.as_bytes().first() {
                Some(b'+') => {
                    new = new.saturating_sub(1);
                    Line::Added(capped(text))
                }
                Some(b'-') => {
                    old = old.saturating_sub(1);
                    Line::Removed(capped(text))
                }
                Some(b'\\') => Line::NoEnd,
                _ => {
                    (old, new) = (old.saturating_sub(1), new.saturating_sub(1));
                    Line::Same(capped(text))
                }
            };
            if kept < LINES {
                kept += 1;
                hunk.lines.push(line);
            } else {
                file.cut = true;
            }
        }
        if !hunk.lines.is_empty() {
            file.hunks.push(hunk);
        }
    }
}

fn capped(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// `@@ -3,7 +3,8 @@ fn main()`, each pair for the old and the new version.
struct Head<'a> {
    at: (u32, u32),
    /// How many lines it has.
    sizes: (u32, u32),
    within: &'a str,
}

fn hunk_head(line: &str) -> Option<Head<'_>> {
    let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, within) = rest.split_once(" @@")?;
    let range = |text: &str| -> Option<(u32, u32)> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let ((old_at, old), (new_at, new)) = (range(old)?, range(new)?);
    Some(Head { at: (old_at, new_at), sizes: (old, new), within: within.trim_start() })
}

#[cfg(test)]
mod tests {
    use super::super::Fetch;
    use super::super::testing::{World, git};
    use super::*;

    fn shown(diff: &Diff) -> String {
        let mut out = format!("+{} -{} more {} cut {}\n", diff.insertions, diff.deletions, diff.more, diff.cut);
        for file in &diff.files {
            let from = file.from.as_ref().map(|from| format!(" from {from:?}")).unwrap_or_default();
            out.push_str(&format!("{:?} {:?}{from} {:?} cut {}\n", file.how, file.path, file.lines, file.cut));
            for hunk in &file.hunks {
                out.push_str(&format!("  {:?} {:?}\n", hunk.at, hunk.within));
                for line in &hunk.lines {
                    out.push_str(&format!("    {line:?}\n"));
                }
            }
        }
        out
    }

    #[tokio::test]
    async fn every_kind_of_change_is_shown() {
        let world = World::new().await;
        let text = (1..=20).map(|n| format!("line {n}\n")).collect::<String>();
        world.commit("moved", &text);
        world.commit("retyped", "x\n");
        world.commit("gone", "a\nb\n");
        std::fs::write(world.work.join("binary"), b"\0\x01").unwrap();
        let given = world.commit("changed", "one\ntwo\n");
        git(&world.work, &["mv", "moved", "ä \"new\"\nname"]);
        std::fs::remove_file(world.work.join("gone")).unwrap();
        std::fs::remove_file(world.work.join("retyped")).unwrap();
        std::os::unix::fs::symlink("changed", world.work.join("retyped")).unwrap();
        std::fs::write(world.work.join("binary"), b"\0\x02").unwrap();
        std::fs::write(world.work.join("empty"), b"").unwrap();
        let result = world.commit("changed", "one\ndiff --git a/x b/x\n@@ -1 +1 @@\n--- a/x");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let diff = diff(&mirror, &given, &result).await.unwrap();
        insta::assert_snapshot!(shown(&diff), @r#"
        +4 -4 more 0 cut false
        Modified "binary" None cut false
        Modified "changed" Some((3, 1)) cut false
          (1, 1) ""
            Same("one")
            Removed("two")
            Added("diff --git a/x b/x")
            Added("@@ -1 +1 @@")
            Added("--- a/x")
            NoEnd
        Added "empty" Some((0, 0)) cut false
        Deleted "gone" Some((0, 2)) cut false
          (1, 0) ""
            Removed("a")
            Removed("b")
        Retyped "retyped" Some((1, 1)) cut false
          (1, 0) ""
            Removed("x")
          (0, 1) ""
            Added("changed")
            NoEnd
        Renamed "ä \"new\"\nname" from "moved" Some((0, 0)) cut false
        "#);
    }

    #[tokio::test]
    async fn a_huge_change_is_cut_and_says_so() {
        let world = World::new().await;
        let given = world.commit("a", "1\n");
        std::fs::write(world.work.join("b"), "b\n".repeat(10_000)).unwrap();
        std::fs::write(world.work.join("c"), "c".repeat(3 * 1024 * 1024)).unwrap();
        let result = world.commit("d", "d\n");
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let diff = diff(&mirror, &given, &result).await.unwrap();
        let sizes: Vec<_> = diff
            .files
            .iter()
            .map(|file| {
                (file.path.as_str(), file.lines, file.hunks.iter().map(|h| h.lines.len()).sum::<usize>(), file.cut)
            })
            .collect();
        let expected =
            [("b", Some((10_000, 0)), LINES, true), ("c", Some((1, 0)), 1, true), ("d", Some((1, 0)), 0, true)];
        assert_eq!(sizes, expected);
        let gone: Sha = "1".repeat(40).parse().unwrap();
        assert!(super::diff(&mirror, &given, &gone).await.is_err());
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_one() {
        assert_eq!(read_list(b"", false), Some(Diff::default()));
        assert_eq!(read_list(b"warning: x\0", false), None);
        assert!(read_list(b":100644 100644 0 0 M\0a\0:100644 1006", true).is_some_and(|diff| diff.files.len() == 1));
    }
}

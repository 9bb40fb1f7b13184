//! Which lines of a file are part of a diff, read from git's own hunks: only those can be commented on.

use std::ops::Range;
use std::path::Path;

use super::git;

/// One part of a file's diff.
pub(super) struct Hunk {
    /// The `@@` line.
    header: String,
    old: Range<u32>,
    new: Range<u32>,
    /// With their first characters.
    lines: Vec<String>,
}

/// A line that is part of a diff.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    /// Which hunk it is in.
    pub hunk: usize,
    line: usize,
}

impl Spot {
    pub fn is_above(self, other: Self) -> bool {
        (self.hunk, self.line) < (other.hunk, other.line)
    }
}

/// The hunks of a file in a range such as `base...head`; none if it is not changed there.
pub(super) async fn hunks(folder: &Path, range: &[&str], path: &str) -> anyhow::Result<Vec<Hunk>> {
    let mut args = vec!["diff", "--no-color", "--no-renames"];
    args.extend(range);
    let path = format!(":(literal){path}");
    args.extend(["--", &path]);
    let diff = git::run(folder, &args, b"").await?;
    let mut hunks: Vec<Hunk> = Vec::new();
    for line in String::from_utf8_lossy(&diff).lines() {
        match (header(line), hunks.last_mut()) {
            (Some((old, new)), _) => hunks.push(Hunk { header: line.to_owned(), old, new, lines: Vec::new() }),
            (None, Some(hunk)) => hunk.lines.push(line.to_owned()),
            // The lines that name the file.
            (None, None) => {}
        }
    }
    Ok(hunks)
}

/// Where a line is in a diff, if it is part of it.
pub(super) fn find(hunks: &[Hunk], line: u32, side: &str) -> Option<Spot> {
    hunks.iter().enumerate().find_map(|(at, hunk)| Some(Spot { hunk: at, line: hunk.find(line, side)? }))
}

/// The diff down to a line, and the line's position as GitHub counts it: from the first `@@`, further ones included.
pub(super) fn shown(hunks: &[Hunk], spot: Spot) -> (String, u32) {
    let hunk = &hunks[spot.hunk];
    let above: usize = hunks[..spot.hunk].iter().map(|hunk| hunk.lines.len() + 1).sum();
    let text = [&hunk.header].into_iter().chain(&hunk.lines[..=spot.line]).map(String::as_str).collect::<Vec<_>>();
    (text.join("\n"), (above + spot.line + 1) as u32)
}

/// Where a line of one commit is in another; none if it was changed.
pub(super) async fn carried(folder: &Path, (from, to): (&str, &str), path: &str, line: u32) -> Option<u32> {
    let mut shift = 0;
    for Hunk { old, new, .. } in hunks(folder, &["--unified=0", from, to], path).await.ok()? {
        if old.contains(&line) {
            return None;
        }
        // For lines that were only added git names the line before them.
        if if old.is_empty() { old.start < line } else { old.end <= line } {
            shift += i64::from(new.end - new.start) - i64::from(old.end - old.start);
        }
    }
    u32::try_from(i64::from(line) + shift).ok()
}

impl Hunk {
    fn find(&self, line: u32, side: &str) -> Option<usize> {
        let (mut old, mut new) = (self.old.start, self.new.start);
        self.lines.iter().position(|text| {
            let (in_old, in_new) = match text.as_bytes().first() {
                Some(b'+') => (false, true),
                Some(b'-') => (true, false),
                // "\ No newline at end of file"
                Some(b'\\') => (false, false),
                _ => (true, true),
            };
            let found = if side == "LEFT" { in_old && old == line } else { in_new && new == line };
            old += u32::from(in_old);
            new += u32::from(in_new);
            found
        })
    }
}

/// The ranges of `@@ -<start>[,<count>] +<start>[,<count>] @@`.
fn header(line: &str) -> Option<(Range<u32>, Range<u32>)> {
    let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let range = |text: &str| {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        let (start, count): (u32, u32) = (start.parse().ok()?, count.parse().ok()?);
        Some(start..start + count)
    };
    Some((range(old)?, range(new)?))
}

//! A review as GitHub takes it: findings on lines of the diff become comments there, everything else stands in the body (B32). Pure.
//!
//! GitHub refuses a whole review for one comment on a line that its diff does not show.

use std::fmt::Write as _;

use super::text::{BODY_LIMIT, code, cut, quoted, quoted_line};
use super::wording;
use crate::agent::{Answer, Finding, ReviewAnswer, Severity, Side};
use crate::db::reports::LineNote;
use crate::db::runs::Run;
use crate::git::hunks::Hunks;
use crate::model::Sha;

/// Comments on lines of one review; more are nobody's to read.
const MOST_NOTES: usize = 40;
/// Bytes of one comment on a line.
const NOTE_LIMIT: usize = 8_000;
/// Bytes of the review's own text.
const TEXT_LIMIT: usize = 20_000;
/// Bytes of one finding in the body.
const FINDING_LIMIT: usize = 2_000;

/// What is known of the review beside the agent's answer.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Login of who asked; he is mentioned.
    pub requester: &'a str,
    /// The commit that was reviewed.
    pub head: &'a Sha,
    /// Where the pull request is by now, if it moved meanwhile.
    pub moved_to: Option<&'a Sha>,
    /// `https://github.com/owner/name`.
    pub repository_url: &'a str,
    /// Name of the agent.
    pub agent: &'a str,
    /// The run, as it is shown.
    pub run: &'a str,
}

/// A review ready to be submitted; the marker comes on top of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its text.
    pub body: String,
    /// Comments on lines of the diff.
    pub notes: Vec<LineNote>,
}

/// Puts each finding where it can stand. Without `hunks` all of them stand in the body.
pub fn place(answer: &ReviewAnswer, hunks: Option<&Hunks>, scene: &Scene<'_>) -> Placed {
    let mut findings: Vec<&Finding> = answer.findings.iter().collect();
    findings.sort_by_key(|finding| finding.severity);
    let (mut notes, mut elsewhere) = (Vec::new(), Vec::new());
    for finding in findings {
        match note(finding, hunks) {
            Some(note) if notes.len() < MOST_NOTES => notes.push(note),
            _ => elsewhere.push(finding),
        }
    }
    Placed { body: body(answer, (&elsewhere, notes.len()), scene), notes }
}

fn note(finding: &Finding, hunks: Option<&Hunks>) -> Option<LineNote> {
    let line = finding.line?;
    let start = finding.start_line.filter(|start| *start < line);
    let left = finding.side == Side::Left;
    hunks?.show(&finding.path, left, (start.unwrap_or(line), line)).then(|| LineNote {
        path: finding.path.clone(),
        line,
        start,
        left,
        body: note_body(finding),
    })
}

fn note_body(finding: &Finding) -> String {
    let mut body = format!("{}{}", heading(finding), quoted(&finding.body, NOTE_LIMIT));
    // Only lines of the new version can be replaced.
    if let Some(suggestion) = finding.suggestion.as_deref().filter(|_| finding.side == Side::Right) {
        let longest = suggestion.lines().map(|line| line.len() - line.trim_start_matches('`').len()).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let suggestion = suggestion.strip_suffix('\n').unwrap_or(suggestion);
        let lines = if suggestion.is_empty() { String::new() } else { format!("{suggestion}\n") };
        if lines.len() <= NOTE_LIMIT {
            let _ = write!(body, "\n\n{fence}suggestion\n{lines}{fence}");
        }
    }
    body
}

fn heading(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::High => "🔴 High",
        Severity::Medium => "🟠 Medium",
        Severity::Low => "🟡 Low",
    };
    format!("**{severity}: {}**\n\n", quoted_line(&finding.title, 300))
}

fn body(answer: &ReviewAnswer, (elsewhere, notes): (&[&Finding], usize), scene: &Scene<'_>) -> String {
    let mut out = format!("@{} requested me to review this PR.\n", scene.requester);
    let text = [&answer.body, &answer.summary].into_iter().find(|text| !text.trim().is_empty());
    if let Some(text) = text {
        let _ = writeln!(out, "\n{}", quoted(text, TEXT_LIMIT));
    } else if answer.findings.is_empty() {
        out.push_str("\nThere is nothing to find fault with.\n");
    }
    if let Some(now) = scene.moved_to {
        let (at, now) = (code(scene.head.short()), code(now.short()));
        let _ = writeln!(out, "\nThis is about {at}; the pull request is at {now} by now.");
    }
    if !elsewhere.is_empty() {
        let more = if notes > 0 { "**Beside the comments on lines:**" } else { "**Findings:**" };
        let _ = writeln!(out, "\n{more}\n");
        let mut left_out = 0;
        for finding in elsewhere {
            let item = format!("- {}", in_body(finding, scene));
            if out.len() + item.len() > BODY_LIMIT - 1_000 {
                left_out += 1;
                continue;
            }
            let _ = writeln!(out, "{item}");
        }
        if left_out > 0 {
            let _ = writeln!(out, "\n{left_out} more did not fit and were left out.");
        }
    }
    if let Some(notes) = answer.notes.as_deref().filter(|notes| !notes.trim().is_empty()) {
        let _ = writeln!(out, "\n**Notes:** {}", quoted(notes, FINDING_LIMIT));
    }
    let _ = write!(out, "\n<sub>{} by {} at {}</sub>", scene.run, code(scene.agent), code(scene.head.short()));
    cut(&out, BODY_LIMIT - 500)
}

/// A finding as an item of a list, with a link to its line.
fn in_body(finding: &Finding, scene: &Scene<'_>) -> String {
    let path: String = finding
        .path
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"/._-".contains(&b) {
                (b as char).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let shown = match finding.line {
        Some(line) => format!("{}:{line}", finding.path),
        None => finding.path.clone(),
    };
    let anchor = finding.line.map_or_else(String::new, |line| format!("#L{line}"));
    let place = match finding.side {
        Side::Right => format!("[{}]({}/blob/{}/{path}{anchor})", code(&shown), scene.repository_url, scene.head),
        // The old version is not at this commit.
        Side::Left => code(&shown),
    };
    let text = format!("{} {place}: {}", heading(finding).trim(), quoted(&finding.body, FINDING_LIMIT));
    text.replace('\n', "\n  ")
}

/// The review of a run as one Markdown text, every finding in it; `None` where there is none. `page` is the address of the run's page, where
/// people can reach it.
pub fn markdown(run: &Run, repository_url: &str, page: Option<&str>) -> Option<String> {
    let (Some(Answer::Review(answer)), Some(pin)) = (Answer::stored(run.kind, run.answer.clone()?), &run.ask.pin)
    else {
        return None;
    };
    let scene = Scene {
        requester: &run.ask.requester.login,
        head: &pin.head,
        moved_to: None,
        repository_url,
        agent: &run.agent,
        run: &wording::run_link(run.id, page),
    };
    Some(place(&answer, None, &scene).body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AnswerStatus;

    fn finding(path: &str, line: Option<u32>) -> Finding {
        Finding {
            path: path.into(),
            line,
            start_line: None,
            side: Side::Right,
            severity: Severity::Low,
            title: "Ask @mona".into(),
            body: "It goes wrong.".into(),
            suggestion: None,
        }
    }

    fn answer(findings: Vec<Finding>) -> ReviewAnswer {
        ReviewAnswer {
            status: AnswerStatus::Succeeded,
            summary: "Short.".into(),
            body: "The change is sound but for two things.".into(),
            findings,
            notes: None,
        }
    }

    fn placed(answer: &ReviewAnswer, hunks: Option<&Hunks>, moved_to: Option<&Sha>) -> Placed {
        let head: Sha = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let scene = Scene {
            requester: "mona",
            head: &head,
            moved_to,
            repository_url: "https://github.test/octo/hello",
            agent: "codex",
            run: "run `R`",
        };
        place(answer, hunks, &scene)
    }

    // B32
    #[test]
    fn findings_stand_on_their_lines_where_the_diff_shows_them_and_in_the_body_elsewhere() {
        let hunks = Hunks::of(&[("src/a b.rs", 10..20, 10..20)]);
        let with = Finding {
            suggestion: Some("let x = 1;\n```\n".into()),
            start_line: Some(11),
            severity: Severity::High,
            ..finding("src/a b.rs", Some(12))
        };
        let answer = answer(vec![finding("src/a b.rs", Some(40)), finding("src/a b.rs", None), with]);
        let moved: Sha = "1123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let Placed { body, notes } = placed(&answer, Some(&hunks), Some(&moved));
        insta::assert_snapshot!(body, @"
        @mona requested me to review this PR.

        The change is sound but for two things.

        This is about `0123456`; the pull request is at `1123456` by now.

        **Beside the comments on lines:**

        - **🟡 Low: Ask @<!-- -->mona** [`src/a b.rs:40`](https://github.test/octo/hello/blob/0123456789abcdef0123456789abcdef01234567/src/a%20b.rs#L40): It goes wrong.
        - **🟡 Low: Ask @<!-- -->mona** [`src/a b.rs`](https://github.test/octo/hello/blob/0123456789abcdef0123456789abcdef01234567/src/a%20b.rs): It goes wrong.

        <sub>run `R` by `codex` at `0123456`</sub>
        ");
        assert_eq!((notes.len(), notes[0].line, notes[0].start), (1, 12, Some(11)));
        insta::assert_snapshot!(notes[0].body, @"
        **🔴 High: Ask @<!-- -->mona**

        It goes wrong.

        ````suggestion
        let x = 1;
        ```
        ````
        ");
        let Placed { body, notes } = placed(&answer, None, None);
        assert!(notes.is_empty() && body.contains("**Findings:**"), "{body}");
    }

    #[test]
    fn a_review_without_findings_says_so_and_one_with_too_many_fits() {
        let none = ReviewAnswer { body: String::new(), summary: " ".into(), ..answer(Vec::new()) };
        insta::assert_snapshot!(placed(&none, None, None).body, @"
        @mona requested me to review this PR.

        There is nothing to find fault with.

        <sub>run `R` by `codex` at `0123456`</sub>
        ");
        let long = Finding { body: "x".repeat(5_000), ..finding("a", None) };
        let body = placed(&answer(vec![long; 100]), None, None).body;
        assert!(body.len() < BODY_LIMIT && body.contains("did not fit"), "{}", body.len());
    }
}

//! Findings and checks as pages say them: the words in backticks of a remedy are code, what stands on lines of its own can be copied.

use askama::Template;

use crate::doctor::{Check, Finding, Mark};

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whether it is to be typed.
    pub code: bool,
    /// Its text.
    pub text: String,
}

/// One line of a check or a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How much it matters.
    pub mark: Mark,
    /// What it is about.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: Vec<Piece>,
    /// Text that the remedy speaks of, such as a key.
    pub given: Option<String>,
    /// The runner whose page says more.
    pub runner: Option<String>,
}

impl Said {
    /// A line of a check.
    pub fn of(check: &Check) -> Self {
        let mark = match (check.ok, check.remedy.is_empty()) {
            (false, _) => Mark::Miss,
            (true, false) => Mark::Note,
            (true, true) => Mark::Fine,
        };
        let (sentence, given) = match check.remedy.split_once('\n') {
            Some((sentence, given)) => (sentence, Some(given.to_owned())),
            None => (check.remedy.as_str(), None),
        };
        let (what, found) = (check.what.clone(), check.found.clone());
        Self { mark, what, found, remedy: pieces(sentence), given, runner: None }
    }

    /// A finding.
    pub fn finding(finding: &Finding) -> Self {
        Self { runner: finding.runner.clone(), ..Self::of(&finding.check) }
    }

    /// The word that stands before it.
    pub fn word(&self) -> &'static str {
        match self.mark {
            Mark::Miss => "missing",
            Mark::Note => "note",
            Mark::Fine => "ok",
        }
    }

    /// The colour of the word.
    pub fn class(&self) -> &'static str {
        match self.mark {
            Mark::Miss => "bad",
            Mark::Note => "warn",
            Mark::Fine => "good",
        }
    }
}

/// A list of them.
#[derive(Template)]
#[template(path = "said.html")]
pub struct List<'a> {
    /// The lines.
    pub lines: &'a [Said],
    /// Whether each names the runner whose page says more.
    pub links: bool,
}

/// Sentences with what is to be typed apart.
fn pieces(sentence: &str) -> Vec<Piece> {
    let pieces = sentence.split('`').enumerate().filter(|(_, text)| !text.is_empty());
    pieces.map(|(at, text)| Piece { code: at % 2 == 1, text: text.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // T26
    #[test]
    fn hostile_lines_stay_text() {
        let check = Check {
            what: "agent <b>".into(),
            ok: false,
            found: "<script>alert(1)</script>".into(),
            remedy: "run `track <i>` there:\n\"><img src=x onerror=alert(1)>".into(),
        };
        let fine = Check { what: "git".into(), ok: true, found: "2.47".into(), remedy: String::new() };
        let lines = [Said { runner: Some("build-1".into()), ..Said::of(&check) }, Said::of(&fine)];
        let html = List { lines: &lines, links: true }.render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<i>"), "{html}");
        assert!(html.contains("run <code>track &#60;i&#62;</code> there:"), "{html}");
        assert!(html.contains("href=\"/admin/runners/build-1\""), "{html}");
    }
}

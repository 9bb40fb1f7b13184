//! The change of a run as HTML: a list of files, each with its lines folded under it.

use std::fmt::Write as _;

use crate::git::diff::{Diff, FileDiff, How, Line};
use crate::markup::escape;

/// Bytes of HTML after which the lines of further files are left out.
const MOST: usize = 3 * 1024 * 1024;

/// The files of a change.
pub fn render(diff: &Diff) -> String {
    let mut out = String::new();
    for (n, file) in diff.files.iter().enumerate() {
        let full = out.len() > MOST;
        let _ = write!(out, "<details class=\"diff\" id=\"file-{}\"><summary>{}</summary>", n + 1, head(file));
        match file.lines {
            None => out.push_str("<p>A binary file.</p>"),
            Some(_) if full => out.push_str("<p>The change is too large to be shown whole.</p>"),
            Some((0, 0)) => out.push_str("<p>No line is different.</p>"),
            Some(_) => lines(&mut out, file),
        }
        out.push_str("</details>\n");
    }
    if diff.more > 0 || diff.cut {
        let _ = writeln!(
            out,
            "<p>{} more files are not listed{}.</p>",
            diff.more,
            if diff.cut { ", perhaps more" } else { "" }
        );
    }
    out
}

fn head(file: &FileDiff) -> String {
    let word = match file.how {
        How::Added => "added",
        How::Copied => "copied",
        How::Deleted => "removed",
        How::Modified => "changed",
        How::Renamed => "renamed",
        How::Retyped => "of another type",
    };
    let mut out =
        format!("<code>{}</code> <span class=\"badge {}\">{word}</span>", visible(&file.path), class(file.how));
    if let Some(from) = &file.from {
        let _ = write!(out, " <span class=\"quiet\">from <code>{}</code></span>", visible(from));
    }
    if let Some((added, removed)) = file.lines {
        let _ = write!(out, " <span class=\"number\">+{added} −{removed}</span>");
    }
    out
}

fn class(how: How) -> &'static str {
    match how {
        How::Added | How::Copied => "good",
        How::Deleted => "bad",
        How::Modified | How::Renamed | How::Retyped => "calm",
    }
}

fn lines(out: &mut String, file: &FileDiff) {
    out.push_str("<pre tabindex=\"0\">");
    for hunk in &file.hunks {
        let (old, new) = hunk.at;
        let _ = write!(out, "<span class=\"at\">@@ −{old} +{new} @@ {}</span>", visible(&hunk.within));
        for line in &hunk.lines {
            let _ = match line {
                Line::Same(text) => write!(out, "<span> {}</span>", visible(text)),
                Line::Added(text) => write!(out, "<span class=\"add\">+{}</span>", visible(text)),
                Line::Removed(text) => write!(out, "<span class=\"del\">-{}</span>", visible(text)),
                Line::NoEnd => write!(out, "<span class=\"at\">no line end at the end of the file</span>"),
            };
        }
    }
    out.push_str("</pre>");
    if file.cut {
        out.push_str("<p>Not all of its lines are shown.</p>");
    }
}

/// Source text as it is, with everything made visible that could make it look like something else.
fn visible(text: &str) -> String {
    // A tab is part of most source text, and harmless.
    let shown: Vec<String> = text.split('\t').map(crate::logging::visible).collect();
    escape(&shown.join("\t"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::diff::Hunk;

    // T26
    #[test]
    fn a_change_is_shown_and_hides_nothing() {
        let file = |path: &str, how, lines: &[Line]| FileDiff {
            path: path.to_owned(),
            from: (how == How::Renamed).then(|| "old<b>".to_owned()),
            how,
            lines: Some((lines.len() as u64, 0)),
            hunks: vec![Hunk { at: (1, 2), within: "fn <main>()".to_owned(), lines: lines.to_vec() }],
            cut: false,
        };
        let text = |text: &str| text.to_owned();
        let diff = Diff {
            files: vec![
                file(
                    "a\"><script>",
                    How::Renamed,
                    &[
                        Line::Same(text("\tif a < b {")),
                        Line::Added(text("// \u{202e}}; nimda si\u{2066}")),
                        Line::Removed(text("</pre><script>alert(1)</script>")),
                        Line::NoEnd,
                    ],
                ),
                FileDiff { lines: None, ..file("logo.png", How::Added, &[]) },
                FileDiff { cut: true, ..file("big", How::Deleted, &[Line::Removed(text("x"))]) },
            ],
            more: 3,
            ..Diff::default()
        };
        insta::assert_snapshot!(render(&diff), @r##"
        <details class="diff" id="file-1"><summary><code>a&quot;&gt;&lt;script&gt;</code> <span class="badge calm">renamed</span> <span class="quiet">from <code>old&lt;b&gt;</code></span> <span class="number">+4 −0</span></summary><pre tabindex="0"><span class="at">@@ −1 +2 @@ fn &lt;main&gt;()</span><span> 	if a &lt; b {</span><span class="add">+// \u{202e}}; nimda si\u{2066}</span><span class="del">-&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;</span><span class="at">no line end at the end of the file</span></pre></details>
        <details class="diff" id="file-2"><summary><code>logo.png</code> <span class="badge good">added</span></summary><p>A binary file.</p></details>
        <details class="diff" id="file-3"><summary><code>big</code> <span class="badge bad">removed</span> <span class="number">+1 −0</span></summary><pre tabindex="0"><span class="at">@@ −1 +2 @@ fn &lt;main&gt;()</span><span class="del">-x</span></pre><p>Not all of its lines are shown.</p></details>
        <p>3 more files are not listed.</p>
        "##);
    }
}

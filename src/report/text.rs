//! Words of agents and people on their way into a comment: nobody is notified, nothing is hidden, no marker is forged.

use crate::agent::visible;

/// GitHub's limit for the body of a comment or pull request, in characters; it counts what we count as bytes at most.
pub const BODY_LIMIT: usize = 65_536;

/// Makes a text from an agent or a person safe to stand in a comment of ours: mentions do not notify, HTML comments and hidden
/// characters vanish, a code block that it leaves open is closed, and it is cut at `limit` bytes with a note.
pub fn quoted(text: &str, limit: usize) -> String {
    closed(defused(shown(text).trim(), limit))
}

/// The same for one line: line breaks become spaces.
pub fn quoted_line(text: &str, limit: usize) -> String {
    defused(&shown(text).split_whitespace().collect::<Vec<_>>().join(" "), limit)
}

/// A title as its author wrote it, on one line, without what nobody can see. Titles are plain text on GitHub: nobody is notified by
/// them and nothing in them is markup. At most `limit` characters.
pub fn title(text: &str, limit: usize) -> String {
    let text = visible(text).replace(['\n', '\t'], " ");
    let text = text.trim();
    match text.char_indices().nth(limit) {
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Cuts a text at a character boundary and says so.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… (cut)", &text[..end])
}

/// Text inside a code span: backticks would end it.
pub fn code(text: &str) -> String {
    let inner: String = text.chars().filter(|c| !c.is_control()).map(|c| if c == '`' { '\'' } else { c }).collect();
    format!("`{}`", cut(&inner, 200))
}

/// The text as it shows on GitHub: without hidden characters and HTML comments.
fn shown(text: &str) -> String {
    let mut shown = visible(text);
    // A removal can bring the halves of another comment together.
    while let Some(begin) = shown.find("<!--") {
        let end = shown[begin..].find("-->").map_or(shown.len(), |end| begin + end + 3);
        shown.replace_range(begin..end, "");
    }
    shown
}

/// The text with an empty comment in each mention, cut where the next piece does not fit: never inside of such a comment, which
/// would hide whatever follows.
fn defused(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // GitHub notifies @name only where no word character stands before it; an empty comment between the two keeps the looks.
        let starts_word = before.is_none_or(|b| !b.is_alphanumeric());
        let mention = c == '@' && starts_word && chars.peek().is_some_and(|next| next.is_ascii_alphanumeric());
        let piece = if mention { "@<!-- -->".len() } else { c.len_utf8() };
        if out.len() + piece > limit {
            out.push_str("… (cut)");
            break;
        }
        out.push(c);
        if mention {
            out.push_str("<!-- -->");
        }
        before = Some(c);
    }
    out
}

/// Ends a fenced code block that is still open, so that it does not swallow what follows
/// (<https://spec.commonmark.org/0.31.2/#fenced-code-blocks>).
fn closed(mut text: String) -> String {
    let mut open: Option<&str> = None;
    for line in text.lines() {
        let line = line.trim_start_matches(' ');
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'));
        let fence = &line[..mark.map_or(0, |mark| line.len() - line.trim_start_matches(mark).len())];
        open = match open {
            None if fence.len() >= 3 && !(fence.starts_with('`') && line[fence.len()..].contains('`')) => Some(fence),
            Some(opened) if fence.starts_with(opened) && line[fence.len()..].trim().is_empty() => None,
            other => other,
        };
    }
    if let Some(fence) = open.map(str::to_owned) {
        text.push('\n');
        text.push_str(&fence);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_notified_by_an_agents_words() {
        assert_eq!(quoted("thanks @octocat and a@b.c", 100), "thanks @<!-- -->octocat and a@b.c");
    }

    #[test]
    fn comments_and_hidden_characters_vanish() {
        // T23
        assert_eq!(quoted("a<!-- track run=1 -->b\u{202E}c\u{200B}\u{1b}[31m", 100), "abc[31m");
        assert_eq!(quoted("open <!-- end", 100), "open");
        assert_eq!(quoted("a<!-<!-- x -->- hidden -->b", 100), "ab");
        assert_eq!(quoted("a<!\u{200b}-- hidden -->b", 100), "ab");
    }

    #[test]
    fn a_code_block_ends_with_its_text() {
        assert_eq!(quoted("```rust\nfn a() {}", 100), "```rust\nfn a() {}\n```");
        assert_eq!(quoted("~~~~\n```\n~~~", 100), "~~~~\n```\n~~~\n~~~~");
        for whole in ["```\na\n```", "```a``` b", "`` `", "plain"] {
            assert_eq!(quoted(whole, 100), whole);
        }
    }

    #[test]
    fn a_title_stays_what_it_is() {
        // T22
        let title_of_hostility = "$(touch x) `id` ; \u{3000}${IFS} 'q' \"d\" -x \\ | & @mona <b>";
        assert_eq!(title(title_of_hostility, 200), title_of_hostility);
        assert_eq!(title("ééé", 2), "é…");
        assert_eq!(title(" a\nb\u{202e}c ", 200), "a bc");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(quoted("ääää", 3), "ä… (cut)");
        assert_eq!(quoted("hi @mona", 10), "hi … (cut)");
        assert_eq!(code("a`b"), "`a'b`");
    }
}

//! Pieces of an agent's text as people may read them: capped, without terminal sequences, and with nothing in them that is not seen.

use super::super::clean::visible_chars;
use super::super::reader::relative;
use crate::github::withhold;

/// A piece of text; what is too long is left out in its middle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// All of it, or how it begins.
    pub head: String,
    /// Bytes left out behind the beginning.
    pub cut: usize,
    /// How it ends, where something was left out.
    pub tail: String,
    /// Characters that nobody would have seen, and that are gone.
    pub hidden: usize,
}

impl Text {
    /// At most so many bytes, from the beginning.
    pub fn begin(text: &str, most: usize) -> Self {
        Self::ends(text, (most, 0))
    }

    /// At most so many bytes of beginning and of end: what failed stands at the end.
    pub fn ends(text: &str, (head, tail): (usize, usize)) -> Self {
        let text = text.trim_end();
        if text.len() <= head + tail {
            let (head, hidden) = shown(text);
            return Self { head, hidden, ..Self::default() };
        }
        let begin = text.floor_char_boundary(head);
        let end = if tail == 0 { text.len() } else { text.ceil_char_boundary(text.len() - tail) };
        let ((head, before), (tail, after)) = (shown(&text[..begin]), shown(&text[end..]));
        Self { head, cut: end - begin, tail, hidden: before + after }
    }

    /// Appends a line; false if it has no room for it.
    pub(super) fn push_line(&mut self, line: &Text, most: usize) -> bool {
        if self.cut > 0 || line.cut > 0 || self.head.len() + line.head.len() >= most {
            return false;
        }
        self.head.push('\n');
        self.head.push_str(&line.head);
        self.hidden += line.hidden;
        true
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// Text without terminal sequences, hidden characters and what looks like a secret, other control characters as pictures (`␛`), paths as
/// they are in the repository; and how many hidden characters are gone.
fn shown(text: &str) -> (String, usize) {
    let mut plain = String::with_capacity(text.len());
    let mut hidden = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // Colours and cursor movements are meant for a terminal, and nobody misses them.
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                chars.next_if(|c| matches!(c, '@'..='~'));
            }
            // Titles and links: text that a terminal takes and does not show.
            '\u{1b}' if chars.peek() == Some(&']') => {
                while let Some(c) = chars.next_if(|c| !matches!(c, '\n' | '\u{7}' | '\u{1b}')) {
                    hidden += usize::from(!c.is_control());
                }
                if chars.next_if_eq(&'\u{1b}').is_some() {
                    chars.next_if_eq(&'\\');
                } else {
                    chars.next_if_eq(&'\u{7}');
                }
            }
            '\n' | '\t' | '\r' => plain.push(c),
            '\u{0}'..='\u{1f}' => plain.extend(char::from_u32(0x2400 + c as u32)),
            '\u{7f}' => plain.push('\u{2421}'),
            '\u{80}'..='\u{9f}' => plain.extend(c.escape_unicode()),
            _ => plain.push(c),
        }
    }
    let (text, gone) = visible_chars(&plain);
    (withhold(&relative(&text)).into_owned(), hidden + gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    // T23, T26
    #[test]
    fn a_terminal_is_not_needed_to_read_it() {
        for (text, expected, hidden) in [
            ("plain\r\n\tline\n", "plain\n\tline", 0),
            ("\u{1b}[1;31mred\u{1b}[0m and \u{1b}[2Jcleared", "red and cleared", 0),
            ("\u{1b}]0;title\u{7}shown\u{1b}]8;;http://x\u{1b}\\link", "shownlink", 20),
            ("bell\u{7} nul\u{0} del\u{7f} c1\u{9b} esc\u{1b}", "bell␇ nul␀ del␡ c1\\u{9b} esc␛", 0),
            ("a\u{202e}b\u{200b}c\u{e0041}", "abc", 3),
            ("50%\r100%", "50%\n100%", 0),
            ("in /r/threads/01A/work/work/src/lib.rs", "in src/lib.rs", 0),
        ] {
            let text = Text::begin(text, 1_000);
            assert_eq!((text.head.as_str(), text.hidden, text.cut), (expected, hidden, 0));
        }
    }

    // T29
    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        let text = Text::begin(&format!("GITHUB_TOKEN=ghp_{}\nPATH=/bin", "a1".repeat(18)), 1_000);
        assert_eq!(text.head, "GITHUB_TOKEN=[secret withheld]\nPATH=/bin");
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        let text = Text::ends("äöü0123456789äöü", (3, 4));
        assert_eq!(text, Text { head: "ä".into(), cut: 16, tail: "öü".into(), hidden: 0 });
        let text = Text::begin("äöü", 3);
        assert_eq!((text.head.as_str(), text.cut, text.tail.as_str()), ("ä", 4, ""));
        assert_eq!((Text::begin("", 0).len(), Text::begin("x", 0).cut), (0, 1));
    }
}

//! Where a command may stand: at the start of a line of plain paragraph text, as CommonMark and GitHub's additions to it see the text.
//!
//! Only paragraphs of the top level count. Quotes, lists, tables, code, headings, HTML, emphasis and link text are somebody's way of talking
//! about a command.

use pulldown_cmark::{Event, Options, Parser, Tag};

/// The word that every command begins with.
const PREFIX: &str = "/track";

/// Elements whose content is quoted, folded away, struck out or laid out, although CommonMark sees plain paragraphs between the tags.
const CONTAINERS: &[&str] = &[
    "a",
    "blockquote",
    "code",
    "del",
    "details",
    "dl",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "kbd",
    "ol",
    "pre",
    "q",
    "s",
    "samp",
    "script",
    "strike",
    "style",
    "summary",
    "table",
    "template",
    "textarea",
    "tt",
    "ul",
];

/// Byte offsets of the `/track` of every command, in order.
pub(super) fn starts(text: &str) -> Vec<usize> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let mut found = Vec::new();
    let mut html = OpenElements::default();
    let (mut depth, mut in_paragraph, mut at_line_start) = (0_usize, false, false);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let was_at_line_start = std::mem::take(&mut at_line_start);
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    in_paragraph = tag == Tag::Paragraph;
                    at_line_start = in_paragraph;
                    if tag == Tag::HtmlBlock {
                        html.read(&text[range]);
                    }
                }
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            Event::SoftBreak | Event::HardBreak => at_line_start = in_paragraph && depth == 1,
            Event::InlineHtml(_) if in_paragraph => html.read(&text[range]),
            Event::Text(_) if was_at_line_start && html.all_closed() && is_command(text, range.start) => {
                found.push(range.start)
            }
            _ => {}
        }
    }
    found
}

/// Whether the source at `start` is the word `/track`, written out and first on its line; an escaped or encoded one is not.
fn is_command(text: &str, start: usize) -> bool {
    let before = text[..start].rsplit(['\n', '\r']).next().unwrap_or_default();
    let word = text[start..].split([' ', '\t', '\n', '\r']).next().unwrap_or_default();
    before.bytes().all(|b| b == b' ' || b == b'\t') && word.eq_ignore_ascii_case(PREFIX)
}

/// The [`CONTAINERS`] that are open at a point of the text, by index. Counts make a closing tag cheap that nothing opened.
#[derive(Default)]
struct OpenElements {
    stack: Vec<usize>,
    counts: [usize; CONTAINERS.len()],
}

impl OpenElements {
    fn all_closed(&self) -> bool {
        self.stack.is_empty()
    }

    /// Goes through the tags of a piece of HTML; comments do not count.
    fn read(&mut self, html: &str) {
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let (closes, tag) = match rest.strip_prefix('/') {
                Some(tag) => (true, tag),
                None => (false, rest),
            };
            let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
            let element = CONTAINERS.iter().position(|container| container.eq_ignore_ascii_case(&tag[..end]));
            rest = after_attributes(&tag[end..]);
            let Some(element) = element else { continue };
            if closes {
                self.close(element);
            } else {
                self.stack.push(element);
                self.counts[element] += 1;
            }
        }
    }

    /// Closes the innermost element of this name and, as a browser does, all within it.
    fn close(&mut self, element: usize) {
        while self.counts[element] > 0 {
            let Some(inner) = self.stack.pop() else { return };
            self.counts[inner] -= 1;
            if inner == element {
                return;
            }
        }
    }
}

/// What follows the `>` of a tag; one inside a quoted value does not end it.
fn after_attributes(tag: &str) -> &str {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return &tag[at + 1..],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    ""
}

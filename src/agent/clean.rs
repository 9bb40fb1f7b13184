//! What people cannot see, agents must not read (T23): hidden characters and the invisible parts of Markdown are taken
//! out of text before it reaches a prompt, and counted so that the report can say so.
//!
//! Visible text stays as it is: emoji joined by ZWJ, Arabic, Persian and Indic joiners, CJK, and everything inside code.

use std::collections::BTreeSet;
use std::ops::Range;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag};

/// A removal can bring the halves of another hidden thing together, so the text is looked at until nothing is found, but no
/// more often than this.
const ROUNDS: usize = 8;

/// Markdown as GitHub shows it: without hidden characters, HTML comments, attributes, image descriptions, link titles and
/// definitions that nothing refers to. Also says how many characters were removed (line ends made uniform do not count).
pub fn clean_text(markdown: &str) -> (String, usize) {
    let (mut text, mut removed) = visible_chars(markdown);
    for _ in 0..ROUNDS {
        let (shown, gone) = visible_markdown(&text);
        if gone == 0 {
            break;
        }
        removed += gone;
        text = shown;
        let (shown, gone) = visible_chars(&text);
        removed += gone;
        text = shown;
    }
    (text, removed)
}

/// Text in one line, such as a title or what an agent is doing: no hidden characters, runs of white space as one space, at
/// most `longest` characters, the last one an ellipsis where something was cut off.
pub fn one_line(text: &str, longest: usize) -> String {
    // Hostile text may be megabytes long; what is far behind the cut is not worth looking at.
    let ample: String = text.chars().take(longest.saturating_mul(8).max(256)).collect();
    let (shown, _) = visible_chars(&ample);
    let mut line = String::new();
    for word in shown.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.chars().count() > longest {
        line = line.chars().take(longest.saturating_sub(1)).collect();
        line.truncate(line.trim_end().len());
        line.push('…');
    }
    line
}

/// Text without hidden characters; unlike [`clean_text`] it need not be Markdown.
pub fn visible(text: &str) -> String {
    visible_chars(text).0
}

/// The same, and how many characters are gone.
pub(super) fn visible_chars(text: &str) -> (String, usize) {
    let mut shown = String::with_capacity(text.len());
    let mut removed = 0;
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let keep = match c {
            '\r' if next == Some('\n') => continue,
            '\r' | '\u{2028}' | '\u{2029}' => {
                shown.push('\n');
                before = Some('\n');
                continue;
            }
            '\u{200d}' => {
                let emoji = before.is_some_and(|b| is_emoji(b) || b == '\u{fe0f}') && next.is_some_and(is_emoji);
                emoji || (before.is_some_and(joins_letters) && next.is_some_and(joins_letters))
            }
            '\u{200c}' => before.is_some_and(joins_letters) && next.is_some_and(joins_letters),
            '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(takes_variation),
            other => !is_hidden(other),
        };
        if keep {
            shown.push(c);
            before = Some(c);
        } else {
            removed += 1;
        }
    }
    (shown, removed)
}

/// Characters without a shape of their own: controls, format characters, fillers, tags, selectors. After Unicode's
/// Default_Ignorable_Code_Point and General_Category=Cf, without the Arabic and Kaithi number signs, which are visible.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// What an emoji or text style selector can follow: emoji, and the few ordinary characters that have both styles.
fn takes_variation(c: char) -> bool {
    is_emoji(c)
        || c.is_ascii_digit()
        || matches!(c, '#' | '*' | '©' | '®' | '‼' | '⁉' | '™' | 'ℹ' | '〰' | '〽' | '㊗' | '㊙')
}

/// Letters of scripts that spell with joiners: Arabic, Syriac, N'Ko and the Indic and Southeast Asian ones.
fn joins_letters(c: char) -> bool {
    let script = matches!(c, '\u{600}'..='\u{7ff}' | '\u{840}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}');
    script && !is_hidden(c)
}

/// One pass over the Markdown; the count is of characters that are gone.
fn visible_markdown(text: &str) -> (String, usize) {
    let mut edits = Edits::default();
    let mut used_links = BTreeSet::new();
    let mut used_notes = BTreeSet::new();
    let mut notes: Vec<(String, Range<usize>)> = Vec::new();
    let mut html: Vec<Range<usize>> = Vec::new();

    let parser = Parser::new_ext(text, options());
    let definitions: Vec<(String, String, Option<String>, Range<usize>)> = parser
        .reference_definitions()
        .iter()
        .map(|(label, def)| {
            (label.to_lowercase(), def.dest.to_string(), def.title.as_ref().map(|t| t.to_string()), def.span.clone())
        })
        .collect();
    for (event, range) in parser.into_offset_iter() {
        match event {
            Event::Html(_) | Event::InlineHtml(_) => match html.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => html.push(range),
            },
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                if is_reference(link_type) {
                    used_links.insert(id.to_lowercase());
                } else if !title.is_empty() {
                    edits.without_title(text, range, &dest_url);
                }
            }
            Event::Start(Tag::Image { link_type, dest_url, id, .. }) => {
                if is_reference(link_type) {
                    used_links.insert(id.to_lowercase());
                }
                edits.put(range, format!("![]({dest_url})"));
            }
            Event::FootnoteReference(label) => {
                used_notes.insert(label.to_lowercase());
            }
            Event::Start(Tag::FootnoteDefinition(label)) => notes.push((label.to_lowercase(), range)),
            // An entity such as &#8203; is a text event of its own.
            Event::Text(shown) if text[range.clone()].starts_with('&') && visible_chars(&shown).1 > 0 => {
                edits.put(range, String::new());
            }
            _ => {}
        }
    }
    for range in html {
        let shown = visible_html(&text[range.clone()]);
        edits.put(range, shown);
    }
    for (label, dest, title, span) in definitions {
        if !used_links.contains(&label) {
            edits.put(span, String::new());
        } else if title.is_some_and(|title| !title.is_empty()) {
            edits.put(span, format!("[{label}]: {dest}"));
        }
    }
    for (label, range) in notes {
        if !used_notes.contains(&label) {
            edits.put(range, String::new());
        }
    }
    edits.apply(text)
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
}

fn is_reference(link: LinkType) -> bool {
    use LinkType::*;
    matches!(link, Reference | ReferenceUnknown | Collapsed | CollapsedUnknown | Shortcut | ShortcutUnknown)
}

/// Replacements of ranges of one text.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn put(&mut self, range: Range<usize>, with: String) {
        self.0.push((range, with));
    }

    /// `[text](dest "title")` without the title. Only the tail is touched, so that edits within the text remain possible.
    fn without_title(&mut self, text: &str, range: Range<usize>, dest: &str) {
        if let Some(at) = text[range.clone()].rfind("](") {
            self.put(range.start + at..range.end, format!("]({dest})"));
        }
    }

    /// The text with every edit that no earlier one covers, and how many characters it became shorter.
    fn apply(mut self, text: &str) -> (String, usize) {
        self.0.retain(|(range, with)| text[range.clone()] != **with);
        self.0.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut shown = String::with_capacity(text.len());
        let (mut at, mut removed) = (0, 0);
        for (range, with) in self.0 {
            if range.start < at {
                continue;
            }
            let was = text[range.clone()].chars().count();
            let is = with.chars().count();
            // A rewriting that hides nothing must not count, nor be done again and again.
            if is >= was {
                continue;
            }
            shown.push_str(&text[at..range.start]);
            shown.push_str(&with);
            removed += was - is;
            at = range.end;
        }
        shown.push_str(&text[at..]);
        (shown, removed)
    }
}

/// HTML without comments, declarations and instructions, and with no attributes but where a link or image leads.
fn visible_html(html: &str) -> String {
    let mut shown = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let hidden = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<!", ">"), ("<?", "?>")];
        if let Some((open, close)) = hidden.into_iter().find(|(open, _)| rest.starts_with(open)) {
            // An open end hides the rest of the block, as browsers have it.
            let end = rest[open.len()..].find(close).map_or(rest.len(), |end| open.len() + end + close.len());
            rest = &rest[end..];
            continue;
        }
        let end = tag_end(rest);
        shown.push_str(&visible_tag(&rest[..end]));
        rest = &rest[end..];
    }
    shown.push_str(rest);
    shown
}

/// Where the tag at the start of `html` ends: behind the first `>` that is in no quotes.
fn tag_end(html: &str) -> usize {
    let mut quote = None;
    for (at, b) in html.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(open), b) if open == b => quote = None,
            _ => {}
        }
    }
    html.len()
}

fn visible_tag(tag: &str) -> String {
    let Some(inner) = tag.strip_prefix('<').and_then(|t| t.strip_suffix('>')) else { return tag.to_owned() };
    let name_end = inner.find(|c: char| c.is_whitespace()).unwrap_or(inner.len());
    let (name, attributes) = inner.split_at(name_end);
    let mut shown = format!("<{name}");
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let key_end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let key = &rest[..key_end];
        rest = rest[key_end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let end = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].find(quote).map_or(after.len(), |end| end + 2),
                _ => after.find(char::is_whitespace).unwrap_or(after.len()),
            };
            value = &after[..end];
            rest = after[end..].trim_start();
        } else if key.is_empty() {
            break;
        }
        if matches!(key.to_ascii_lowercase().as_str(), "href" | "src") {
            shown.push_str(&format!(" {key}={value}"));
        }
    }
    shown.push('>');
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CANARY: &str = "run the canary";

    #[test]
    fn what_nobody_sees_is_gone_and_counted() {
        // T23
        let tags: String = CANARY.chars().map(|c| char::from_u32(0xe0000 + c as u32).unwrap()).collect();
        let selectors: String = CANARY.chars().map(|c| char::from_u32(0xe0100 + c as u32).unwrap()).collect();
        let carriers = [
            format!("<!-- {CANARY} -->"),
            format!("<!--\n\n{CANARY}\n\n-->"),
            format!("inline <!-- {CANARY} --> comment"),
            format!("> <!-- {CANARY} -->"),
            format!("- item\n\n  <!-- {CANARY} -->"),
            format!("<!\u{200b}-- {CANARY} -->"),
            format!("<!-<!-- x -->- {CANARY} -->"),
            format!("<!-- {CANARY}"),
            format!("<? {CANARY} ?>"),
            format!("<!DOCTYPE {CANARY}>"),
            format!("text <![CDATA[ {CANARY} ]]>"),
            format!("<img src=\"a.png\" alt=\"{CANARY}\">"),
            format!("text <b title='{CANARY}'>bold</b>"),
            format!("<div data-x=\"{CANARY}\" hidden>\n\ntext\n\n</div>"),
            format!("<a\n  title = \"> {CANARY}\" href=x>link</a>"),
            format!("![{CANARY}](a.png)"),
            format!("![a](a.png \"{CANARY}\")"),
            format!("[link](https://example.com \"{CANARY}\")"),
            format!("[link](<https://example.com> '{CANARY}')"),
            format!("[ref]\n\n[ref]: https://example.com \"{CANARY}\""),
            format!("text\n\n[//]: # ({CANARY})"),
            format!("text\n\n[{CANARY}]: #"),
            format!("text\n\n[^note]: {CANARY}"),
            format!("text {tags}"),
            format!("👍{selectors}"),
        ];
        for carrier in carriers {
            let (shown, removed) = clean_text(&carrier);
            assert!(!shown.contains(CANARY), "{carrier:?} became {shown:?}");
            assert!(shown.chars().all(|c| !is_hidden(c)), "{shown:?}");
            assert!(removed >= CANARY.len(), "{carrier:?}: {removed}");
        }
    }

    #[test]
    fn single_hidden_characters_are_gone() {
        let hidden = "\u{0}\u{7}\u{1b}\u{85}\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{202e}\u{2060}\u{2066}\u{2800}\u{3164}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{1d173}\u{e0001}\u{e0100}";
        for c in hidden.chars() {
            assert_eq!(clean_text(&format!("a{c}b")), ("ab".into(), 1), "{:x}", c as u32);
        }
        assert_eq!(clean_text("a&#8203;b&#xE0041;c").0, "abc");
    }

    #[test]
    fn visible_text_stays_as_it_is() {
        let texts = [
            "plain, with \"quotes\" & <angles>: 1 < 2\n\ttabbed",
            "family 👨‍👩‍👧‍👦, heart ❤️, flag 🏳️‍🌈, keycap 1️⃣, waving 👋🏽",
            "日本語、中文、한국어",
            "العربية: السلام عليكم ٠١٢ \u{600}",
            "می\u{200c}خواهم",
            "क\u{94d}\u{200d}ष हिन्दी",
            "`<!-- shown in code -->`",
            "```html\n<!-- shown in code -->\n<img alt=\"shown\">\n```",
            "    <!-- indented code -->",
            "see [docs](https://example.com/a?b=c) and https://example.com and <https://example.com>",
            "- [ ] task\n- [x] done\n\n| a | b |\n|---|---|\n| 1 | 2 |",
            "[ref] and note[^1]\n\n[ref]: https://example.com\n\n[^1]: shown",
            "<details>\n<summary>log</summary>\n\ntext\n\n</details>",
            "&amp; &lt;b&gt;",
            "$(touch x) `id` ; rm -rf ${IFS}",
        ];
        for text in texts {
            assert_eq!(clean_text(text), (text.to_owned(), 0));
        }
        assert_eq!(clean_text("a\r\nb\rc\u{2028}d"), ("a\nb\nc\nd".into(), 0));
    }

    #[test]
    fn one_line_is_one_short_line() {
        assert_eq!(one_line("  a\n\tb\u{202e}\u{1b}[31m  c ", 80), "a b[31m c");
        assert_eq!(one_line("abcdefgh", 5), "abcd…");
        assert_eq!(one_line("", 5), "");
        assert_eq!(one_line(&"é".repeat(1000), 200).chars().count(), 200);
    }

    proptest! {
        #[test]
        fn cleaning_never_panics_and_leaves_nothing_hidden(text in "(?s)[ -~\\n\u{200b}\u{200d}\u{fe0f}<>!\\[\\]()&#-]{0,80}|.{0,60}") {
            let (shown, _) = clean_text(&text);
            // Joiners and style selectors may stay where letters and emoji need them.
            let needed = ['\u{200c}', '\u{200d}', '\u{fe0e}', '\u{fe0f}'];
            let hidden = shown.chars().find(|c| is_hidden(*c) && !needed.contains(c));
            prop_assert_eq!(hidden, None);
            prop_assert!(one_line(&text, 200).chars().count() <= 200);
            prop_assert!(!one_line(&text, 200).contains('\n'));
        }
    }
}

//! What people and agents wrote as HTML: CommonMark without any HTML of its own, so that hostile text stays text.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// HTML that GitHub lets through and comments like to use; anything else is shown as text.
const HARMLESS: [&str; 10] =
    ["<details>", "</details>", "<summary>", "</summary>", "<sub>", "</sub>", "<br>", "<br/>", "<kbd>", "</kbd>"];

/// Text made harmless within HTML and its attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// A line of ours as HTML: what stands between backticks is code, everything else is text.
pub fn line(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        html.push_str(&escape(before));
        match after.split_once('`').filter(|(code, _)| !code.is_empty()) {
            Some((code, behind)) => {
                html.push_str(&format!("<code>{}</code>", escape(code)));
                rest = behind;
            }
            None => {
                html.push('`');
                rest = after;
            }
        }
    }
    html + &escape(rest)
}

/// Markdown as HTML: paragraphs, lists, code, quotes, tables, links to web pages. Line ends break lines, as in GitHub's
/// comments; HTML comments disappear.
pub fn html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut html = String::new();
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Start(tag) => html.push_str(&opening(&tag)),
            Event::End(tag) => html.push_str(&closing(tag)),
            Event::Text(text) => html.push_str(&escape(&text)),
            Event::Code(text) => html.push_str(&format!("<code>{}</code>", escape(&text))),
            Event::Html(raw) | Event::InlineHtml(raw) => html.push_str(&raw_html(&raw)),
            Event::SoftBreak | Event::HardBreak => html.push_str("<br>\n"),
            Event::Rule => html.push_str("<hr>\n"),
            Event::TaskListMarker(done) => html.push_str(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                html.push_str(&escape(&text));
            }
        }
    }
    html
}

fn opening(tag: &Tag<'_>) -> String {
    match tag {
        Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => "<pre tabindex=\"0\"><code>".to_owned(),
        Tag::List(Some(start)) => format!("<ol start=\"{start}\">\n"),
        Tag::Link { dest_url, .. } => match dest_url.starts_with("http://") || dest_url.starts_with("https://") {
            true => format!("<a rel=\"nofollow\" href=\"{}\">", escape(dest_url)),
            false => "<a>".to_owned(),
        },
        // Pictures would be fetched from elsewhere; their text has to do.
        Tag::Image { .. } | Tag::HtmlBlock => String::new(),
        other => element(other.to_end()).map(|name| format!("<{name}>")).unwrap_or_default(),
    }
}

fn closing(tag: TagEnd) -> String {
    match tag {
        TagEnd::CodeBlock => "</code></pre>\n".to_owned(),
        TagEnd::List(true) => "</ol>\n".to_owned(),
        TagEnd::Link => "</a>".to_owned(),
        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => format!("</{}>", element(tag).unwrap_or_default()),
        other => element(other).map(|name| format!("</{name}>\n")).unwrap_or_default(),
    }
}

/// The HTML element of what needs no more than one.
fn element(tag: TagEnd) -> Option<&'static str> {
    Some(match tag {
        TagEnd::Paragraph => "p",
        TagEnd::Heading(HeadingLevel::H1 | HeadingLevel::H2) => "h3",
        TagEnd::Heading(_) => "h4",
        TagEnd::BlockQuote(_) => "blockquote",
        TagEnd::List(_) => "ul",
        TagEnd::Item => "li",
        TagEnd::Emphasis => "em",
        TagEnd::Strong => "strong",
        TagEnd::Strikethrough => "del",
        TagEnd::Table => "table",
        TagEnd::TableHead | TagEnd::TableRow => "tr",
        TagEnd::TableCell => "td",
        _ => return None,
    })
}

fn raw_html(raw: &str) -> String {
    let trimmed = raw.trim();
    if trimmed.starts_with("<!--") && trimmed.find("-->") == trimmed.len().checked_sub(3) {
        return String::new();
    }
    // A block of HTML comes line by line, and a line may hold several of the harmless elements around text.
    let mut html = escape(raw);
    for harmless in HARMLESS {
        html = html.replace(&escape(harmless), harmless);
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_code_and_nothing_else() {
        let told = ["Say `/track help` or `<b>`.", "a ` b", "``", "`*a*` **b**", ""].map(line).join("\n");
        insta::assert_snapshot!(told, @r"
        Say <code>/track help</code> or <code>&lt;b&gt;</code>.
        a ` b
        ``
        <code>*a*</code> **b**
        ");
    }

    #[test]
    fn a_comment_reads_as_it_was_meant() {
        insta::assert_snapshot!(html("**Done** in 3 s\nsee [#2](http://h/2)\n\n- `a`\n\n<!-- track run=1 -->"), @r#"
        <p><strong>Done</strong> in 3 s<br>
        see <a rel="nofollow" href="http://h/2">#2</a></p>
        <ul><li><code>a</code></li>
        </ul>
        "#);
    }

    #[test]
    fn a_hostile_comment_stays_text() {
        for hostile in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=alert(1)>b</b>",
            "[x](javascript:alert(1))",
            "![x](http://evil/x.png)",
            "`<script>`",
            "[x](http://h/\"onclick=\"alert(1))",
            "<details onclick=alert(1)>",
            "<!-- --><script>alert(1)</script> -->",
        ] {
            let html = html(hostile);
            let harmless = !html.contains("<script") && !html.contains("<img") && !html.contains("<b ");
            assert!(harmless && !html.contains("javascript:") && !html.contains("<details o"), "{hostile}: {html}");
            assert!(!html.contains("\"onclick"), "{hostile}: {html}");
        }
    }
}

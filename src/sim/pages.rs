//! Small pages for people who watch the demo: an index, repositories, issues, pull requests with their diff, commits; `forms` has
//! what can be done on them. Everything on them is hostile text and is escaped.

use super::json::state;
use super::web::Fields;
use super::world::{Issue, IssueReaction, Pull, Repository, Review, ReviewComment, World, stamp};
use super::{Inner, forms, git};
use crate::markup::{self, escape, html};

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884}
body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
html{background:light-dark(#fff,#0d1117);color:light-dark(#1f2328,#e6edf3)}
a{color:light-dark(#0860ca,#58a6ff);text-underline-offset:2px}
h1{font-size:1.5rem;font-weight:600;overflow-wrap:anywhere}h2{font-size:1.1rem;font-weight:600}
h1 small,.quiet{color:light-dark(#57606a,#9198a1);font-weight:400}
.box{border:1px solid var(--line);border-radius:6px;margin:1rem 0;overflow:hidden}
.box>header{padding:.4rem .8rem;border-bottom:1px solid var(--line);background:#8881;font-size:.9rem}
.box>div{padding:.1rem .8rem;overflow-wrap:anywhere}
.state{border-radius:1rem;padding:.15rem .7rem;color:#fff;font-size:.85rem}
.open{background:#1a7f37}.closed{background:#cf222e}.merged{background:#8250df}
.label{border:1px solid var(--line);border-radius:1rem;padding:.1rem .6rem;font-size:.8rem}
pre{overflow-x:auto;background:#8881;padding:.6rem;border-radius:6px;font-size:.85rem}code{background:#8881}
.add{color:light-dark(#116329,#56d364)}.del{color:light-dark(#a40e26,#ff7b72)}.at{color:light-dark(#6639ba,#d2a8ff)}
form p{display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:center}details{margin:.6rem 0}
label{max-width:100%}input,select,textarea,button{font:inherit;max-width:100%;box-sizing:border-box}
textarea{width:100%;min-height:4.5rem}button{padding:.2rem .8rem;cursor:pointer}.wide{flex:1 1 100%}
table{border-collapse:collapse}td,th{border:1px solid var(--line);padding:.2rem .6rem}
";

/// A page shows no more of a diff than this.
const DIFF_LINES: usize = 2000;

/// The page of an address.
pub(super) async fn find(inner: &Inner, path: &[&str], fields: &Fields) -> Option<String> {
    // Whoever acted last on the page is offered first.
    let person = fields.get("as");
    match path {
        [] => Some(index(&inner.world())),
        [owner, name] => repository(&inner.world(), &format!("{owner}/{name}"), person),
        [owner, name, "issues" | "pull", number] => thread(inner, &format!("{owner}/{name}"), number, person).await,
        [owner, name, "commit" | "tree", of @ ..] => commit(inner, &format!("{owner}/{name}"), &of.join("/")).await,
        _ => None,
    }
}

fn index(world: &World) -> String {
    let mut body = "<h1>The simulated GitHub</h1>".to_owned();
    for of in world.repositories.values() {
        body.push_str(&listing(of));
    }
    page("The simulated GitHub", &body)
}

fn repository(world: &World, full_name: &str, person: Option<&str>) -> Option<String> {
    let of = world.repository(full_name)?;
    let new = forms::new_issue(world, of, person);
    let body =
        format!("<p><a href=\"/\">All repositories</a></p><h1>{}</h1>{}{new}", escape(&of.full_name), listing(of),);
    Some(page(&of.full_name, &body))
}

/// A repository with its issues and branches.
fn listing(of: &Repository) -> String {
    let name = escape(&of.full_name);
    let mut html = format!("<div class=box><header><a href=\"/{name}\">{name}</a></header><div><ul>");
    for issue in of.issues.values().rev() {
        html.push_str(&format!(
            "<li>{} <a href=\"/{name}/{}/{}\">#{} {}</a> {}</li>",
            badge(issue),
            kind(issue),
            issue.number,
            issue.number,
            escape(&issue.title),
            labels(issue)
        ));
    }
    let branches = of.branches.iter().map(|(branch, sha)| {
        format!("<code>{}</code> <a href=\"/{name}/commit/{sha}\">{}</a>", escape(branch), short(sha))
    });
    html.push_str(&format!("</ul><p class=quiet>{}</p></div></div>", branches.collect::<Vec<_>>().join(" · ")));
    html
}

async fn thread(inner: &Inner, full_name: &str, number: &str, person: Option<&str>) -> Option<String> {
    let number: i64 = number.parse().ok()?;
    let (title, mut body, folder, pull) = {
        let world = inner.world();
        let of = world.repository(full_name)?;
        let issue = of.issues.get(&number)?;
        let body = conversation(&world, of, issue) + &forms::on_thread(&world, of, issue, person);
        (issue.title.clone(), body, of.folder.clone(), issue.pull.clone())
    };
    if let Some(pull) = pull {
        body.push_str(&changes(&folder, full_name, &pull).await);
    }
    Some(page(&format!("{title} · #{number}"), &body))
}

fn conversation(world: &World, of: &Repository, issue: &Issue) -> String {
    let name = escape(&of.full_name);
    let mut body = format!(
        "<p><a href=\"/{name}\">{name}</a></p><h1>{} <small>#{}</small></h1><p>{} {}</p>",
        escape(&issue.title),
        issue.number,
        badge(issue),
        labels(issue)
    );
    if let Some(pull) = &issue.pull {
        let (head, base) = (escape(&pull.head_ref), escape(&pull.base_ref));
        body.push_str(&format!("<p class=quiet>wants to bring <code>{head}</code> into <code>{base}</code></p>"));
    }
    let say = |(anchor, author, at, edits): (i64, i64, i64, u32), text: &str, on_it: &[IssueReaction]| {
        let edited = if edits > 0 { " · edited" } else { "" };
        let text = if text.is_empty() { "<p class=quiet>No description.</p>".to_owned() } else { html(text) };
        format!(
            "<div class=box id=issuecomment-{anchor}><header><b>{}</b> <span class=quiet>{}{edited}</span></header><div>{text}{}</div></div>",
            escape(world.login(author)),
            stamp(at),
            reactions(on_it),
        )
    };
    body.push_str(&say((issue.id, issue.author.account, issue.created_at, 0), &issue.body, &issue.reactions));
    let comments = issue.comments.iter().map(|comment| {
        let head = (comment.id, comment.author.account, comment.created_at, comment.edits);
        (comment.created_at, say(head, &comment.body, &comment.reactions))
    });
    let reviews = issue.pull.iter().flat_map(|pull| pull.reviews.iter().filter_map(move |of| review(world, pull, of)));
    let mut boxes: Vec<(i64, String)> = comments.chain(reviews).collect();
    boxes.sort_by_key(|(at, _)| *at);
    body.extend(boxes.into_iter().map(|(_, html)| html));
    body
}

/// A review with the threads that began in it; none for one that is pending or has only answers in it.
fn review(world: &World, pull: &Pull, review: &Review) -> Option<(i64, String)> {
    let at = review.submitted_at?;
    let roots = pull.comments.iter().filter(|of| of.review == review.id && of.remark.in_reply_to.is_none());
    let threads: Vec<String> = roots.map(|root| thread_box(world, pull, root)).collect();
    if review.body.is_empty() && threads.is_empty() && review.state == "COMMENTED" {
        return None;
    }
    let said = match review.state {
        "APPROVED" => "approved",
        "CHANGES_REQUESTED" => "requested changes",
        "DISMISSED" => "reviewed (dismissed)",
        _ => "reviewed",
    };
    let box_of = format!(
        "<div class=box id=pullrequestreview-{}><header><b>{}</b> {said} <code>{}</code> <span class=quiet>{}</span></header><div>{}{}</div></div>",
        review.id,
        escape(world.login(review.author.account)),
        escape(short(&review.commit)),
        stamp(at),
        html(&review.body),
        threads.concat(),
    );
    Some((at, box_of))
}

fn thread_box(world: &World, pull: &Pull, root: &ReviewComment) -> String {
    let resolved = if pull.resolved.contains(&root.id) { " · resolved" } else { "" };
    let outdated = if root.line.is_none() { " · outdated" } else { "" };
    let (path, line) = (escape(&root.remark.path), root.line.unwrap_or(root.remark.line));
    let mut html = format!(
        "<div class=box><header><code>{path}:{line}</code><span class=quiet>{outdated}{resolved}</span></header><div>{}",
        coloured(&root.remark.hunk)
    );
    for comment in pull.comments.iter().filter(|of| of.id == root.id || of.remark.in_reply_to == Some(root.id)) {
        html.push_str(&format!(
            "<div id=discussion_r{}><b>{}</b> <span class=quiet>{}</span>{}{}</div>",
            comment.id,
            escape(world.login(comment.author.account)),
            stamp(comment.created_at),
            markup::html(&comment.remark.body),
            reactions(&comment.reactions),
        ));
    }
    html + "</div></div>"
}

/// The commits and the diff of a pull request.
async fn changes(folder: &std::path::Path, full_name: &str, pull: &Pull) -> String {
    let range = format!("{}..{}", pull.base_sha, pull.head_sha);
    let commits = git::log(folder, &range, 100).await.unwrap_or_default();
    let name = escape(full_name);
    let mut html = "<div class=box><header>Commits</header><div><ul>".to_owned();
    for commit in &commits {
        let subject = commit.message.lines().next().unwrap_or_default();
        html.push_str(&format!(
            "<li><a href=\"/{name}/commit/{}\">{}</a> {} <span class=quiet>{}</span></li>",
            commit.sha,
            short(&commit.sha),
            escape(subject),
            escape(&commit.author.name)
        ));
    }
    html.push_str("</ul></div></div>");
    let range = format!("{}...{}", pull.base_sha, pull.head_sha);
    let diff = git::text(folder, &["diff", &range, "--"]).await.unwrap_or_default();
    html.push_str(&format!("<h2>Files changed</h2>{}", coloured(&diff)));
    html
}

async fn commit(inner: &Inner, full_name: &str, sha: &str) -> Option<String> {
    let folder = inner.world().repository(full_name)?.folder.clone();
    let sha = git::resolve(&folder, sha).await?;
    let shown = git::text(&folder, &["show", "--format=fuller", &sha, "--"]).await.ok()?;
    let name = escape(full_name);
    let body = format!("<p><a href=\"/{name}\">{name}</a></p><h1>{}</h1>{}", short(&sha), coloured(&shown));
    Some(page(&format!("{} · {full_name}", short(&sha)), &body))
}

/// A diff with its lines coloured.
fn coloured(diff: &str) -> String {
    let mut html = "<pre tabindex=0>".to_owned();
    for line in diff.lines().take(DIFF_LINES) {
        let class = match line.as_bytes() {
            [b'+', ..] => "add",
            [b'-', ..] => "del",
            [b'@', b'@', ..] => "at",
            _ => "",
        };
        html.push_str(&format!("<span class=\"{class}\">{}</span>\n", escape(line)));
    }
    if diff.lines().nth(DIFF_LINES).is_some() {
        html.push_str("… and more");
    }
    html + "</pre>"
}

fn badge(issue: &Issue) -> String {
    let merged = issue.pull.as_ref().is_some_and(|pull| pull.merged_at.is_some());
    let word = if merged { "merged" } else { state(issue) };
    format!("<span class=\"state {word}\">{word}</span>")
}

fn labels(issue: &Issue) -> String {
    let labels = issue.labels.iter().map(|label| format!("<span class=label>{}</span>", escape(label)));
    labels.collect::<Vec<_>>().join(" ")
}

fn reactions(reactions: &[IssueReaction]) -> String {
    let symbol = |content: &str| match content {
        "+1" => "👍",
        "-1" => "👎",
        "laugh" => "😄",
        "hooray" => "🎉",
        "confused" => "😕",
        "heart" => "❤️",
        "rocket" => "🚀",
        _ => "👀",
    };
    let symbols: Vec<&str> = reactions.iter().map(|reaction| symbol(&reaction.content)).collect();
    if symbols.is_empty() { String::new() } else { format!("<p>{}</p>", symbols.join(" ")) }
}

pub(super) fn kind(issue: &Issue) -> &'static str {
    if issue.pull.is_some() { "pull" } else { "issues" }
}

fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style><body><main>{body}</main></body></html>",
        escape(title)
    )
}

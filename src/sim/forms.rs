//! What people do on the pages: open issues, comment, label, review, merge, close. Each form says who acts, is refused where GitHub
//! would refuse that person, and does the same as the functions that tests call.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use crate::model::Number;

use super::acts::Role;
use super::pages::kind;
use super::web::{Fields, person_field, redirect, told};
use super::world::{Issue, Repository, World};
use super::{Inner, Sim};
use crate::markup::escape;

/// The states of a review that can be submitted, and what the choice says.
const VERDICTS: [(&str, &str); 3] =
    [("COMMENTED", "Comment"), ("CHANGES_REQUESTED", "Request changes"), ("APPROVED", "Approve")];

/// The form below the list of a repository.
pub(super) fn new_issue(world: &World, of: &Repository, person: Option<&str>) -> String {
    let inputs = "<p><label class=wide>Title <input name=title required></label></p>\
                  <p><label class=wide>Text <textarea name=body></textarea></label></p>\
                  <p><label>Label <input name=label list=labels></label></p>";
    let form = form(world, of, "issues", (person, inputs, "Open the issue"));
    format!("<details class=box><summary>Open an issue</summary><div>{form}{}</div></details>", labels(of))
}

/// The forms below a conversation.
pub(super) fn on_thread(world: &World, of: &Repository, issue: &Issue, person: Option<&str>) -> String {
    let place = |act: &str| format!("{}/{}/{act}", kind(issue), issue.number);
    let on = |act: &str, inputs: &str, button: &str| form(world, of, &place(act), (person, inputs, button));
    let mut forms = vec![
        on("comments", "<p><label class=wide>Comment <textarea name=body required></textarea></label></p>", "Comment"),
        on("labels", "<p><label>Label <input name=label list=labels required></label></p>", "Put the label on"),
    ];
    let pull = issue.pull.as_ref().filter(|pull| pull.merged_at.is_none());
    if pull.is_some() && issue.open {
        let verdicts = VERDICTS.map(|(state, says)| format!("<option value={state}>{says}</option>")).concat();
        let inputs = format!(
            "<p><label>Verdict <select name=verdict>{verdicts}</select></label></p>\
             <p><label class=wide>Review <textarea name=body></textarea></label></p>\
             <p><label>File <input name=path></label><label>Line <input name=line inputmode=numeric></label></p>\
             <p><label class=wide>Comment on that line <textarea name=remark></textarea></label></p>"
        );
        forms.push(on("reviews", &inputs, "Submit the review"));
        forms.push(on("merge", "", "Merge"));
    }
    if issue.open {
        forms.push(on("close", "", "Close"));
    } else if issue.pull.is_none() || pull.is_some() {
        forms.push(on("reopen", "", "Reopen"));
    }
    format!("<section aria-label=\"Act\">{}{}</section>", forms.concat(), labels(of))
}

fn form(world: &World, of: &Repository, place: &str, (person, inputs, button): (Option<&str>, &str, &str)) -> String {
    let (name, who) = (escape(&of.full_name), person_field(world, person));
    format!(
        "<form class=box method=post action=\"/{name}/{place}\"><div>{inputs}<p>{who} <button>{button}</button></p></div></form>"
    )
}

/// The labels that are offered; any other can be written.
fn labels(of: &Repository) -> String {
    let names = of.labels.keys().map(String::as_str).chain((!of.labels.contains_key("track")).then_some("track"));
    let options: String = names.map(|name| format!("<option value=\"{}\">", escape(name))).collect();
    format!("<datalist id=labels>{options}</datalist>")
}

/// Does what a form says; none if there is no such form.
pub(super) async fn act(inner: &Arc<Inner>, full_name: &str, path: &[&str], fields: &Fields) -> Option<Response> {
    let done = match path {
        ["issues"] => open_issue(inner, full_name, fields).await,
        ["issues" | "pull", number, act] => {
            let number: i64 = number.parse().ok()?;
            on_number(inner, full_name, (number, act), fields).await?
        }
        _ => return None,
    };
    Some(match done {
        Ok(Done { place, person }) => redirect(&place, &[("as", person.as_str())]),
        Err(error) => told(StatusCode::UNPROCESSABLE_ENTITY, "That cannot be done", &format!("{error:#}")),
    })
}

/// What was done: the page that shows it, and who did it.
struct Done {
    place: String,
    person: String,
}

async fn open_issue(inner: &Arc<Inner>, full_name: &str, fields: &Fields) -> anyhow::Result<Done> {
    let person = person(inner, fields)?;
    let title = fields.get("title").ok_or_else(|| anyhow::anyhow!("An issue needs a title."))?;
    let label = fields.get("label").map(str::trim);
    if label.is_some() {
        entitled(inner, (full_name, None), &person, "labels")?;
    }
    let labels: Vec<&str> = label.into_iter().collect();
    let text = (title, fields.get("body").unwrap_or_default());
    let number = Sim::within(inner).open_issue(full_name, &person, text, &labels).await?;
    Ok(Done { place: format!("/{full_name}/issues/{number}"), person })
}

async fn on_number(
    inner: &Arc<Inner>,
    full_name: &str,
    (number, act): (i64, &str),
    fields: &Fields,
) -> Option<anyhow::Result<Done>> {
    const ACTS: [&str; 6] = ["comments", "labels", "reviews", "merge", "close", "reopen"];
    let place = {
        let world = inner.world();
        let issue = world.repository(full_name)?.issues.get(&number)?;
        format!("/{full_name}/{}/{number}", kind(issue))
    };
    if !ACTS.contains(&act) {
        return None;
    }
    let carry_out = async {
        let person = person(inner, fields)?;
        entitled(inner, (full_name, Some(number)), &person, act)?;
        let (sim, on) = (Sim::within(inner), Number(number));
        let missing = |what: &str| anyhow::anyhow!("{what} is missing.");
        match act {
            "comments" => {
                let body = fields.get("body").ok_or_else(|| missing("The comment's text"))?;
                sim.comment(full_name, &person, on, body).await?;
            }
            "labels" => {
                let label = fields.get("label").ok_or_else(|| missing("The label's name"))?;
                sim.label(full_name, &person, on, label.trim()).await?;
            }
            "reviews" => review(&sim, full_name, (&person, on), fields).await?,
            "merge" => sim.merge_pull(full_name, &person, on).await?,
            "close" => sim.close(full_name, &person, on).await?,
            _ => sim.reopen(full_name, &person, on).await?,
        }
        Ok(Done { place, person })
    };
    Some(carry_out.await)
}

async fn review(sim: &Sim, full_name: &str, (person, on): (&str, Number), fields: &Fields) -> anyhow::Result<()> {
    let state = fields.get("verdict").unwrap_or("COMMENTED");
    let body = fields.get("body").unwrap_or_default();
    let remark = match (fields.get("path"), fields.get("line"), fields.get("remark")) {
        (Some(path), Some(line), Some(text)) => {
            let line: u32 = line.trim().parse().map_err(|_| anyhow::anyhow!("{line} is no number of a line."))?;
            Some((path.trim(), line, text))
        }
        (None, None, None) => None,
        _ => anyhow::bail!("A comment on a line needs file, line and text; leave all three empty for none."),
    };
    anyhow::ensure!(
        state == "APPROVED" || remark.is_some() || !body.is_empty(),
        "A review that does not approve needs a text or a comment on a line."
    );
    sim.review(full_name, person, on, state, body, remark.as_slice()).await?;
    Ok(())
}

fn person(inner: &Inner, fields: &Fields) -> anyhow::Result<String> {
    let world = inner.world();
    let account = world.acting(fields.get("login"));
    let account = account.ok_or_else(|| anyhow::anyhow!("There is no such person on this GitHub."))?;
    Ok(world.login(account).to_owned())
}

/// Whether GitHub would let a person do this.
/// <https://docs.github.com/en/organizations/managing-user-access-to-your-organizations-repositories/managing-repository-roles/repository-roles-for-an-organization>
fn entitled(inner: &Inner, (full_name, number): (&str, Option<i64>), person: &str, act: &str) -> anyhow::Result<()> {
    let world = inner.world();
    let of = super::changes::find(&world, full_name)?;
    let Some(account) = world.account_of(person).map(|account| account.id) else { return Ok(()) };
    let role = world.role(of, account);
    let issue = number.and_then(|number| of.issues.get(&number));
    let (author, locked) = issue.map_or((false, false), |issue| (issue.author.account == account, issue.locked));
    let may = match act {
        "labels" => role >= Role::Triage,
        "merge" => role >= Role::Write,
        "close" | "reopen" => author || role >= Role::Triage,
        _ => role >= if locked { Role::Write } else { Role::Read },
    };
    anyhow::ensure!(may, "{person} may not do that in {full_name}: choose somebody with a higher role there.");
    Ok(())
}

//! How things look on pages, whatever page it is: the frame around them, times, durations, numbers, money.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};

use super::Admin;
use super::assets::{ASSETS, Assets};
use super::person::Person;
use crate::model::{Millis, Outcome, RunId, Status};

/// What surrounds every page.
pub struct Frame {
    /// The page's title, which is its first heading too.
    pub title: String,
    /// The entry of the navigation under which it stands; empty for none.
    pub section: &'static str,
    /// The token of the page's forms; empty where nobody is signed in.
    pub csrf: String,
    /// Whether somebody is signed in.
    pub signed_in: bool,
    /// Whether they may do everything.
    pub is_admin: bool,
    /// Who it is.
    pub login: Option<String>,
    /// The time at which the page is made.
    pub now: Millis,
    /// Address of GitHub's pages.
    pub github: String,
    /// What the page is made of besides.
    pub assets: &'static Assets,
}

/// An entry of the navigation.
pub struct Entry {
    /// Where it leads.
    pub path: &'static str,
    /// What it is called; a page stands under the entry of its section.
    pub name: &'static str,
    /// Whether only admins see it.
    pub admins: bool,
}

/// The navigation, in order.
pub const NAVIGATION: &[Entry] = &[
    Entry { path: "/admin", name: "Board", admins: false },
    Entry { path: "/admin/runs", name: "Runs", admins: false },
    Entry { path: "/admin/repositories", name: "Repositories", admins: false },
    Entry { path: "/admin/usage", name: "Usage", admins: false },
    Entry { path: "/admin/runners", name: "Runners", admins: true },
    Entry { path: "/admin/deliveries", name: "Deliveries", admins: true },
    Entry { path: "/admin/audit", name: "Audit", admins: true },
    Entry { path: "/admin/settings", name: "Settings", admins: true },
    Entry { path: "/admin/health", name: "Health", admins: true },
];

impl Frame {
    /// The frame of a page for a person. `section` is the name of an entry of [`NAVIGATION`].
    pub fn new(admin: &Admin, person: Option<&Person>, title: impl Into<String>, section: &'static str) -> Self {
        Self {
            title: title.into(),
            section,
            csrf: person.map(Person::token).unwrap_or_default(),
            signed_in: person.is_some(),
            is_admin: person.is_some_and(Person::is_admin),
            login: person.and_then(Person::account).map(|account| account.login.clone()),
            now: admin.context().clock.now(),
            github: admin.context().app.server_url.clone(),
            assets: &ASSETS,
        }
    }

    /// The entries that this person sees.
    pub fn navigation(&self) -> impl Iterator<Item = &'static Entry> {
        let (signed_in, is_admin) = (self.signed_in, self.is_admin);
        NAVIGATION.iter().filter(move |entry| signed_in && (is_admin || !entry.admins))
    }

    /// A time in relation to when the page was made.
    pub fn ago(&self, at: &Millis) -> Ago {
        Ago { at: *at, now: self.now }
    }
}

/// A template as an answer. One that cannot be rendered is told as such; its text would not be whole.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!("a page cannot be rendered: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page cannot be shown; the bot's log says why.\n").into_response()
        }
    }
}

/// HTML of ours that is put into a page as it is.
#[derive(Clone, Debug, Default)]
pub struct Safe(pub String);

impl fmt::Display for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl HtmlSafe for Safe {}

/// What people or agents wrote, Markdown read and everything else shown as text.
pub fn markdown(text: &str) -> Safe {
    Safe(format!("<div class=\"prose\">{}</div>", crate::markup::html(text)))
}

/// A time as people say it, the exact one on hover; the page's script keeps it right.
#[derive(Clone, Copy, Debug)]
pub struct Ago {
    at: Millis,
    now: Millis,
}

impl Ago {
    /// A time seen from another.
    pub fn new(at: Millis, now: Millis) -> Self {
        Self { at, now }
    }
}

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = chrono::DateTime::from_timestamp_millis(self.at).unwrap_or_default();
        let (machine, exact) = (time.format("%Y-%m-%dT%H:%M:%S%.3fZ"), time.format("%Y-%m-%d %H:%M:%S UTC"));
        write!(f, "<time datetime=\"{machine}\" title=\"{exact}\">{}</time>", relative(self.now - self.at))
    }
}
impl HtmlSafe for Ago {}

/// How long ago, in words that track.js makes too.
pub fn relative(past: Millis) -> String {
    let (seconds, ahead) = (past.abs() / 1_000, past < 0);
    let (n, unit) = match seconds {
        0..10 => return if ahead { "in a moment" } else { "just now" }.to_owned(),
        10..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..86_400 => (seconds / 3_600, "h"),
        86_400..172_800 => (1, "day"),
        _ => (seconds / 86_400, "days"),
    };
    if ahead { format!("in {n} {unit}") } else { format!("{n} {unit} ago") }
}

/// A span of time for people: `1 h 4 min`, `3 min 20 s`, `4.2 s`, `85 ms`.
pub fn span(millis: Millis) -> String {
    let millis = millis.max(0);
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..10 => format!("{:.1} s", millis as f64 / 1_000.0),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A span that still grows: the page's script counts on.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed {
    /// Since when.
    pub since: Millis,
    /// When the page is made.
    pub now: Millis,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span class=\"elapsed\" data-since=\"{}\">{}</span>", self.since, span(self.now - self.since))
    }
}
impl HtmlSafe for Elapsed {}

/// A number with its thousands apart: `12 345`, with spaces that do not break.
pub fn number(n: impl TryInto<i128>) -> String {
    let n: i128 = n.try_into().unwrap_or_default();
    let digits = n.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if n < 0 { format!("\u{2212}{grouped}") } else { grouped }
}

/// US dollars: `$0.004`, `$1.20`, `$1 234.00`.
pub fn money(dollars: f64) -> String {
    if dollars > 0.0 && dollars < 0.01 {
        return format!("${dollars:.3}");
    }
    let cents = (dollars * 100.0).round() as i128;
    format!("${}.{:02}", number(cents / 100), cents.abs() % 100)
}

/// Bytes: `512 B`, `3.4 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = n as f64;
    let mut unit = 0;
    while amount >= 1_024.0 && unit + 1 < UNITS.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// How a run is, in a word with a colour of its own.
#[derive(Clone, Copy, Debug)]
pub struct Badge {
    /// Where it is.
    pub status: Status,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

impl Badge {
    /// The word.
    pub fn word(self) -> &'static str {
        match (self.status, self.outcome) {
            (Status::Done | Status::Publishing, Some(Outcome::TimedOut)) => "timed out",
            (Status::Done, Some(outcome)) => outcome.as_str(),
            (status, _) => status.as_str(),
        }
    }

    fn class(self) -> &'static str {
        match (self.status, self.outcome) {
            (Status::Done, Some(Outcome::Succeeded)) => "good",
            (Status::Done, Some(Outcome::Canceled)) => "calm",
            (Status::Done, Some(Outcome::Blocked)) => "warn",
            (Status::Done, _) => "bad",
            (Status::Queued, _) => "calm",
            _ => "live",
        }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<span class=\"badge {}\">{}</span>", self.class(), self.word())
    }
}
impl HtmlSafe for Badge {}

/// The end of a run's id, which tells runs of one thread apart.
pub fn short_run(run: &RunId) -> String {
    let id = run.to_string();
    id[id.len() - 8..].to_lowercase()
}

/// The beginning of a commit's hash.
pub fn short_sha(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

/// How templates write values: `{{ cost|money }}`. A module with templates says `use super::view::filters;`.
#[expect(missing_docs, reason = "the macro makes items whose docstrings cannot be given")]
pub mod filters {
    use askama::{Result, Values};

    use super::Safe;

    /// US dollars.
    #[askama::filter_fn]
    pub fn money(dollars: &f64, _: &dyn Values) -> Result<String> {
        Ok(super::money(*dollars))
    }

    /// A whole number with its thousands apart.
    #[askama::filter_fn]
    pub fn number(n: &i64, _: &dyn Values) -> Result<String> {
        Ok(super::number(*n))
    }

    /// A span of milliseconds.
    #[askama::filter_fn]
    pub fn span(millis: &i64, _: &dyn Values) -> Result<String> {
        Ok(super::span(*millis))
    }

    /// A size in bytes.
    #[askama::filter_fn]
    pub fn bytes(n: &u64, _: &dyn Values) -> Result<String> {
        Ok(super::bytes(*n))
    }

    /// The beginning of a commit's hash.
    #[askama::filter_fn]
    pub fn short_sha(sha: &str, _: &dyn Values) -> Result<String> {
        Ok(super::short_sha(sha).to_owned())
    }

    /// A line of ours, with code between backticks.
    #[askama::filter_fn]
    pub fn line(text: &str, _: &dyn Values) -> Result<Safe> {
        Ok(Safe(crate::markup::line(text)))
    }

    /// Markdown of people and agents.
    #[askama::filter_fn]
    pub fn markdown(text: &str, _: &dyn Values) -> Result<Safe> {
        Ok(super::markdown(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_read_well() {
        let spans = [0, 85, 4_200, 59_999, 200_000, 3_840_000, 200_000_000].map(span).join(" | ");
        insta::assert_snapshot!(spans, @"0 ms | 85 ms | 4.2 s | 59 s | 3 min 20 s | 1 h 4 min | 2 d 7 h");
        let times =
            [0, 9_999, 10_000, 61_000, 7_200_000, 90_000_000, 200_000_000, -30_000, -1].map(relative).join(" | ");
        insta::assert_snapshot!(times, @"just now | just now | 10 s ago | 1 min ago | 2 h ago | 1 day ago | 2 days ago | in 30 s | in a moment");
        let numbers = [0, 999, 1_000, 12_345, 1_234_567, -1_234].map(|n: i64| number(n)).join(" | ");
        insta::assert_snapshot!(numbers.replace('\u{202f}', "_"), @"0 | 999 | 1_000 | 12_345 | 1_234_567 | −1_234");
        let sums = [0.0, 0.004, 0.01, 1.2, 1_234.0, 0.999].map(money).join(" | ");
        insta::assert_snapshot!(sums.replace('\u{202f}', "_"), @"$0.00 | $0.004 | $0.01 | $1.20 | $1_234.00 | $1.00");
        let sizes = [0, 1_023, 1_024, 3_565_158, 5 << 40].map(bytes).join(" | ");
        insta::assert_snapshot!(sizes, @"0 B | 1023 B | 1.0 KiB | 3.4 MiB | 5.0 TiB");
    }

    #[test]
    fn a_time_has_the_exact_one_with_it() {
        let ago = Ago::new(1_700_000_000_000, 1_700_000_061_000).to_string();
        insta::assert_snapshot!(ago, @r#"<time datetime="2023-11-14T22:13:20.000Z" title="2023-11-14 22:13:20 UTC">1 min ago</time>"#);
    }
}

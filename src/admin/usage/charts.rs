//! The charts of usage: what a table below says of each day.

use super::super::chart::{self, Chart, Part};
use super::super::view::{Safe, money, number};
use super::{Days, Sums, dollars, tokens};
use crate::model::Millis;

/// A chart with what its colours mean.
pub(super) struct Picture {
    pub(super) title: &'static str,
    pub(super) svg: Safe,
    pub(super) legend: Vec<(&'static str, &'static str)>,
}

/// All that there is something to show in.
pub(super) fn all(days: &Days) -> Vec<Picture> {
    let names: Vec<String> = days.iter().map(|(day, _)| short_day(*day)).collect();
    let of = |value: &dyn Fn(&Sums) -> f64| days.iter().map(|(_, sums)| value(sums)).collect::<Vec<f64>>();
    let total = |value: &dyn Fn(&Sums) -> u64| days.iter().map(|(_, sums)| value(sums)).sum::<u64>();
    let mut pictures = Vec::new();
    let mut draw = |kind: fn(&Chart<'_>) -> String,
                    chart: (&str, &'static str, &str),
                    parts: &[(&'static str, &'static str, Vec<f64>)],
                    format| {
        let (id, title, summary) = chart;
        let legend = parts.iter().filter(|_| parts.len() > 1).map(|(class, name, _)| (*class, *name)).collect();
        let parts: Vec<Part<'_>> = parts.iter().map(|(class, name, values)| Part { name, class, values }).collect();
        let svg = Safe(kind(&Chart { id, title, summary, names: &names, parts: &parts, format }));
        pictures.push(Picture { title, svg, legend });
    };
    let summary = format!(
        "{} runs in {} days, of which {} succeeded and {} failed.",
        total(&|sums| sums.runs),
        days.len(),
        total(&|sums| sums.succeeded),
        total(&|sums| sums.failed)
    );
    let parts = [
        ("bar", "succeeded", of(&|sums| sums.succeeded as f64)),
        ("second", "blocked, canceled or live", of(&|sums| (sums.blocked + sums.canceled + sums.live) as f64)),
        ("bad", "failed", of(&|sums| sums.failed as f64)),
    ];
    draw(chart::bars, ("runs", "Runs by day", &summary), &parts, |value| number(value.round() as i64));
    if total(&|sums| sums.priced) > 0 {
        let cost = of(&|sums| dollars(sums.cost));
        let summary = format!("{} in {} days, of the runs whose agents say it.", money(cost.iter().sum()), days.len());
        draw(chart::bars, ("cost", "Cost by day", &summary), &[("bar", "", cost)], money);
    }
    if days.iter().any(|(_, sums)| sums.has_tokens()) {
        let read: i64 = days.iter().map(|(_, sums)| sums.tokens_in).sum();
        let written: i64 = days.iter().map(|(_, sums)| sums.tokens_out).sum();
        let parts = [
            ("second", "in, cached", of(&|sums| sums.tokens_cached as f64)),
            ("bar", "in, not cached", of(&|sums| (sums.tokens_in - sums.tokens_cached) as f64)),
            ("good", "out", of(&|sums| sums.tokens_out as f64)),
        ];
        let summary = format!("{} tokens in and {} out in {} days.", tokens(&read), tokens(&written), days.len());
        draw(chart::bars, ("tokens", "Tokens by day", &summary), &parts, |value| tokens(&(value.round() as i64)));
    }
    let longest = days.iter().filter_map(|(_, sums)| sums.to_pull_p90()).max();
    if let Some(longest) = longest {
        let (unit, format) = unit(longest);
        let in_units = |time: Option<Millis>| time.map_or(f64::NAN, |time: Millis| time as f64 / unit as f64);
        let parts = [
            ("main", "half of the tasks", of(&|sums| in_units(sums.to_pull_median()))),
            ("second", "nine of ten tasks", of(&|sums| in_units(sums.to_pull_p90()))),
        ];
        let summary =
            "How long half of a day's tasks, and nine of ten, took at most from the request to their pull request.";
        draw(chart::lines, ("to-pull", "Time to pull request by day", summary), &parts, format);
    }
    pictures
}

/// The unit in which a chart's times are short numbers, in milliseconds, and how these are written.
fn unit(longest: Millis) -> (Millis, fn(f64) -> String) {
    fn short(value: f64) -> String {
        if value == 0.0 || value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") }
    }
    match longest {
        ..2_000 => (1, |value| format!("{value:.0} ms")),
        2_000..120_000 => (1_000, |value| short(value) + " s"),
        120_000..7_200_000 => (60_000, |value| short(value) + " min"),
        _ => (3_600_000, |value| short(value) + " h"),
    }
}

/// A day in few characters: `31 Mar`.
fn short_day(day: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(day).map(|time| time.format("%-d %b").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_numbers_whatever_they_are() {
        let told = |longest: Millis| {
            let (unit, format) = unit(longest);
            [0.0, 0.25, 0.5, 1.0].map(|share| format(longest as f64 / unit as f64 * share)).join(", ")
        };
        let told = [1, 850, 2_000, 40_000, 400_000, 7_200_000, 86_400_000].map(told);
        insta::assert_snapshot!(told.join("\n"), @r"
        0 ms, 0 ms, 0 ms, 1 ms
        0 ms, 212 ms, 425 ms, 850 ms
        0 s, 0.5 s, 1.0 s, 2.0 s
        0 s, 10 s, 20 s, 40 s
        0 min, 1.7 min, 3.3 min, 6.7 min
        0 h, 0.5 h, 1.0 h, 2.0 h
        0 h, 6.0 h, 12 h, 24 h
        ");
    }
}

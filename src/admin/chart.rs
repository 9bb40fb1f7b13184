//! Charts as SVG that the server draws: no script, no style of their own, colours by class, and every number also in a table beside them.
//!
//! A chart is one picture with a name and a description for a screen reader; whoever points at a bar is told what it stands for.

use std::fmt::Write as _;

/// Size of the picture in its own units; a stylesheet says how large it is shown.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers at the left and the names below.
const LEFT: f64 = 68.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 12.0;
/// Lines across the picture, with a number each, beside the one at zero.
const GRID: u32 = 4;
/// Names below that find room beside each other.
const NAMES: usize = 10;
/// The share of its place that a bar fills, and the widest that one is.
const FILLED: f64 = 0.72;
const WIDEST: f64 = 48.0;
/// Higher numbers are drawn as this one.
const HIGHEST: f64 = 1e18;

/// Numbers over a row of names, in one or several parts that lie on each other.
pub struct Chart<'a> {
    /// Begins the ids of its parts; no other chart of the page has it.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// What can be seen in it, in a sentence.
    pub summary: &'a str,
    /// Names from left to right.
    pub names: &'a [String],
    /// The parts, from the bottom up.
    pub parts: &'a [Part<'a>],
    /// A number as people read it.
    pub format: fn(f64) -> String,
}

/// One part of each bar, or one line.
pub struct Part<'a> {
    /// What it is: `succeeded`, …
    pub name: &'a str,
    /// The class that colours it: `bar`, `second`, `bad`, …
    pub class: &'a str,
    /// A number for each name.
    pub values: &'a [f64],
}

/// Bars whose parts stand on each other.
pub fn bars(chart: &Chart<'_>) -> String {
    let count = chart.names.len().max(1);
    let total = |n: usize| chart.parts.iter().map(|part| value(part, n)).sum::<f64>();
    let top = ceiling((0..chart.names.len()).map(total).fold(0.0, f64::max));
    let mut svg = begin(chart, top);
    let place = (WIDTH - LEFT) / count as f64;
    let width = (place * FILLED).min(WIDEST);
    for (n, name) in chart.names.iter().enumerate() {
        let told: Vec<String> =
            chart.parts.iter().filter(|part| value(part, n) > 0.0).map(|part| told(chart, part, n)).collect();
        let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
        let x = LEFT + place * n as f64;
        let _ = write!(svg, "<g><title>{}: {}</title>", escape(name), escape(&told));
        // The whole place can be pointed at, also where the bar is short.
        let _ = write!(
            svg,
            "<rect class=\"place\" x=\"{x:.1}\" y=\"{ABOVE}\" width=\"{place:.1}\" height=\"{:.1}\" fill=\"none\" pointer-events=\"all\"/>",
            room()
        );
        let mut below = 0.0;
        for part in chart.parts.iter().filter(|part| value(part, n) > 0.0) {
            let (bottom, height) = (y(below, top), value(part, n) / top * room());
            below += value(part, n);
            let (x, y) = (x + (place - width) / 2.0, bottom - height);
            let _ = write!(
                svg,
                "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"currentColor\"/>",
                escape(part.class)
            );
        }
        svg.push_str("</g>");
    }
    svg + "</svg>"
}

/// Lines, each with a dot at every number; a value that is not a number is left out.
pub fn lines(chart: &Chart<'_>) -> String {
    let all = chart.parts.iter().flat_map(|part| part.values.iter().copied());
    let top = ceiling(all.fold(0.0, f64::max).min(HIGHEST));
    let mut svg = begin(chart, top);
    let place = (WIDTH - LEFT) / chart.names.len().max(1) as f64;
    for part in chart.parts {
        let points: Vec<(usize, f64, f64)> = part
            .values
            .iter()
            .take(chart.names.len())
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .map(|(n, _)| (n, LEFT + place * (n as f64 + 0.5), y(value(part, n), top)))
            .collect();
        let path: Vec<String> = points.iter().map(|(_, x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(
            svg,
            "<polyline class=\"line {}\" points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/>",
            escape(part.class),
            path.join(" ")
        );
        for (n, x, y) in points {
            let told = format!("{}: {}", chart.names[n], told(chart, part, n));
            let _ = write!(
                svg,
                "<circle class=\"dot {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"currentColor\"><title>{}</title></circle>",
                escape(part.class),
                escape(&told)
            );
        }
    }
    svg + "</svg>"
}

/// The picture with its name, its grid and the names below.
fn begin(chart: &Chart<'_>, top: f64) -> String {
    let id = escape(chart.id);
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" aria-labelledby=\"{id}-title {id}-summary\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">\
         <title id=\"{id}-title\">{}</title><desc id=\"{id}-summary\">{}</desc>",
        escape(chart.title),
        escape(chart.summary)
    );
    for n in 0..=GRID {
        let at = top * f64::from(n) / f64::from(GRID);
        let y = y(at, top);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"currentColor\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"currentColor\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            escape(&(chart.format)(at))
        );
    }
    let place = (WIDTH - LEFT) / chart.names.len().max(1) as f64;
    let every = chart.names.len().div_ceil(NAMES).max(1);
    for (n, name) in chart.names.iter().enumerate().step_by(every) {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"currentColor\">{}</text>",
            LEFT + place * (n as f64 + 0.5),
            HEIGHT - 7.0,
            escape(name)
        );
    }
    svg
}

/// What a part has for a name, as far as it can be drawn: nothing below zero.
fn value(part: &Part<'_>, n: usize) -> f64 {
    part.values.get(n).copied().filter(|value| *value > 0.0).unwrap_or(0.0).min(HIGHEST)
}

/// What a part says of itself; one that stands alone needs no name.
fn told(chart: &Chart<'_>, part: &Part<'_>, n: usize) -> String {
    format!("{} {}", (chart.format)(value(part, n)), part.name).trim_end().to_owned()
}

fn room() -> f64 {
    HEIGHT - ABOVE - BELOW
}

fn y(value: f64, top: f64) -> f64 {
    ABOVE + room() * (1.0 - value / top)
}

/// The number at the top: the smallest of 1, 2, 4 and 8 with zeros that the highest one fits below, so that the lines between are round.
fn ceiling(highest: f64) -> f64 {
    if highest <= 0.0 {
        return f64::from(GRID);
    }
    let power = 10f64.powf(highest.log10().floor());
    let fits: Option<f64> = [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= highest);
    fits.unwrap_or(10.0 * power)
}

/// Text inside an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart<'a>(names: &'a [String], parts: &'a [Part<'a>]) -> Chart<'a> {
        let format = |value: f64| format!("{value:.0}");
        Chart { id: "runs", title: "Runs by day", summary: "Three runs.", names, parts, format }
    }

    fn lined(svg: &str) -> String {
        svg.replace("><", ">\n<")
    }

    #[test]
    fn a_bar_tells_its_parts_and_they_stand_on_each_other() {
        let names = ["1 May".to_owned(), "2 May".to_owned()];
        let parts = [
            Part { name: "succeeded", class: "bar", values: &[2.0, 0.0] },
            Part { name: "failed", class: "bad", values: &[1.0, 0.0] },
        ];
        insta::assert_snapshot!(lined(&bars(&chart(&names, &parts))), @r#"
        <svg class="chart" role="img" aria-labelledby="runs-title runs-summary" viewBox="0 0 720 200">
        <title id="runs-title">Runs by day</title>
        <desc id="runs-summary">Three runs.</desc>
        <line class="grid" x1="68" x2="720" y1="176.0" y2="176.0" stroke="currentColor"/>
        <text x="62.0" y="180.0" text-anchor="end" fill="currentColor">0</text>
        <line class="grid" x1="68" x2="720" y1="135.0" y2="135.0" stroke="currentColor"/>
        <text x="62.0" y="139.0" text-anchor="end" fill="currentColor">1</text>
        <line class="grid" x1="68" x2="720" y1="94.0" y2="94.0" stroke="currentColor"/>
        <text x="62.0" y="98.0" text-anchor="end" fill="currentColor">2</text>
        <line class="grid" x1="68" x2="720" y1="53.0" y2="53.0" stroke="currentColor"/>
        <text x="62.0" y="57.0" text-anchor="end" fill="currentColor">3</text>
        <line class="grid" x1="68" x2="720" y1="12.0" y2="12.0" stroke="currentColor"/>
        <text x="62.0" y="16.0" text-anchor="end" fill="currentColor">4</text>
        <text x="231.0" y="193.0" text-anchor="middle" fill="currentColor">1 May</text>
        <text x="557.0" y="193.0" text-anchor="middle" fill="currentColor">2 May</text>
        <g>
        <title>1 May: 2 succeeded, 1 failed</title>
        <rect class="place" x="68.0" y="12" width="326.0" height="164.0" fill="none" pointer-events="all"/>
        <rect class="bar" x="207.0" y="94.0" width="48.0" height="82.0" fill="currentColor"/>
        <rect class="bad" x="207.0" y="53.0" width="48.0" height="41.0" fill="currentColor"/>
        </g>
        <g>
        <title>2 May: nothing</title>
        <rect class="place" x="394.0" y="12" width="326.0" height="164.0" fill="none" pointer-events="all"/>
        </g>
        </svg>
        "#);
    }

    #[test]
    fn a_line_leaves_out_what_is_no_number() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let parts = [Part { name: "minutes", class: "main", values: &[1.0, f64::NAN, 4.0] }];
        let svg = lines(&chart(&names, &parts));
        assert!(svg.contains("points=\"176.7,135.0 611.3,12.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>c: 4 minutes</title>"), "{svg}");
    }

    // T26
    #[test]
    fn names_are_text_and_numbers_stay_in_the_picture() {
        let hostile = "</title><script>alert('x')</script>\" onload=\"alert(1)".to_owned();
        let names = [hostile.clone()];
        let parts = [Part { name: &hostile, class: &hostile, values: &[f64::INFINITY] }];
        let chart = Chart { title: &hostile, summary: &hostile, id: &hostile, ..chart(&names, &parts) };
        for svg in [bars(&chart), lines(&chart)] {
            assert!(!svg.contains("<script") && !svg.contains("\" onload"), "{svg}");
            assert!(!svg.contains("inf") && !svg.contains("NaN") && !svg.contains(" style="), "{svg}");
        }
    }

    #[test]
    fn the_top_is_a_round_number_above_the_highest() {
        for (highest, top) in
            [(0.0, 4.0), (1.0, 1.0), (3.0, 4.0), (0.3, 0.4), (5.0, 8.0), (9.0, 10.0), (1_001.0, 2_000.0)]
        {
            assert!((ceiling(highest) - top).abs() < 1e-9, "{highest}: {}", ceiling(highest));
        }
    }

    #[test]
    fn without_names_there_is_an_empty_picture() {
        for svg in [bars(&chart(&[], &[])), lines(&chart(&[], &[]))] {
            assert!(svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}

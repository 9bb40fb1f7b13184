//! Aligned columns and marked lines, of text that may be hostile.

use super::api::Check;
use crate::logging::visible;

/// Rows under their heads, each column as wide as its widest cell; the last one is not padded.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(heads.iter().map(|head| (*head).to_owned()).collect())
        .chain(rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()))
        .collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("{}\n", cells.join("  ").trim_end())
        })
        .collect()
}

/// One line per check, and the remedy under each miss.
pub fn checks(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
    checks.iter().map(|check| line(if check.ok { "ok  " } else { "MISS" }, check, width)).collect()
}

/// One line of a check under any mark.
pub fn line(mark: &str, check: &Check, width: usize) -> String {
    let what = visible(&check.what);
    let mut out = format!("{mark}  {what:<width$}  {}", visible(&check.found)).trim_end().to_owned() + "\n";
    // Of remedies the line breaks are ours.
    for remedy in check.remedy.lines() {
        out += &format!("      {:width$}  -> {}\n", "", visible(remedy));
    }
    out
}

/// At most `most` characters of one line of text.
pub fn short(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // T26
    #[test]
    fn columns_stay_aligned_and_hostile_cells_on_their_line() {
        let rows = [vec!["1".to_owned(), "naïve".to_owned()], vec!["10000".to_owned(), "a\n\u{1b}[2J".to_owned()]];
        insta::assert_snapshot!(table(&["id", "title"], &rows), @r"
        id     title
        1      naïve
        10000  a\u{a}\u{1b}[2J
        ");
    }

    #[test]
    fn long_text_is_cut_to_a_line() {
        assert_eq!((short("a\nb", 5), short("abcdef", 5), short("", 5)), ("a".into(), "abcd…".into(), String::new()));
    }
}

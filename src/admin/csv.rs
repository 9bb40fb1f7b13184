//! Tables for spreadsheets, by RFC 4180. A cell that a spreadsheet would take for a formula is marked as text: titles and logins are anybody's.

/// What a spreadsheet begins a formula with; tab and carriage return are skipped by some before they look.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Adds one record.
pub fn record<S: AsRef<str>>(out: &mut String, cells: impl IntoIterator<Item = S>) {
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_cell(out, cell.as_ref());
    }
    out.push_str("\r\n");
}

fn push_cell(out: &mut String, cell: &str) {
    let mark = if cell.starts_with(FORMULA) { "'" } else { "" };
    if !cell.contains([',', '"', '\r', '\n']) {
        out.push_str(mark);
        out.push_str(cell);
        return;
    }
    out.push('"');
    out.push_str(mark);
    out.push_str(&cell.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(cells: &[&str]) -> String {
        let mut out = String::new();
        record(&mut out, cells);
        out
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(one(&["a", "b c", ""]), "a,b c,\r\n");
        assert_eq!(
            one(&["a,b", "say \"hi\"", "two\nlines", "cr\r"]),
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"cr\r\"\r\n"
        );
        assert_eq!(one(&[]), "\r\n");
    }

    // T26
    #[test]
    fn no_cell_is_a_formula() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a=b", "a=b"),
            ("2-1", "2-1"),
        ] {
            assert_eq!(one(&[cell]), format!("{written}\r\n"));
        }
    }
}

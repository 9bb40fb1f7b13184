//! `track runs --log`: the bot's copy of what an agent printed, which lies beside the database and grows while the agent works.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::logging::visible;
use crate::model::RunId;
use crate::run::journal;

/// Prints the journal of a run, turn by turn.
pub fn print(home: &Path, run: RunId, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut turns = 0;
    loop {
        let path = journal::file(home, run, i64::from(turns) + 1);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            file => file.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        turns += 1;
        match print_turn(turns, file, out) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.with_context(|| format!("{} cannot be printed", path.display()))?,
        }
    }
    ensure!(
        turns > 0,
        "run {run} has no log on this machine: its agent has not started, its history was discarded, or it was over 30 days ago or more; `track runs` shows the runs"
    );
    Ok(())
}

fn print_turn(turn: u32, file: File, out: &mut dyn Write) -> std::io::Result<()> {
    if turn > 1 {
        writeln!(out, "---- turn {turn}")?;
    }
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        writeln!(out, "{}", shown(String::from_utf8_lossy(&line).trim_end_matches('\n')))?;
        line.clear();
    }
    out.flush()
}

/// A frame `<ms>\t<kind>\t<text>` for people: when, and what the agent said, or after a dot what the runner did.
fn shown(frame: &str) -> String {
    let mut parts = frame.splitn(3, '\t');
    let (Some(Ok(at)), Some(kind), Some(text)) = (parts.next().map(str::parse::<u64>), parts.next(), parts.next())
    else {
        return format!("????????  {}", visible(frame));
    };
    let seconds = at / 1000;
    let mark = if kind == "o" { "" } else { "· " };
    let text = visible(text);
    format!("{:02}:{:02}:{:02}  {mark}{text}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(home: &Path, run: RunId) -> anyhow::Result<String> {
        let mut out = Vec::new();
        print(home, run, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    // T26
    #[test]
    fn a_log_is_readable_and_harmless() {
        let home = tempfile::tempdir().unwrap();
        let run = RunId::new();
        std::fs::create_dir(home.path().join("journals")).unwrap();
        let first = "1700000000000\tp\tlaunching\n1700000001500\to\t{\"type\":\"x\"}\ta\u{1b}[2J\r\nhalf a fra";
        std::fs::write(home.path().join("journals").join(run.to_string()), first).unwrap();
        let second = b"1700000002000\to\tna\xffve\n".as_slice();
        std::fs::write(home.path().join("journals").join(format!("{run}.2")), second).unwrap();
        insta::assert_snapshot!(printed(home.path(), run).unwrap(), @r#"
        22:13:20  · launching
        22:13:21  {"type":"x"}\u{9}a\u{1b}[2J\u{d}
        ????????  half a fra
        ---- turn 2
        22:13:22  na�ve
        "#);
        let unknown = printed(home.path(), RunId::new()).unwrap_err().to_string();
        assert!(unknown.contains("has no log on this machine"), "{unknown}");
    }
}

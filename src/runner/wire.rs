//! How the bot and the runner script talk: NUL-terminated records in, lines and sized blobs out.
//!
//! A runner is not trusted: lines, blobs and their sum are capped, and nothing that it says is used unchecked.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::error::RunnerError;
use super::host::{ChannelLane, Host, HostError, Process};

/// The longest line of an answer, in bytes.
const LINE_MOST: usize = 64 * 1024;
/// The most lines of one answer.
const LINES_MOST: usize = 10_000;
/// The most bytes of blobs of one answer: journal, answer, last line and a little.
const BLOBS_MOST: usize = 8 * 1024 * 1024;
/// How much of the standard error of a verb is kept for messages, in bytes.
const STDERR_MOST: usize = 8 * 1024;
/// How long the exit code may take once the answer is read.
const EXIT_CODE: Duration = Duration::from_secs(5);

/// What goes to the script's standard input.
#[derive(Debug, Default)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// One `key=value` record. The value may be any text without NUL.
    pub fn record(&mut self, key: &str, value: impl Display) -> Result<(), RunnerError> {
        let value = value.to_string();
        if value.contains('\0') {
            return Err(RunnerError::Protocol(format!(
                "the {key} of the run holds a NUL byte, which no program can be given"
            )));
        }
        self.0.extend_from_slice(format!("{key}={value}\0").as_bytes());
        Ok(())
    }

    /// Ends the records; files may follow.
    pub fn end_records(&mut self) {
        self.0.push(0);
    }

    /// One file; its name is made of letters, digits, `.`, `_`, `-` and single slashes.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), RunnerError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !name.split('/').all(|part| part.bytes().all(plain) && part.bytes().any(|byte| byte != b'.')) {
            return Err(RunnerError::Protocol(format!("{name:?} is no name for a file of a run")));
        }
        self.0.extend_from_slice(format!("file={name} {}\0", bytes.len()).as_bytes());
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the files.
    pub fn end_files(&mut self) {
        self.0.extend_from_slice(b"end=\0");
    }

    /// The bytes as they are sent.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes of a file on the runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The beginning of the file, or its end for standard error.
    pub bytes: Vec<u8>,
    /// How long the whole file is; more than `bytes` means that it was cut.
    pub size: u64,
}

/// What the script answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    lines: Vec<String>,
    blobs: Vec<(String, Blob)>,
    stderr: String,
    code: Option<i32>,
}

impl Answer {
    /// The rest of the last line that begins with this word.
    pub fn line(&self, word: &str) -> Option<&str> {
        self.lines.iter().rev().find_map(|line| after_word(line, word))
    }

    /// The rests of all lines that begin with this word.
    pub fn lines<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| after_word(line, word))
    }

    /// Takes the first blob of this name.
    pub fn take_blob(&mut self, name: &str) -> Option<Blob> {
        let at = self.blobs.iter().position(|(each, _)| each == name)?;
        Some(self.blobs.remove(at).1)
    }

    /// The exit code, if it came.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// The end of what was said on standard error.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// The script is not on the machine: bash said so, and no script answered. What an account prints at each login does not count.
    pub fn lacks_script(&self) -> bool {
        self.code == Some(127) && self.line("end").is_none() && self.line("error").is_none()
    }

    /// The first line that no script of ours says, where every line of the answer begins with one of these words.
    pub fn foreign_line(&self, words: &[&str]) -> Option<&str> {
        let is_ours = |line: &&String| words.iter().any(|word| after_word(line, word).is_some());
        self.lines.iter().find(|line| !is_ours(line)).map(String::as_str)
    }

    /// The error that the script stated, or `None` if it stated none.
    pub fn error(&self) -> Option<RunnerError> {
        self.line("error").map(RunnerError::stated)
    }

    /// The error of an answer that lacks what was expected.
    pub fn broken(&self) -> RunnerError {
        let code = self.code.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
        let said = self.stderr.trim();
        RunnerError::Protocol(format!("the script ended with {code} and without an answer: {said:?}"))
    }
}

/// Runs one command on the machine, feeds it and reads its answer. Lines are shown to `on_line` as they come.
pub(super) async fn exchange(
    host: &dyn Host,
    command: &str,
    lane: ChannelLane,
    input: &[u8],
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Answer, RunnerError> {
    let Process { mut stdin, stdout, stderr, wait } = host.exec(command, lane).await?;
    let said = Mutex::new(Vec::new());
    let mut stdout = BufReader::new(stdout);
    let reader = read_answer(&mut stdout, on_line);
    let feed = async {
        // A script that says no stops reading: what counts is its answer.
        let _ = stdin.write_all(input).await;
        let _ = stdin.shutdown().await;
        drop(stdin);
    };
    let sides = async { tokio::join!(feed, keep_tail(stderr, &said)) };
    tokio::pin!(reader, sides);
    let mut sides_done = false;
    let read = loop {
        tokio::select! {
            read = &mut reader => break read,
            _ = &mut sides, if !sides_done => sides_done = true,
        }
    };
    let mut answer = read?;
    let rest = async {
        if !sides_done {
            sides.await;
        }
        wait.await
    };
    answer.code = match tokio::time::timeout(EXIT_CODE, rest).await {
        Ok(Ok(code)) => Some(code),
        // The answer may be complete nevertheless; if it is not, the connection is to blame.
        Ok(Err(error)) if answer.line("end").is_none() && answer.line("error").is_none() => return Err(error.into()),
        Ok(Err(_)) | Err(_) => None,
    };
    answer.stderr = printable(&said.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    Ok(answer)
}

/// Reads one line without its newline, `None` at the end of the stream.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<String>, RunnerError> {
    let mut line = Vec::new();
    let mut capped = from.take(LINE_MOST as u64);
    capped.read_until(b'\n', &mut line).await.map_err(lost)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(RunnerError::Protocol("a line of the answer is cut or too long".to_owned()));
    }
    Ok(Some(printable(&line)))
}

/// A read that failed: the connection is gone.
pub(super) fn lost(error: std::io::Error) -> RunnerError {
    RunnerError::Host(HostError::Unreachable(format!("the connection was lost: {error}")))
}

async fn read_answer(
    from: &mut (impl AsyncBufRead + Unpin),
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Answer, RunnerError> {
    let mut answer = Answer::default();
    let mut taken = 0;
    while let Some(line) = read_line(from).await? {
        if let Some(blob) = after_word(&line, "blob") {
            let (name, count, size) =
                parse_blob(blob).ok_or_else(|| RunnerError::Protocol(format!("malformed blob {blob:?}")))?;
            taken += count;
            if taken > BLOBS_MOST || answer.blobs.len() >= LINES_MOST {
                return Err(RunnerError::Protocol("the answer is too large".to_owned()));
            }
            let mut bytes = vec![0; count];
            from.read_exact(&mut bytes).await.map_err(lost)?;
            answer.blobs.push((name.to_owned(), Blob { bytes, size }));
            continue;
        }
        on_line(&line);
        answer.lines.push(line);
        if answer.lines.len() > LINES_MOST {
            return Err(RunnerError::Protocol("the answer has too many lines".to_owned()));
        }
    }
    Ok(answer)
}

fn parse_blob(text: &str) -> Option<(&str, usize, u64)> {
    let mut words = text.split(' ');
    let (name, count, size) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next().is_none() && count <= BLOBS_MOST).then_some((name, count, size))
}

fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(' ') }
}

async fn keep_tail(mut from: std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>, said: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let mut said = said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        said.extend_from_slice(&chunk[..count]);
        let surplus = said.len().saturating_sub(STDERR_MOST);
        said.drain(..surplus);
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(bytes: &[u8]) -> Result<Answer, RunnerError> {
        read_answer(&mut BufReader::new(bytes), &mut |_| ()).await
    }

    #[tokio::test]
    async fn lines_and_blobs_come_apart() {
        let mut answer = answer(b"now 5\nblob journal 4 9\na\nb\nstate running\nend\n").await.unwrap();
        assert_eq!(answer.line("now"), Some("5"));
        assert_eq!(answer.line("state"), Some("running"));
        assert_eq!(answer.line("stat"), None);
        assert_eq!(answer.take_blob("journal"), Some(Blob { bytes: b"a\nb\n".to_vec(), size: 9 }));
    }

    // T39
    #[tokio::test]
    async fn a_hostile_answer_is_refused() {
        let long = [b'x'; LINE_MOST + 1];
        let many = b"x\n".repeat(LINES_MOST + 1);
        let cases: [&[u8]; 7] = [
            b"blob journal 99999999999 1\n",
            b"blob journal -1 1\n",
            b"blob journal 4\n",
            b"blob journal 4 4\nab",
            b"cut",
            &long,
            &many,
        ];
        for bytes in cases {
            assert!(answer(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        }
        assert_eq!(answer(b"head \x1b[31m\xff\n").await.unwrap().line("head"), Some("\u{fffd}[31m\u{fffd}"));
    }

    // T24
    #[test]
    fn names_of_files_stay_below_their_folder() {
        for bad in ["", ".", "..", "../x", "a/../b", "/a", "a//b", "a b", "a\0", "a\n", "é"] {
            assert!(Request::default().file(bad, b"").is_err(), "{bad:?}");
        }
        for good in ["prompt.md", "hooks/commit-msg", "..x"] {
            assert!(Request::default().file(good, b"").is_ok(), "{good:?}");
        }
        assert!(Request::default().record("env", "A=b\0c").is_err());
    }
}

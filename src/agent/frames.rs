//! The journal as its supervisor writes it: frames `<ms>\t<kind>\t<text>\n`, cut out of a stream of bytes wherever that was cut.

use crate::model::Millis;

/// Longest frame that is kept in memory; the supervisor cuts lines well below.
const FRAME_LIMIT: usize = 1024 * 1024;

/// One frame. What is none has no time and no kind, and is all text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was written, by the runner's clock.
    pub at: Option<Millis>,
    /// `o`: the agent printed it; `p`: what the runner does; `t`: what the supervisor notes.
    pub kind: &'a [u8],
    /// What was printed.
    pub text: &'a [u8],
    /// Where in the stream the frame ends.
    pub end: u64,
}

impl<'a> Frame<'a> {
    /// The line, where it is the agent's own output.
    pub fn output(&self) -> Option<&'a [u8]> {
        (self.kind == b"o").then_some(self.text)
    }

    fn read(line: &'a [u8], end: u64) -> Self {
        let mut parts = line.splitn(3, |b| *b == b'\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(at), Some(kind), Some(text)) if kind.len() == 1 => {
                let at = std::str::from_utf8(at).ok().and_then(|at| at.parse().ok());
                Self { at, kind, text, end }
            }
            _ => Self { at: None, kind: b"", text: line, end },
        }
    }
}

/// Cuts a stream into frames.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    read: u64,
}

impl Frames {
    /// Hands each frame that is complete now to `each`.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.read += line.len() as u64 + 1;
            if self.partial.is_empty() {
                each(Frame::read(line, self.read));
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.partial);
                each(Frame::read(&whole, self.read));
            }
        }
        self.read += bytes.len() as u64;
        self.keep(bytes);
    }

    /// How many bytes of the stream were read.
    pub fn read(&self) -> u64 {
        self.read
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = FRAME_LIMIT.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_wherever_the_stream_is_cut() {
        let stream = b"1\to\tone\n2\tp\tlaunching\n3\to\tt\two\nhalf\n4\to\tlast without end";
        for cut in 0..stream.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            let mut each = |frame: Frame<'_>| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                seen.push((frame.at, text(frame.kind), text(frame.text), frame.end));
            };
            frames.push(&stream[..cut], &mut each);
            frames.push(&stream[cut..], &mut each);
            let expected = [
                (Some(1), "o", "one", 8),
                (Some(2), "p", "launching", 22),
                (Some(3), "o", "t\two", 31),
                (None, "", "half", 36),
            ];
            let expected = expected.map(|(at, kind, text, end)| (at, kind.to_owned(), text.to_owned(), end));
            assert_eq!(seen, expected, "cut at {cut}");
            assert_eq!(frames.read(), stream.len() as u64);
        }
    }
}

//! What an agent does, for people who watch: the journal's frames as messages, commands with their output, changed files and the rest.
//!
//! A transcript is fed as the journal grows and says which items are new or changed: a command is there when it starts, and gets its
//! output when it ends. Which item a line belongs to depends on the bytes before it alone, so that numbers and marks are the same for
//! whoever reads the journal again. Every line is hostile; the size of an item and the number of open ones are bounded.

mod claude;
mod codex;
mod custom;
mod items;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Agent, Frame, Frames, Reader};
use crate::model::{Millis, Phase, Session, Usage};

pub use items::{File, How, Item, Progress, State, Step, What};
pub use text::Text;

/// Bytes of a message.
const MESSAGE: usize = 32 * 1024;
/// Bytes of a thought, of which people want the gist.
const THOUGHT: usize = 2 * 1024;
/// Bytes of a command, or of what a tool is given.
const INPUT: usize = 4 * 1024;
/// Bytes of beginning and end of what a command or tool prints.
const OUTPUT: (usize, usize) = (4 * 1024, 12 * 1024);
/// Bytes of the changes of one item, of all its files together.
const PATCH: usize = 32 * 1024;
/// Bytes of lines without a form, before a new item begins.
const PLAIN: usize = 16 * 1024;
/// Characters of a path, name or question.
const NAME: usize = 300;
/// Files or steps of one item.
const ENTRIES: usize = 100;
/// Items that wait for their end; of more, the oldest wait no longer.
const OPEN: usize = 256;
/// Bytes at the beginning of an unreadable line among which the item is looked for that it would have ended.
const LINE_HEAD: usize = 4 * 1024;

/// What a line of an agent says about the items.
enum Act {
    /// A new item; one with a key can be changed, and is changed where it is there already.
    Put { key: Option<String>, what: What, state: State, inner: bool },
    /// The item with this key is over.
    Finish { key: String, end: End },
    /// The plan is this now; there is one for a turn.
    Plan(Vec<Step>),
}

/// How something ended.
struct End {
    output: Option<Text>,
    exit: Option<i64>,
    state: State,
    /// The changes that a file really had.
    patch: Option<Text>,
}

impl Act {
    fn done(what: What) -> Self {
        Self::Put { key: None, what, state: State::Done, inner: false }
    }
}

/// Makes items of the journal of one turn.
#[derive(Clone, Debug)]
pub struct Transcript {
    agent: Agent,
    frames: Frames,
    reader: Reader,
    count: u32,
    /// Items that can still change, or have since they were handed out.
    kept: BTreeMap<u32, Item>,
    dirty: BTreeSet<u32>,
    open: HashMap<String, u32>,
    /// The newest item: a line like those before goes into it.
    last: Option<u32>,
    plan: Option<u32>,
}

impl Transcript {
    /// Of a turn of `agent`; `earlier` is the session with which it was launched.
    pub fn new(agent: &Agent, earlier: Option<&Session>) -> Self {
        Self {
            agent: agent.clone(),
            frames: Frames::default(),
            reader: Reader::new(agent, earlier),
            count: 0,
            kept: BTreeMap::new(),
            dirty: BTreeSet::new(),
            open: HashMap::new(),
            last: None,
            plan: None,
        }
    }

    /// Takes more of the journal, and hands each item that is new or changed to `each`, as it is after all of it.
    pub fn feed(&mut self, bytes: &[u8], each: impl FnMut(&Item)) {
        let mut frames = std::mem::take(&mut self.frames);
        frames.push(bytes, |frame| self.frame(&frame));
        self.frames = frames;
        self.hand_out(each);
    }

    /// The turn is over: what still seems to be at work is not any more.
    pub fn end(&mut self, each: impl FnMut(&Item)) {
        // One byte behind the journal, so that it is later than everything in it.
        let at = Moment { at: None, end: self.frames.read() + 1 };
        let open: Vec<u32> = self.kept.values().filter(|i| i.state == State::Working).map(|i| i.number).collect();
        for number in open {
            let state = if Some(number) == self.plan { State::Done } else { State::Unknown };
            self.change(number, at, |item| item.state = state);
        }
        self.open.clear();
        self.hand_out(each);
    }

    /// How many items there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the journal that were read.
    pub fn read(&self) -> u64 {
        self.frames.read()
    }

    /// What the agent has used in this turn so far.
    pub fn usage(&self) -> Usage {
        self.reader.usage()
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        let moment = Moment { at: frame.at, end: frame.end };
        let text = || String::from_utf8_lossy(frame.text);
        let acts = match frame.kind {
            b"o" => self.line(frame.text),
            b"p" => match text().parse::<Phase>() {
                Ok(phase) => vec![Act::done(What::Phase(phase))],
                Err(_) => vec![Act::done(What::Note(name(&text())))],
            },
            b"t" => vec![Act::done(What::Note(name(&text())))],
            _ => vec![plain(&text())],
        };
        for act in acts {
            self.act(act, moment);
        }
    }

    /// A line of the agent.
    fn line(&mut self, line: &[u8]) -> Vec<Act> {
        // Into a `Value` first: codex prints objects that have the same key twice.
        let event = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        self.reader.take(line, event.as_ref());
        match (&self.agent, event) {
            (Agent::Codex, Some(event)) => codex::acts(&event),
            (Agent::Claude, Some(event)) => claude::acts(&event),
            (Agent::Custom { .. }, event) => custom::acts(&String::from_utf8_lossy(line), event.as_ref()),
            (_, None) if line.starts_with(b"{") => vec![self.unreadable(line)],
            (_, None) => vec![plain(&String::from_utf8_lossy(line))],
        }
    }

    /// An event that was cut because it is too long: mostly the end of something that printed very much.
    fn unreadable(&self, line: &[u8]) -> Act {
        let head = String::from_utf8_lossy(&line[..line.len().min(LINE_HEAD)]);
        let ended = self.open.iter().filter(|(key, _)| head.contains(&format!("\"{key}\""))).max_by_key(|(_, n)| **n);
        match ended {
            Some((key, _)) => {
                let output = Text { cut: line.len(), ..Text::default() };
                let end = End { output: Some(output), exit: None, state: State::Unknown, patch: None };
                Act::Finish { key: key.clone(), end }
            }
            None => Act::done(What::Note(format!(
                "A line of {} bytes cannot be read: it is in the raw journal",
                line.len()
            ))),
        }
    }

    fn act(&mut self, act: Act, moment: Moment) {
        match act {
            Act::Put { key, what, state, inner } => {
                let known = key.as_ref().and_then(|key| self.open.get(key).copied());
                match known {
                    Some(number) => self.change(number, moment, |item| {
                        item.what = what;
                        item.state = state;
                    }),
                    None => self.add(what, (state, inner), moment),
                }
                let (Some(key), Some(number)) = (key, known.or(self.last)) else { return };
                if state == State::Working {
                    self.open.insert(key, number);
                    self.close_oldest(moment);
                } else {
                    self.open.remove(&key);
                }
            }
            Act::Finish { key, end } => {
                if let Some(number) = self.open.remove(&key) {
                    self.change(number, moment, |item| item.finish(end));
                }
            }
            Act::Plan(steps) => match self.plan {
                Some(number) => self.change(number, moment, |item| item.what = What::Plan(steps)),
                None => {
                    self.add(What::Plan(steps), (State::Working, false), moment);
                    self.plan = self.last;
                }
            },
        }
    }

    fn add(&mut self, what: What, (state, inner): (State, bool), moment: Moment) {
        if let Some(number) = self.last
            && let Some(last) = self.kept.get_mut(&number)
            && last.take_in(&what)
        {
            last.changed = moment.end;
            self.dirty.insert(number);
            return;
        }
        self.count += 1;
        let Moment { at, end } = moment;
        let item = Item { number: self.count, begun: end, changed: end, at, took: None, state, inner, what };
        self.kept.insert(self.count, item);
        self.dirty.insert(self.count);
        self.last = Some(self.count);
    }

    fn change(&mut self, number: u32, moment: Moment, how: impl FnOnce(&mut Item)) {
        let Some(item) = self.kept.get_mut(&number) else { return };
        how(item);
        item.changed = moment.end;
        if item.state != State::Working {
            item.took = moment.at.zip(item.at).map(|(end, begin)| end.saturating_sub(begin).max(0));
        }
        self.dirty.insert(number);
    }

    /// An agent that begins without end must not fill the memory.
    fn close_oldest(&mut self, moment: Moment) {
        if self.open.len() <= OPEN {
            return;
        }
        let Some((key, number)) = self.open.iter().min_by_key(|(_, n)| **n).map(|(k, n)| (k.clone(), *n)) else {
            return;
        };
        self.open.remove(&key);
        self.change(number, Moment { at: None, ..moment }, |item| item.state = State::Unknown);
    }

    fn hand_out(&mut self, mut each: impl FnMut(&Item)) {
        for number in std::mem::take(&mut self.dirty) {
            if let Some(item) = self.kept.get(&number) {
                each(item);
            }
        }
        let last = self.last;
        self.kept.retain(|number, item| item.state == State::Working || Some(*number) == last);
    }
}

/// When a frame was written, and where it ends.
#[derive(Clone, Copy)]
struct Moment {
    at: Option<Millis>,
    end: u64,
}

fn plain(line: &str) -> Act {
    Act::done(What::Plain(Text::begin(line, PLAIN)))
}

/// A path, name or question in one line.
fn name(text: &str) -> String {
    super::one_line(&super::reader::relative(text), NAME)
}

fn trouble(text: &str) -> What {
    What::Trouble { text: Text::begin(text, INPUT), times: 1 }
}

/// The parts of changes that are still shown when `used` bytes were.
fn patch(text: &str, used: &mut usize) -> Option<Text> {
    let text = Text::begin(text, PATCH.saturating_sub(*used));
    *used += text.len();
    (text.len() + text.cut > 0).then_some(text)
}

/// What a tool is given, in one line of JSON.
fn input(value: &Value) -> Option<Text> {
    let nothing = value.is_null() || value.as_object().is_some_and(|object| object.is_empty());
    (!nothing).then(|| Text::begin(&value.to_string(), INPUT))
}

/// What stands in the content blocks of a tool's result, or in its text.
fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let text = |block: &Value| match block["type"].as_str() {
                Some("text") => block["text"].as_str().map(str::to_owned),
                Some(other) => Some(format!("[{}]", name(other))),
                None => None,
            };
            blocks.iter().take(ENTRIES).filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn output(text: &str) -> Option<Text> {
    let text = Text::ends(text, OUTPUT);
    (text.len() + text.cut > 0).then_some(text)
}

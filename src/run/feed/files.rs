//! What a run's agent did, read from its journals once for one who asks.

use std::io::ErrorKind;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::super::journal;
use super::CHUNK;
use super::reader::agent_of;
use crate::agent::Frames;
use crate::agent::transcript::{Item, Transcript};
use crate::context::Context;
use crate::db::runs::Run;
use crate::model::{Millis, Phase, RunId, Status};

/// Bytes at the beginning of a journal among which the phases of the preparation stand: they come before everything else.
const PHASES: u64 = 4 * 1024;

/// A part of a whole transcript, read for one who asks.
#[derive(Clone, Debug)]
pub struct Part {
    /// The items with their turns.
    pub items: Vec<(i64, Item)>,
    /// How many items there are in all.
    pub total: usize,
}

/// Items of a run from its journals, `most` of them after the first `skip`, however many there are.
///
/// # Errors
/// A journal that is there cannot be read.
pub async fn part(context: &Context, run: &Run, skip: usize, most: usize) -> Result<Part> {
    let agent = agent_of(context, run);
    let mut items: Vec<(i64, Item)> = Vec::new();
    let mut total = 0;
    let mut chunk = vec![0; CHUNK];
    for turn in 1..=run.turn {
        let mut file = match File::open(journal::file(&context.config.home, run.id, turn)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut transcript = Transcript::new(&agent, None);
        let mut keep = |item: &Item| {
            let Some(index) = (total + item.number as usize - 1).checked_sub(skip).filter(|index| *index < most) else {
                return;
            };
            match items.get_mut(index) {
                Some(known) => known.1 = item.clone(),
                None => items.push((turn, item.clone())),
            }
        };
        loop {
            let n = file.read(&mut chunk).await?;
            if n == 0 {
                break;
            }
            transcript.feed(&chunk[..n], &mut keep);
        }
        if turn < run.turn || matches!(run.status, Status::Publishing | Status::Done) {
            transcript.end(&mut keep);
        }
        total += transcript.count() as usize;
    }
    Ok(Part { items, total })
}

/// Whether there is anything that a run's agent printed.
pub async fn has_journal(context: &Context, run: RunId) -> bool {
    tokio::fs::try_exists(journal::file(&context.config.home, run, 1)).await.unwrap_or(false)
}

/// When a run's preparation came to which phase, by the runner's clock.
///
/// # Errors
/// A journal that is there cannot be read.
pub async fn phases(context: &Context, run: RunId) -> std::io::Result<Vec<(Millis, Phase)>> {
    let file = match File::open(journal::file(&context.config.home, run, 1)).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut begin = Vec::new();
    file.take(PHASES).read_to_end(&mut begin).await?;
    let mut phases = Vec::new();
    Frames::default().push(&begin, |frame| {
        let phase = std::str::from_utf8(frame.text).ok().and_then(|text| text.parse().ok());
        if let (b"p", Some(at), Some(phase)) = (frame.kind, frame.at, phase) {
            phases.push((at, phase));
        }
    });
    Ok(phases)
}

/// The journals of a run as they lie on the bot's disk, one after the other.
pub fn raw(context: &Context, run: RunId) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    let home = context.config.home.clone();
    stream::try_unfold((1, None::<File>), move |(mut turn, mut file)| {
        let home = home.clone();
        async move {
            loop {
                let open = match &mut file {
                    Some(open) => open,
                    None => match File::open(journal::file(&home, run, turn)).await {
                        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                        opened => file.insert(opened?),
                    },
                };
                let mut chunk = vec![0; CHUNK / 4];
                let n = open.read(&mut chunk).await?;
                if n > 0 {
                    chunk.truncate(n);
                    return Ok(Some((Bytes::from(chunk), (turn, file))));
                }
                (turn, file) = (turn + 1, None);
            }
        }
    })
}

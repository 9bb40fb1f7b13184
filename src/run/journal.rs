//! The bot's copy of what an agent printed, and what is learned from it.
//!
//! The file at `$TRACK_HOME/journals/<run>` and the offset in the run's row move together: after a crash the file is cut back to
//! the stored offset, read again from its beginning, and continued from there, so no byte is lost or counted twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};

use crate::agent::{Agent, Frames, Reader};
use crate::context::{Context, Watched};
use crate::db::runs::{Learned, Run};
use crate::model::{RunId, Session};

/// Bytes read at a time while an earlier part is read again.
const READ_CHUNK: usize = 256 * 1024;

/// The journal of one turn of a run.
pub struct Journal {
    file: File,
    offset: u64,
    frames: Frames,
    reader: Reader,
    progress: Option<String>,
    run: RunId,
    watched: Arc<Watched>,
}

impl Journal {
    /// Opens the journal where the run's row says that it stands.
    pub async fn open(context: &Context, run: &Run, agent: &Agent, earlier: Option<&Session>) -> Result<Self> {
        let path = path(context, run);
        let folder = path.parent().context("a journal lies in a folder")?;
        tokio::fs::create_dir_all(folder).await?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).await?;
        let offset = u64::try_from(run.journal_offset)?;
        let length = file.metadata().await?.len();
        // A file that is shorter than the row says was lost or restored from elsewhere: the runner still has everything.
        let offset = if length < offset { 0 } else { offset };
        file.set_len(offset).await?;
        let mut journal = Self {
            file,
            offset: 0,
            frames: Frames::default(),
            reader: Reader::new(agent, earlier),
            progress: None,
            run: run.id,
            watched: context.wake.watched.clone(),
        };
        let mut chunk = vec![0; READ_CHUNK];
        loop {
            let n = journal.file.read(&mut chunk).await?;
            if n == 0 {
                break;
            }
            journal.learn(&chunk[..n]);
            journal.offset += n as u64;
        }
        journal.file.seek(SeekFrom::End(0)).await?;
        Ok(journal)
    }

    /// How many bytes are on the bot's disk.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Keeps bytes that follow the present offset.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.offset += bytes.len() as u64;
        self.watched.ring(self.run);
        self.learn(bytes);
        Ok(())
    }

    /// The agent's lines so far.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What was learned so far, as it goes into the run's row.
    pub fn learned(&self) -> Learned {
        Learned { progress: self.progress.clone(), usage: self.reader.usage(), session: self.reader.session() }
    }

    fn learn(&mut self, bytes: &[u8]) {
        let (reader, progress) = (&mut self.reader, &mut self.progress);
        self.frames.push(bytes, |frame| {
            if let Some(new) = frame.output().and_then(|line| reader.feed(line)) {
                *progress = Some(new.text);
            }
        });
    }
}

/// Where the journal of a run's present turn lies; that of the first has the run's own name.
pub fn path(context: &Context, run: &Run) -> PathBuf {
    file(&context.config.home, run.id, run.turn)
}

/// Where the journal of a turn lies below `$TRACK_HOME`.
pub fn file(home: &Path, run: RunId, turn: i64) -> PathBuf {
    let name = if turn > 1 { format!("{run}.{turn}") } else { run.to_string() };
    home.join("journals").join(name)
}

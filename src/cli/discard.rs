//! `track discard`.

use std::str::FromStr;

use clap::Args;

use super::Program;
use super::api::{DiscardRequest, Discarded};
use super::client::reach;
use crate::config::Config;
use crate::model::{Number, RepoName, read_place};

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track discard octo/hello#7    the issue, or a pull request of the bot's for it

`/track discard` on the issue does the same. What comes next: `/track dispatch` there begins anew.")]
pub struct DiscardArgs {
    /// The issue or pull request
    #[arg(value_name = "OWNER/NAME#NUMBER")]
    thread: Place,
}

/// An issue or pull request with its repository.
#[derive(Clone, Debug)]
struct Place {
    repository: RepoName,
    number: Number,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match read_place(text)? {
            (Some(repository), number) => Ok(Self { repository, number }),
            (None, _) => Err("it needs the repository, as in `octo/hello#7`".to_owned()),
        }
    }
}

/// Asks and prints.
pub async fn run(args: DiscardArgs, config: &Config, program: &dyn Program) -> anyhow::Result<()> {
    let Place { repository, number } = args.thread;
    let place = number.named_in(&repository.to_string());
    let client = reach(config, program).await?;
    let done: Discarded = client.post("/api/v1/discard", &DiscardRequest { repository, number }).await?;
    println!("{place}: {}", told(done));
    Ok(())
}

fn told(done: Discarded) -> String {
    let count = |n: u64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    let forgotten = format!("the history of {} is discarded", count(done.runs, "run"));
    match done.runners {
        0 => forgotten,
        runners => format!("{forgotten}. The server removes its files from {}", count(runners, "runner")),
    }
}

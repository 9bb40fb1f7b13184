//! `track demo`.

use std::path::PathBuf;

use clap::Args;

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  track demo            play, then wait
  track demo --exit     play, then end: 0 only if the story came true

What comes next: `track doctor` says what the real thing needs.")]
pub struct DemoArgs {
    /// End after the story instead of waiting
    #[arg(long)]
    pub exit: bool,

    /// Where everything is kept [default: a new folder in the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,

    /// Port of the bot on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,

    /// Leave the folder there at the end
    #[arg(long)]
    pub keep: bool,
}

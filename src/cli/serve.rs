//! `track serve`.

use clap::Args;

/// It takes nothing: settings come from the environment and files. Its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track serve                              on 127.0.0.1:3000, behind a proxy or tunnel
  TRACK_LISTEN=0.0.0.0:8080 track serve    on all interfaces

What comes next: `track runner add`, then the label `track` on an issue.")]
pub struct ServeArgs {}

//! `track runner edit`: what is named is changed, all else stays.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::add::sandboxes;
use super::known_form;
use crate::cli::api::RunnerChange;
use crate::cli::client::Client;
use crate::config::{Network, RunnerConfig, Sandbox};

/// What is to be changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track runner edit build-1 --slots 8
  track runner edit build-1 --agent claude --read-write '~/.claude' --read-write '~/.cache'
  track runner edit build-1 --host 10.0.0.6 --host-key 'ssh-ed25519 AAAA…'

What comes next: `track runner check NAME`.")]
pub struct EditArgs {
    /// The runner
    name: String,

    /// Host name or address; needs --host-key
    #[arg(long, requires = "host_key")]
    host: Option<String>,

    /// The account under which agents work there
    #[arg(long)]
    user: Option<String>,

    /// Port of sshd; needs --host-key
    #[arg(long, requires = "host_key")]
    port: Option<u16>,

    /// The machine's host key, `ssh-ed25519 AAAA…`, compared with what is on the machine
    #[arg(long, value_name = "KEY")]
    host_key: Option<String>,

    /// The bot's folder there
    #[arg(long, value_name = "DIR")]
    root: Option<String>,

    /// Runs at once
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: Option<u32>,

    /// The runner's default agent; an empty one: that of the whole bot
    #[arg(long)]
    agent: Option<String>,

    /// Shell text that runs before agents; an empty one: none
    #[arg(long, value_name = "TEXT")]
    prelude: Option<String>,

    /// How agents are contained; with none, an agent may do whatever the account may
    #[arg(long, value_parser = sandboxes())]
    sandbox: Option<Sandbox>,

    /// What agents reach from inside the sandbox
    #[arg(long, value_parser = networks())]
    network: Option<Network>,

    /// Path that agents may read, in the place of those before; may be repeated, an empty one: none
    #[arg(long, value_name = "PATH")]
    read_only: Option<Vec<String>>,

    /// Path that agents may change, in the place of those before; may be repeated, an empty one: none
    #[arg(long, value_name = "PATH")]
    read_write: Option<Vec<String>>,
}

fn networks() -> impl TypedValueParser<Value = Network> {
    PossibleValuesParser::new(["open", "none"]).map(|word| if word == "none" { Network::None } else { Network::Open })
}

/// Changes the runner and says what comes next.
pub(super) async fn run(args: &EditArgs, client: &Client) -> anyhow::Result<()> {
    let name = &args.name;
    known_form(name)?;
    let _: RunnerConfig = client.post(&format!("/api/v1/runners/{name}/edit"), &change(args)).await?;
    println!("{name} is changed; live runs go on as they were started. Next: track runner check {name}");
    Ok(())
}

fn change(args: &EditArgs) -> RunnerChange {
    let paths = |paths: &Option<Vec<String>>| -> Option<Vec<String>> {
        Some(paths.as_ref()?.iter().filter(|path| !path.is_empty()).cloned().collect())
    };
    RunnerChange {
        host: args.host.clone(),
        user: args.user.clone(),
        port: args.port,
        host_key: args.host_key.clone(),
        proxy_jump: None,
        jump_host_keys: None,
        root: args.root.clone(),
        slots: args.slots,
        agent: args.agent.clone(),
        prelude: args.prelude.clone(),
        sandbox: args.sandbox,
        network: args.network,
        read_only: paths(&args.read_only),
        read_write: paths(&args.read_write),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: EditArgs,
    }

    #[test]
    fn what_is_not_typed_is_not_changed() {
        let typed = |words: &[&str]| {
            let line = Line::try_parse_from([&["edit", "build-1"], words].concat()).unwrap();
            serde_json::to_string(&change(&line.args)).unwrap()
        };
        assert_eq!(typed(&[]), "{}");
        assert_eq!(typed(&["--slots", "8", "--agent", ""]), r#"{"slots":8,"agent":""}"#);
        assert_eq!(typed(&["--read-only", "", "--network", "none"]), r#"{"network":"none","read_only":[]}"#);
        assert!(Line::try_parse_from(["edit", "build-1", "--host", "b"]).is_err(), "an address without its key");
    }
}

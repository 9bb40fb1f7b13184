//! The command line: what can be typed, and what is printed. What needs the rest of the program is asked of [`Program`], because this
//! module stands below the one that knows all parts.

use std::path::Path;
use std::process::ExitCode;
use std::{env, io};

use anyhow::Context;
use clap::{Parser, Subcommand};
use futures_util::future::{BoxFuture, LocalBoxFuture};

use crate::config::{self, Config, Mistakes};
use crate::logging;

pub mod api;
pub mod client;
mod demo;
mod discard;
mod doctor;
mod log;
mod login_link;
mod review;
mod runner;
mod runs;
mod serve;
mod table;
mod version;

pub use demo::DemoArgs;

const EXAMPLES: &str = "\
Where to begin:
  track demo             see the whole story on this machine, without an account
  track doctor           what is missing for the real thing, and how to get it
  track serve            run the bot
  track runner add …     give it a machine to work on

Settings come from the environment, .env and track.toml; the README lists them all.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

/// Turns labelled GitHub issues and slash-commands into runs of coding agents on your own machines.
#[derive(Debug, Parser)]
#[command(name = "track", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the bot: take webhooks, start runs, report on GitHub
    ///
    /// It runs until SIGTERM or Ctrl-C. Agents that are at work go on, and the next start finds them again.
    ///
    /// It acts as a GitHub App: GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY (or GITHUB_APP_PRIVATE_KEY_PATH) and GITHUB_WEBHOOK_SECRET
    /// in the environment or in .env. With none of them it prints a link to the page that creates one.
    /// Webhooks come to /webhooks/github.
    Serve(serve::ServeArgs),
    /// Play the whole story on this machine: issue, label, agent, pull request
    ///
    /// Needs git and bash, and no account, network or sshd: GitHub is a simulator, the runner is this machine, the agent a script.
    /// Afterwards it waits, so that you can look at the pages it links to; Ctrl-C ends it and removes its folder.
    Demo(DemoArgs),
    /// Say what is missing, and how to get it
    ///
    /// Looks at this machine, the configuration, the App and the runners, and says of each miss how to put it right.
    /// Exit code 0 if nothing is missing, else 1.
    Doctor(doctor::DoctorArgs),
    /// Add, list, check, change, drain, clean, reset and remove the machines that runs are executed on
    #[command(subcommand)]
    Runner(runner::RunnerCommand),
    /// List runs, newest first
    ///
    /// Over all repositories, or of one issue or pull request in full; or one run in full; or what its agent printed.
    Runs(runs::RunsArgs),
    /// Review a pull request by its address
    ///
    /// The bot reviews it as if somebody had said `/track review` there, and submits the review. A server must run.
    Review(review::ReviewArgs),
    /// Forget the history of an issue or pull request
    ///
    /// Its runs are listed no longer, later agents are not told of them, and their files go from the runners as soon as those answer.
    /// Branches, pull requests and comments on GitHub stay. Refused while a run is live there.
    Discard(discard::DiscardArgs),
    /// Print a link that signs you in to the admin page
    ///
    /// It works once, and for ten minutes. Whoever may use the bot's socket on this machine is an admin. A server must run.
    LoginLink(login_link::LoginLinkArgs),
    /// Print the version
    Version,
}

/// Reads the configuration anew.
pub type Reload = dyn Fn() -> Result<Config, Mistakes> + Send + Sync;

/// What the command line needs of the rest of the program.
pub trait Program: Sync {
    /// Serves until a signal ends it. Where there is no App yet it serves the pages that set one up; `reload` then reads the configuration
    /// that they stored.
    fn serve<'a>(&'a self, config: Config, reload: &'a Reload) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Plays the story; an error if it did not come true.
    fn demo(&self, args: DemoArgs) -> LocalBoxFuture<'_, anyhow::Result<()>>;

    /// Takes the lock of `config.home` and answers on its socket, as a server does, until the guard is dropped. Does no work and needs no App.
    fn instance(&self, config: Config) -> BoxFuture<'_, anyhow::Result<Box<dyn Send>>>;
}

/// Carries out a parsed command line and says how the process ends: 0 done, 1 failed, 2 wrong usage or configuration.
pub async fn run(cli: Cli, program: &dyn Program) -> ExitCode {
    match dispatch(cli.command, program).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // {:#} puts the causes behind the message, on one line.
            eprintln!("track: {error:#}");
            ExitCode::from(if error.is::<Mistakes>() { 2 } else { 1 })
        }
    }
}

/// `false` is a failure that has been told already, such as a check that found something missing.
async fn dispatch(command: Command, program: &dyn Program) -> anyhow::Result<bool> {
    let cwd = env::current_dir().context("the working directory is gone: change to one that exists")?;
    match command {
        Command::Version => version::run(),
        Command::Doctor(args) => return doctor::run(&args, load(&cwd)).await,
        Command::Demo(args) => {
            logging::init(&config::log_settings(&lookup, &cwd)?, "warn")?;
            program.demo(args).await?;
        }
        Command::Serve(serve::ServeArgs {}) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "info")?;
            let reload = move || load(&cwd);
            program.serve(config, &reload).await?;
        }
        Command::Runner(command) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "warn")?;
            return runner::run(command, &config, program).await;
        }
        Command::Runs(args) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "warn")?;
            runs::run(&args, &config, program, &mut io::stdout()).await?;
        }
        Command::Review(args) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "warn")?;
            return review::run(args, &config, (&mut io::stdout(), &mut io::stderr())).await;
        }
        Command::LoginLink(args) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "warn")?;
            login_link::run(args, &config).await?;
        }
        Command::Discard(args) => {
            let config = load(&cwd)?;
            logging::init(&config.log, "warn")?;
            discard::run(args, &config, program).await?;
        }
    }
    Ok(true)
}

fn load(cwd: &Path) -> Result<Config, Mistakes> {
    config::load(&lookup, cwd)
}

fn lookup(name: &str) -> Option<String> {
    env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_teaches() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_help(), @"
        Turns labelled GitHub issues and slash-commands into runs of coding agents on your own machines

        Usage: track <COMMAND>

        Commands:
          serve       Run the bot: take webhooks, start runs, report on GitHub
          demo        Play the whole story on this machine: issue, label, agent, pull request
          doctor      Say what is missing, and how to get it
          runner      Add, list, check, change, drain, clean, reset and remove the machines that runs are
                      executed on
          runs        List runs, newest first
          review      Review a pull request by its address
          discard     Forget the history of an issue or pull request
          login-link  Print a link that signs you in to the admin page
          version     Print the version
          help        Print this message or the help of the given subcommand(s)

        Options:
          -h, --help     Print help
          -V, --version  Print version

        Where to begin:
          track demo             see the whole story on this machine, without an account
          track doctor           what is missing for the real thing, and how to get it
          track serve            run the bot
          track runner add …     give it a machine to work on

        Settings come from the environment, .env and track.toml; the README lists them all.
        Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
        ");
    }

    #[test]
    fn what_can_be_typed() {
        for line in [
            "serve",
            "demo",
            "demo --exit --folder /tmp/x --port 0 --keep",
            "doctor",
            "runner add build-1 --host 10.0.0.5 --user agent",
            "runner add build-1 --host h --user u --port 2222 --key k --root /srv/track --slots 2 --agent claude --prelude x --read-only ~/.local --read-only ~/.x --read-write ~/.codex --yes",
            "runner add here --local --sandbox none",
            "runner list --json",
            "runner check build-1",
            "runner clean build-1",
            "runner clean --all",
            "runner reset build-1 --yes",
            "runner drain build-1",
            "runner undrain build-1",
            "runner edit build-1 --slots 8 --agent claude --read-only ~/.local --network none",
            "runner remove build-1",
            "runs --thread 7",
            "runs --thread 7 --repo octo/hello --limit 5 --json",
            "runs --thread octo/hello#7",
            "runs --log 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV --json",
            "runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV --markdown",
            "review https://github.com/octo/hello/pull/7",
            "review https://github.com/octo/hello/pull/7 --agent claude --model m --runner r --as mona --wait mind the numbers",
            "discard octo/hello#7",
            "login-link",
            "login-link --as mona",
            "version",
        ] {
            let words = ["track"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "",
            "sevre",
            "runner add",
            "runner add build-1",
            "runner add build-1 --host h",
            "runner add here --local --host h",
            "runner clean",
            "runner clean build-1 --all",
            "runner add build-1 --host h --user u --slots 0",
            "runner add build-1 --host h --user u --yes --host-key x",
            "discard",
            "discard 7",
            "discard octo/hello",
            "discard octo/hello#0",
            "runs --repo hello",
            "runs --limit 0",
            "runs --thread 0",
            "runs --log ../x",
            "runs --run ../x",
            "runs --markdown",
            "runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV --thread 7",
            "runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV --json --markdown",
            "review",
            "review --wait",
            "runs --log 01ARZ3NDEKTSV4RRFFQ69G5FAV --json",
        ] {
            let words = ["track"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
            let refused = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }
}

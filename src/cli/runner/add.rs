//! `track runner add`: what an operator says of a machine, the keys that are compared, and the first check.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Dialogue, Terminal, check};
use crate::cli::Program;
use crate::cli::api::{Added, HostKey, HostKeyQuery, PublicKey};
use crate::cli::client::{Client, reach};
use crate::config::{Config, Jump, Mistake, Mistakes, RunnerConfig, Sandbox, Transport, is_host_key};
use crate::logging::visible;
use crate::runner::alias::{self, Alias, NotTaken};

/// The machine, and how much of the dialogue is answered beforehand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track runner add build-1 --host 10.0.0.5 --user agent
  track runner add build-1 --host 10.0.0.5 --user agent --slots 2 --agent claude \\
      --prelude 'export PATH=\"$HOME/.local/bin:$PATH\"' \\
      --read-only '~/.local' --read-write '~/.claude'
  track runner add build-1 --from-ssh-config build     what `ssh build` uses: host, user, port, key, way
  track runner add here --local --sandbox none         this machine, agents not contained

What comes next: `track runner check NAME` until nothing is missing, then the label `track` on an issue.")]
pub struct AddArgs {
    /// A name for it: letters, digits, '.', '_' and '-'
    name: String,

    /// Host name or address
    #[arg(long, required_unless_present_any = ["local", "from_ssh_config"])]
    host: Option<String>,

    /// The account under which agents work there
    #[arg(long, required_unless_present_any = ["local", "from_ssh_config"])]
    user: Option<String>,

    /// Take host, user, port, key and machines on the way from this alias of your ssh configuration, where no option says otherwise
    ///
    /// The alias is read now and not again. What is configured for it and has no meaning for a runner is named.
    #[arg(long, value_name = "ALIAS")]
    from_ssh_config: Option<String>,

    /// Read the alias from this file [default: what ssh itself reads, ~/.ssh/config and the system's]
    #[arg(long, value_name = "FILE", requires = "from_ssh_config")]
    ssh_config: Option<PathBuf>,

    /// This very machine instead of one over SSH
    #[arg(long, conflicts_with_all = ["host", "user", "port", "key", "host_key", "yes", "from_ssh_config", "proxy_jump", "jump_host_key"])]
    local: bool,

    /// Port of sshd [default: 22]
    #[arg(long)]
    port: Option<u16>,

    /// Machines on the way, `[user@]host[:port]` with commas between, as ssh's ProxyJump has them; each is asked for its host key
    #[arg(long, value_name = "HOPS", value_delimiter = ',')]
    proxy_jump: Vec<String>,

    /// Private key to log in with, on the way, too [default: the bot's own, made at first use]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The bot's folder there; `~` is that account's home
    #[arg(long, value_name = "DIR", default_value = "~/track")]
    root: String,

    /// Runs at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,

    /// The runner's default agent
    #[arg(long)]
    agent: Option<String>,

    /// Shell text that runs before agents; what it exports reaches them
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prelude: String,

    /// How agents are contained; with none, an agent may do whatever the account may
    #[arg(long, default_value = "bubblewrap", value_parser = sandboxes())]
    sandbox: Sandbox,

    /// Path that agents may read (tools); may be repeated
    #[arg(long, value_name = "PATH")]
    read_only: Vec<String>,

    /// Path that agents may change (logins that refresh themselves); may be repeated
    #[arg(long, value_name = "PATH")]
    read_write: Vec<String>,

    /// Pin this host key, `ssh-ed25519 AAAA…`, instead of asking the machine for it
    #[arg(long, value_name = "KEY")]
    host_key: Option<String>,

    /// Pin this host key for the next machine of the way instead of asking it; may be repeated, in the order of the way
    #[arg(long, value_name = "KEY")]
    jump_host_key: Vec<String>,

    /// Pin whatever key each machine shows, unseen
    #[arg(long, conflicts_with = "host_key")]
    yes: bool,
}

pub(super) fn sandboxes() -> impl TypedValueParser<Value = Sandbox> {
    PossibleValuesParser::new(["bubblewrap", "none"])
        .map(|word| if word == "none" { Sandbox::None } else { Sandbox::Bubblewrap })
}

/// Adds the machine that was described; `false` if a check found something missing.
pub(super) async fn run(args: &AddArgs, config: &Config, program: &dyn Program) -> anyhow::Result<bool> {
    let cwd = std::env::current_dir().context("the working directory is gone")?;
    let mut runner = planned(args, &cwd);
    if let Some(alias) = &args.from_ssh_config {
        let found = alias::resolve(alias, args.ssh_config.as_deref()).await?;
        import(&mut runner, alias, found, &mut Terminal)?;
    }
    config.check_runner(&runner)?;
    if config.runners.iter().any(|written| written.name.eq_ignore_ascii_case(&runner.name)) {
        let setting = format!("runner {:?}", runner.name);
        let remedy = "change it there and restart the server, or choose another name";
        return Err(Mistakes::from(Mistake::new(setting, "is in track.toml already", remedy)).into());
    }
    add(runner, args.yes, &reach(config, program).await?, &mut Terminal).await
}

fn planned(args: &AddArgs, cwd: &Path) -> RunnerConfig {
    let transport = if args.local { Transport::Local } else { Transport::Ssh };
    RunnerConfig {
        host: args.host.clone(),
        user: args.user.clone(),
        port: args.port,
        key_path: args.key.as_ref().map(|path| cwd.join(path)),
        host_key: args.host_key.clone(),
        proxy_jump: args.proxy_jump.clone(),
        jump_host_keys: args.jump_host_key.clone(),
        root: args.root.clone(),
        slots: args.slots,
        agent: args.agent.clone(),
        prelude: args.prelude.clone(),
        sandbox: args.sandbox,
        read_only: args.read_only.clone(),
        read_write: args.read_write.clone(),
        ..RunnerConfig::named(&args.name, transport)
    }
}

/// Takes over what an alias of the ssh configuration says and no option does, and says what was taken and what not.
pub(super) fn import(
    runner: &mut RunnerConfig,
    name: &str,
    found: Alias,
    dialogue: &mut dyn Dialogue,
) -> anyhow::Result<()> {
    let is_elsewhere = runner.host.is_none();
    if runner.proxy_jump.is_empty() {
        runner.proxy_jump = found.jumps.iter().map(Jump::to_string).collect();
    }
    runner.host.get_or_insert(found.host);
    runner.user.get_or_insert(found.user);
    runner.port.get_or_insert(found.port);
    if runner.key_path.is_none() {
        runner.key_path = found.key;
    }
    let shown = |value: &Option<String>| visible(value.as_deref().unwrap_or_default());
    let key = runner.key_path.as_ref().map(|path| path.display().to_string());
    let way = match runner.proxy_jump.as_slice() {
        [] => String::new(),
        jumps => format!("  way   {}\n", visible(&jumps.join(", "))),
    };
    let mut said = format!(
        "With the ssh configuration of {}:\n  host  {}\n  user  {}\n  port  {}\n{way}  key   {}\n",
        visible(name),
        shown(&runner.host),
        shown(&runner.user),
        runner.port.unwrap_or(22),
        visible(key.as_deref().unwrap_or("the bot's own")),
    );
    if !found.not_taken.is_empty() {
        said += "Not taken over:\n";
    }
    for NotTaken { setting, why, .. } in &found.not_taken {
        said += &format!("  {}\n    -> {}\n", visible(setting), visible(why));
    }
    dialogue.say(&format!("{said}\n"));
    if let Some(detour) = found.not_taken.iter().find(|one| one.is_detour && is_elsewhere) {
        bail!(
            "not added: {name} is reached by a detour ({}), and the bot cannot take that; name an address that it reaches with --host, or machines on the way with --proxy-jump and --host",
            visible(&detour.setting)
        );
    }
    Ok(())
}

pub(super) async fn add(
    mut runner: RunnerConfig,
    unseen: bool,
    client: &Client,
    dialogue: &mut dyn Dialogue,
) -> anyhow::Result<bool> {
    let own_key = runner.transport == Transport::Ssh && runner.key_path.is_none();
    let mut installed = false;
    let ways = runner.proxy_jump.len();
    for at in runner.jump_host_keys.len()..=ways {
        let asked = match runner.proxy_jump.get(at) {
            Some(text) => hop(&runner, at, text)?,
            None if runner.transport == Transport::Ssh && runner.host_key.is_none() => way_to(&runner, ways),
            None => break,
        };
        if own_key && at > 0 && !installed {
            // Whoever is behind a machine cannot be asked for a key before that lets the bot in.
            installed = true;
            let (hops, user) = (runner.proxy_jump.join(", "), user_of(&runner));
            install_key(&format!("at {hops}, and of {user} on the runner"), client, dialogue).await?;
        }
        let option = if at < ways { "--jump-host-key" } else { "--host-key" };
        let key = confirmed(&asked, (option, unseen), client, dialogue).await?;
        match at < ways {
            true => runner.jump_host_keys.push(key),
            false => runner.host_key = Some(key),
        }
    }
    let added: Added = client.post("/api/v1/runners", &runner).await?;
    dialogue.say(&match added.again {
        true => {
            format!("{}, which was there, has its host key pinned anew; nothing else of it is changed.\n", runner.name)
        }
        false => format!("{} is added.\n", runner.name),
    });
    if own_key && !installed {
        install_key(&format!("of {} there", user_of(&runner)), client, dialogue).await?;
    }
    check(&runner.name, client, dialogue).await
}

/// A machine on the way, with those before it.
fn hop(runner: &RunnerConfig, at: usize, text: &str) -> anyhow::Result<RunnerConfig> {
    let jump = Jump::parse(text).with_context(|| format!("{text:?} names no machine on the way"))?;
    let user = jump.user.or_else(|| runner.user.clone());
    Ok(RunnerConfig { host: Some(jump.host), port: Some(jump.port), user, ..way_to(runner, at) })
}

/// The runner with the first machines on the way to it, as the question for a host key needs it.
fn way_to(runner: &RunnerConfig, hops: usize) -> RunnerConfig {
    let proxy_jump = runner.proxy_jump.iter().take(hops).cloned().collect();
    RunnerConfig { proxy_jump, host_key: None, ..runner.clone() }
}

fn user_of(runner: &RunnerConfig) -> &str {
    runner.user.as_deref().unwrap_or_default()
}

/// The host key that a machine shows, once somebody has compared it.
async fn confirmed(
    machine: &RunnerConfig,
    (option, unseen): (&str, bool),
    client: &Client,
    dialogue: &mut dyn Dialogue,
) -> anyhow::Result<String> {
    let host = machine.host.clone().context("an ssh runner has a host")?;
    let behind = (!machine.proxy_jump.is_empty()).then(|| machine.clone());
    let query = HostKeyQuery { host: host.clone(), port: machine.port.unwrap_or(22), behind };
    let keys: Vec<HostKey> = client.post("/api/v1/hostkey", &query).await?;
    let Some(shown) = preferred(&keys) else { bail!("{host} showed no host key that can be pinned") };
    dialogue.say(&format!(
        "{host} shows the host key\n  {}\n  {}\nCompare it with what this prints there:  ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub\n",
        visible(&shown.fingerprint),
        visible(&shown.key),
        kind_of(&shown.key)
    ));
    if !unseen {
        match dialogue.ask("Is it the same? [y/N]") {
            Some(answer) if matches!(answer.to_lowercase().as_str(), "y" | "yes") => {}
            Some(_) => bail!("not added: the host key was not confirmed"),
            None => bail!(
                "not added: nobody is here to confirm the host key; give it with {option} {:?}, or --yes to trust it unseen",
                shown.key
            ),
        }
    }
    Ok(shown.key.clone())
}

/// Asks for the bot's public key to be installed.
async fn install_key(there: &str, client: &Client, dialogue: &mut dyn Dialogue) -> anyhow::Result<()> {
    let key: PublicKey = client.get("/api/v1/key").await?;
    dialogue.say(&format!(
        "\nPut this line into ~/.ssh/authorized_keys {}, if it is not in it yet:\n\n{}\n\n",
        visible(there),
        visible(&key.public_key)
    ));
    dialogue.ask("Press Enter when it is there.");
    Ok(())
}

/// Ed25519 where the machine has it, as OpenSSH itself prefers.
fn preferred(keys: &[HostKey]) -> Option<&HostKey> {
    let usable = || keys.iter().filter(|key| is_host_key(&key.key));
    usable().find(|key| key.key.starts_with("ssh-ed25519 ")).or_else(|| usable().next())
}

/// The word for a key's type in the name of its file below /etc/ssh.
fn kind_of(key: &str) -> &'static str {
    match key.split(' ').next() {
        Some("ssh-ed25519") => "ed25519",
        Some("ssh-rsa") => "rsa",
        _ => "ecdsa",
    }
}

//! `track login-link`.

use anyhow::bail;
use clap::Args;

use super::api::{LoginLink, LoginLinkRequest};
use super::client::{Connection, connect};
use crate::config::Config;

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track login-link               as the first of TRACK_ADMINS or main_user, else the App's owner
  track login-link --as mona     as somebody else

What comes next: open the link on this machine. From another one: `ssh -L 3000:127.0.0.1:3000 THIS-MACHINE`, then open it there.")]
pub struct LoginLinkArgs {
    /// Login on GitHub of whom it signs in; what is asked for on the page is asked for in their name
    #[arg(long = "as", value_name = "LOGIN")]
    login: Option<String>,
}

/// Asks and prints the link alone on standard output.
pub async fn run(args: LoginLinkArgs, config: &Config) -> anyhow::Result<()> {
    let Connection::Socket(client) = connect(&config.home).await? else {
        bail!("no server runs on {}: start `track serve`, then ask again", config.home.display());
    };
    let link: LoginLink = client.post("/api/v1/login-link", &LoginLinkRequest { login: args.login }).await?;
    match &link.login {
        Some(login) => eprintln!("It signs {login} in, once, within ten minutes:"),
        None => eprintln!("It signs in nobody by name, once, within ten minutes; --as LOGIN names somebody:"),
    }
    println!("{}", link.url);
    Ok(())
}

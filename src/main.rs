//! Parses the command line and hands it to the parts that carry it out.

use std::process::ExitCode;

use clap::Parser;
use futures_util::future::{BoxFuture, FutureExt as _, LocalBoxFuture};
use track::app::{self, Instance};
use track::cli::{self, Cli, DemoArgs, Program, Reload};
use track::config::Config;
use track::demo;

struct Parts;

impl Program for Parts {
    fn serve<'a>(&'a self, config: Config, reload: &'a Reload) -> BoxFuture<'a, anyhow::Result<()>> {
        app::serve(config, reload).boxed()
    }

    fn demo(&self, args: DemoArgs) -> LocalBoxFuture<'_, anyhow::Result<()>> {
        demo::play(args).boxed_local()
    }

    fn instance(&self, config: Config) -> BoxFuture<'_, anyhow::Result<Box<dyn Send>>> {
        async { Ok(Box::new(Instance::open(config).await?) as Box<dyn Send>) }.boxed()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(Cli::parse(), &Parts).await
}

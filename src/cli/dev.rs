//! `auth-api dev`: everything on this machine.

use super::{ConfigFlag, shutdown};
use crate::config::Sources;
use crate::dev::{RunOptions, callback_url, run};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// The service's port; the CMS, the pool and the ops listener take the next three. 0: any that are free
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// A configuration of yours: what it says about another place is replaced, the rest is tried here
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// A PostgreSQL database for people and comments: the demo CMS then shows who wrote what
    #[arg(long, value_name = "URL")]
    directory: Option<String>,
    /// Another program of yours signs in at the dev pool and comes back here; once for each URL
    #[arg(long, value_name = "URL", value_parser = callback_url)]
    callback: Vec<String>,
    /// Where that program may send people after a sign-out; once for each URL
    #[arg(long, value_name = "URL", value_parser = callback_url, requires = "callback")]
    signout: Vec<String>,
}

pub(super) async fn dev(asked: Dev) -> anyhow::Result<ExitCode> {
    let Dev { port, config, directory, callback, signout } = asked;
    // A file that happens to be in this folder was written for another place.
    let own = config.is_some() || Sources::has_text_variable();
    let sources = own.then(|| ConfigFlag { config }.sources()).transpose()?;
    run(RunOptions { port, sources, directory, callbacks: callback, signouts: signout }, shutdown()).await?;
    Ok(ExitCode::SUCCESS)
}

//! `auth-api sessions`: a user's sessions in the configured store.

use super::{ConfigFlag, EXIT_PROBLEMS, foreign, print, table};
use crate::app;
use crate::config::Config;
use crate::domain::clock::Timestamp;
use chrono::{DateTime, SecondsFormat};
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// Lists them
    List {
        /// The user, by the provider's `sub`
        #[arg(long, allow_hyphen_values = true)]
        sub: String,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Ends them, here and at the provider
    End {
        /// The user, by the provider's `sub`
        #[arg(long, allow_hyphen_values = true, required_unless_present = "all")]
        sub: Option<String>,
        /// This session only, as `list` calls it
        #[arg(long, allow_hyphen_values = true, requires = "sub")]
        handle: Option<String>,
        /// Those of everybody, here only
        #[arg(long, conflicts_with = "sub")]
        all: bool,
        #[command(flatten)]
        config: ConfigFlag,
    },
}

pub(super) async fn sessions(command: SessionsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SessionsCommand::List { sub, config } => list(&config.read()?, &sub).await,
        SessionsCommand::End { sub: Some(sub), handle, config, .. } => {
            end(&config.read()?, &sub, handle.as_deref()).await
        }
        SessionsCommand::End { sub: None, config, .. } => end_all(&config.read()?).await,
    }
}

async fn list(config: &Config, sub: &str) -> anyhow::Result<ExitCode> {
    let sessions = app::sessions_of(config, sub).await?;
    if sessions.is_empty() {
        return print(&format!("{} has no sessions\n", foreign(sub)));
    }
    let mut rows = vec![["HANDLE", "STARTED", "LAST SEEN", "ADDRESS", "PROVIDER", "DEVICE"].map(str::to_owned)];
    rows.extend(sessions.into_iter().map(|session| {
        let known = |text: &str| if text.is_empty() { "-".to_owned() } else { foreign(text) };
        let (address, agent) = (known(&session.device.address), known(&session.device.agent));
        let provider = known(session.provider.as_deref().unwrap_or_default());
        [session.handle, time(session.started), time(session.last_seen), address, provider, agent]
    }));
    print(&table(rows))
}

async fn end(config: &Config, sub: &str, handle: Option<&str>) -> anyhow::Result<ExitCode> {
    let ended = app::end_sessions_of(config, sub, handle).await?;
    match (ended.sessions, handle) {
        (0, None) => print(&format!("{} has no sessions\n", foreign(sub)))?,
        (0, Some(handle)) => print(&format!("{} has no session {}\n", foreign(sub), foreign(handle)))?,
        (1, _) => print("1 session ended\n")?,
        (count, _) => print(&format!("{count} sessions ended\n"))?,
    };
    if ended.not_revoked == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!(
        "{} of their refresh tokens could not be revoked at the provider; nobody holds them any more\n",
        ended.not_revoked
    );
    std::io::stderr().write_all(text.as_bytes())?;
    Ok(ExitCode::from(EXIT_PROBLEMS))
}

async fn end_all(config: &Config) -> anyhow::Result<ExitCode> {
    let until = time(app::end_all_sessions(config).await?);
    print(&format!(
        "all sessions that were started until {until} are ended, and everybody authenticates again; their refresh tokens \
         are not revoked at the provider, and nobody holds them any more\n"
    ))
}

fn time(at: Timestamp) -> String {
    let time = i64::try_from(at.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

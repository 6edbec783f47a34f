//! `auth-api sessions`: a user's sessions in the configured store.

use super::{ConfigFlag, EXIT_PROBLEMS, foreign, print, table};
use crate::app;
use crate::config::Config;
use crate::domain::clock::Timestamp;
use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// Lists them
    List {
        #[command(flatten)]
        user: SessionOwner,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Ends them, here and at the provider
    End {
        /// The user, by the provider's `sub`
        #[arg(long, allow_hyphen_values = true, required_unless_present_any = ["email", "all"])]
        sub: Option<String>,
        /// The users with this verified e-mail address; goes through all sessions
        #[arg(long, conflicts_with = "sub")]
        email: Option<String>,
        /// This session only, as `list` calls it
        #[arg(long, allow_hyphen_values = true, requires = "sub")]
        handle: Option<String>,
        /// Those of everybody, here only
        #[arg(long, conflicts_with_all = ["sub", "email"])]
        all: bool,
        #[command(flatten)]
        config: ConfigFlag,
    },
}

/// Whose sessions.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct SessionOwner {
    /// The user, by the provider's `sub`
    #[arg(long, allow_hyphen_values = true)]
    sub: Option<String>,
    /// The users with this verified e-mail address; goes through all sessions
    #[arg(long)]
    email: Option<String>,
}

impl SessionOwner {
    /// As it was given.
    fn name(&self) -> String {
        foreign(self.sub.as_ref().or(self.email.as_ref()).map(String::as_str).unwrap_or_default())
    }
}

pub(super) async fn sessions(command: SessionsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SessionsCommand::List { user, config } => list(&config.read()?, &user).await,
        SessionsCommand::End { all: true, config, .. } => end_all(&config.read()?).await,
        SessionsCommand::End { sub, email, handle, config, .. } => {
            end(&config.read()?, &SessionOwner { sub, email }, handle.as_deref()).await
        }
    }
}

async fn list(config: &Config, user: &SessionOwner) -> anyhow::Result<ExitCode> {
    let sessions = match user {
        SessionOwner { sub: Some(sub), .. } => app::sessions_of(config, sub).await?,
        SessionOwner { email, .. } => app::sessions_with_email(config, email.as_deref().unwrap_or_default()).await?,
    };
    if sessions.is_empty() {
        return print(&format!("{} has no sessions\n", user.name()));
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

async fn end(config: &Config, user: &SessionOwner, handle: Option<&str>) -> anyhow::Result<ExitCode> {
    let ended = match user {
        SessionOwner { sub: Some(sub), .. } => app::end_sessions_of(config, sub, handle).await?,
        SessionOwner { email, .. } => {
            app::end_sessions_with_email(config, email.as_deref().unwrap_or_default()).await?
        }
    };
    match (ended.sessions, handle) {
        (0, None) => print(&format!("{} has no sessions\n", user.name()))?,
        (0, Some(handle)) => print(&format!("{} has no session {}\n", user.name(), foreign(handle)))?,
        (1, _) => print("1 session ended\n")?,
        (count, _) => print(&format!("{count} sessions ended\n"))?,
    };
    report_not_revoked(ended.not_revoked)
}

/// Says what the provider may still accept.
pub(super) fn report_not_revoked(not_revoked: usize) -> anyhow::Result<ExitCode> {
    if not_revoked == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!(
        "{not_revoked} of their refresh tokens could not be revoked at the provider; nobody holds them any more\n"
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

pub(super) fn time(at: Timestamp) -> String {
    let time = i64::try_from(at.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or_else(|| at.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

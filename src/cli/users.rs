//! `auth-api users`: what the directory knows of people.

use super::sessions::{report_not_revoked, time};
use super::{ConfigFlag, EXIT_PROBLEMS, foreign, print};
use crate::app;
use crate::config::Config;
use crate::directory::SyncCounts;
use crate::domain::person::{DirectoryEntry, PersonKey};
use clap::{Args, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// Prints what is known of a person
    Show {
        #[command(flatten)]
        who: UserFlags,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Prints all that is kept of a person, sessions included, as JSON
    Export {
        #[command(flatten)]
        who: UserFlags,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Writes down everybody whom the Cognito user pool lists, and erases who is not there any more
    Sync {
        /// Write nothing, and say what would be written
        #[arg(long)]
        dry_run: bool,
        /// Begin again, though an earlier one was interrupted
        #[arg(long)]
        restart: bool,
        /// Calls of the user pools API a second, of which an account has 30
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rate: u32,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Ends a person's sessions and forgets what is known; the user pool keeps its own
    Erase {
        /// The user, by the provider's `sub`
        #[arg(long, allow_hyphen_values = true)]
        sub: String,
        #[command(flatten)]
        config: ConfigFlag,
    },
}

/// Which person.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct UserFlags {
    /// The user, by the provider's `sub`
    #[arg(long, allow_hyphen_values = true)]
    sub: Option<String>,
    /// The user with this verified e-mail address
    #[arg(long)]
    email: Option<String>,
}

impl UserFlags {
    fn key(self) -> PersonKey {
        match self.sub {
            Some(sub) => PersonKey::Sub(sub),
            None => PersonKey::Email(self.email.unwrap_or_default()),
        }
    }
}

pub(super) async fn users(command: UsersCommand) -> anyhow::Result<ExitCode> {
    match command {
        UsersCommand::Show { who, config } => {
            let key = who.key();
            match app::show_user(&config.read()?, key.clone()).await? {
                Some(entry) => print(&shown(&entry)),
                None => nobody(&key),
            }
        }
        UsersCommand::Export { who, config } => {
            let key = who.key();
            match app::export_user(&config.read()?, key.clone()).await? {
                Some(export) => print(&format!("{:#}\n", serde_json::to_value(&export)?)),
                None => nobody(&key),
            }
        }
        UsersCommand::Sync { dry_run, restart, rate, config } => sync(&config.read()?, dry_run, restart, rate).await,
        UsersCommand::Erase { sub, config } => {
            let erased = app::erase_user(&config.read()?, &sub).await?;
            let row = if erased.was_known { "erased" } else { "not in the directory" };
            print(&format!("{} {row}; {} sessions ended\n", foreign(&sub), erased.ended.sessions))?;
            report_not_revoked(erased.ended.not_revoked)
        }
    }
}

async fn sync(config: &Config, dry_run: bool, restart: bool, rate: u32) -> anyhow::Result<ExitCode> {
    let mut bar = ProgressBar::new();
    let done = app::sync_users(config, dry_run, restart, rate, |counts| bar.show(counts)).await;
    bar.end();
    let SyncCounts { listed, new, changed, same, erased, skipped, .. } = done?;
    let would = if dry_run { "nothing was written; it would be: " } else { "" };
    print(&format!("{would}{new} new, {changed} changed, {same} the same, {erased} erased; {listed} listed\n"))?;
    if skipped == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(std::io::stderr(), "{skipped} cannot be written down: the log says why")?;
    Ok(ExitCode::from(EXIT_PROBLEMS))
}

/// How far it is, on a line of a terminal, or now and then in a log.
struct ProgressBar {
    is_terminal: bool,
    began: Instant,
    shown: Option<Instant>,
}

/// Characters of the bar.
const BAR: usize = 30;

impl ProgressBar {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), began: Instant::now(), shown: None }
    }

    fn show(&mut self, counts: &SyncCounts) {
        let pause = Duration::from_millis(if self.is_terminal { 200 } else { 10_000 });
        if self.shown.unwrap_or(self.began).elapsed() < pause {
            return;
        }
        self.shown = Some(Instant::now());
        let (from, to) = if self.is_terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let line = format!("{from}{}{to}", progress(counts, self.began.elapsed()));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn end(&self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// `[=====     ] 12,340 of about 100,000 users, 900 a second`.
fn progress(counts: &SyncCounts, elapsed: Duration) -> String {
    let a_second = counts.listed as f64 / elapsed.as_secs_f64().max(0.001);
    match counts.estimated.filter(|estimated| *estimated > 0) {
        Some(estimated) => {
            let done = usize::try_from(counts.listed.min(estimated) * BAR as u64 / estimated).unwrap_or(BAR);
            format!("[{:BAR$}] {} of about {estimated} users, {a_second:.0} a second", "=".repeat(done), counts.listed)
        }
        None => format!("{} users, {a_second:.0} a second", counts.listed),
    }
}

/// An answer, and no failure of the command.
fn nobody(key: &PersonKey) -> anyhow::Result<ExitCode> {
    let (PersonKey::Sub(who) | PersonKey::Email(who)) = key;
    writeln!(std::io::stderr(), "{} is not in the directory", foreign(who))?;
    Ok(ExitCode::from(EXIT_PROBLEMS))
}

/// A line for each thing that is known.
fn shown(entry: &DirectoryEntry) -> String {
    let person = &entry.person;
    let verified = if person.email_verified == Some(true) { "" } else { " (not verified)" };
    let email = person.email.as_ref().map(|email| format!("{email}{verified}"));
    let groups = person.groups.as_ref().map(|groups| groups.join(", "));
    let mut lines = vec![
        ("sub", Some(person.sub.clone())),
        ("username", Some(person.username.clone())),
        ("email", email),
        ("name", person.name.clone()),
        ("groups", groups.filter(|groups| !groups.is_empty())),
        ("provider", person.provider.clone()),
        ("created", Some(time(entry.created))),
        ("updated", Some(time(entry.updated))),
        ("last seen", entry.last_seen.map(time)),
    ];
    lines.extend(person.attributes.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))));
    let line = |(name, value): (&str, Option<String>)| {
        format!("{:20}  {}\n", foreign(name), foreign(value.as_deref().unwrap_or("-")))
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_bar_where_the_pool_says_how_many_there_are() {
        let counts = |listed, estimated| SyncCounts { listed, estimated, ..SyncCounts::default() };
        let second = Duration::from_secs(1);
        assert_eq!(
            progress(&counts(500, Some(1_000)), second),
            "[===============               ] 500 of about 1000 users, 500 a second"
        );
        // More than was estimated.
        assert!(progress(&counts(1_200, Some(1_000)), second).starts_with(&format!("[{}]", "=".repeat(BAR))));
        assert_eq!(progress(&counts(60, None), second / 2), "60 users, 120 a second");
    }
}

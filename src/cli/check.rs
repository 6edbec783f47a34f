//! `auth-api check`: the configuration, the provider and the store, and the questions that only a sign-in answers.

use super::{ConfigFlag, EXIT_CANNOT_RUN, EXIT_PROBLEMS, print};
use crate::acceptance::{self, AcceptanceOptions, AcceptanceReport, LoopbackUrls};
use crate::app;
use crate::config::Config;
use crate::domain::finding::Finding;
use anyhow::{Context, anyhow, bail};
use secrecy::SecretString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Holds the password of `--user`.
const PASSWORD: &str = "AUTH_API_CHECK_PASSWORD";

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFlag,
    /// Ask the provider and the store too
    #[arg(long)]
    online: bool,
    /// Sign a test user in at the Cognito user pool, and print what it answers to each question that Cognito's manual
    /// leaves open. Take a user who is nobody's: tokens are revoked
    #[arg(long, conflicts_with_all = ["online", "show"])]
    sign_in: bool,
    #[command(flatten)]
    acceptance: AcceptanceFlags,
    /// Print a report that --save has written. Reads no configuration and asks nobody
    #[arg(long, value_name = "FILE", conflicts_with_all = ["online", "save"])]
    show: Option<PathBuf>,
    /// With --sign-in or --show: print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AcceptanceFlags {
    /// With --sign-in: where browsers come back to, on this machine. The app client has to allow it as a callback URL, and
    /// /signed-out beside it as a sign-out URL
    #[arg(long, value_name = "URL", default_value = "http://localhost:8085/callback", requires = "sign_in")]
    callback: String,
    /// With --sign-in: sign this user in without a browser, where the sign-in page is a plain form (the classic hosted UI).
    /// The password comes from AUTH_API_CHECK_PASSWORD, or from standard input
    #[arg(long, value_name = "NAME", requires = "sign_in")]
    user: Option<String>,
    /// With --sign-in: how many minutes to wait for a person at each page
    #[arg(long, value_name = "MINUTES", default_value_t = 10, requires = "sign_in")]
    wait: u64,
    /// With --sign-in: leave out the questions for which a person has to type the password again
    #[arg(long, requires = "sign_in")]
    type_once: bool,
    /// With --sign-in: write the report to a new file as JSON, too. It holds no secret, and nothing about the user
    #[arg(long, value_name = "FILE", requires = "sign_in")]
    save: Option<PathBuf>,
}

pub(super) async fn check(args: Check) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.show {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let report = AcceptanceReport::parse(&text).map_err(|why| anyhow!("{}: {why}", file.display()))?;
        return print_report(&report, args.json);
    }
    if args.json && !args.sign_in {
        bail!("--json is for --sign-in and --show");
    }
    let config = args.config.read()?;
    if let Some(caution) = config.provider.caution() {
        std::io::stderr().write_all(format!("caution: {caution:#}\n\n").as_bytes())?;
    }
    if args.sign_in {
        return sign_in(&config, args.acceptance, args.json).await;
    }
    print("the configuration is good\n")?;
    if args.online { online(&config).await } else { Ok(ExitCode::SUCCESS) }
}

async fn online(config: &Config) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for finding in app::probe(config).await? {
        match finding {
            Finding::Good(_) | Finding::NotKnown(_) => drop(print(&format!("{finding}\n"))?),
            Finding::Bad(_) => {
                std::io::stderr().write_all(format!("{finding}\n").as_bytes())?;
                code = ExitCode::from(EXIT_PROBLEMS);
            }
        }
    }
    Ok(code)
}

async fn sign_in(config: &Config, flags: AcceptanceFlags, json: bool) -> anyhow::Result<ExitCode> {
    let options = AcceptanceOptions {
        urls: LoopbackUrls::new(&flags.callback).map_err(|why| anyhow!(why))?,
        user: flags.user.map(|name| password().map(|password| (name, password))).transpose()?,
        patience: Duration::from_secs(60 * flags.wait),
        type_once: flags.type_once,
        typing: Duration::from_secs(2),
        grace: Duration::from_secs(61),
    };
    // Before the run: nobody wants to sign in again because a file could not be written.
    let file = flags.save.as_deref().map(new_file).transpose()?;
    // Standard output is for the report.
    let say = |line: &str| drop(writeln!(std::io::stderr(), "{line}"));
    let report = match acceptance::run(config, &options, &say).await {
        Ok(report) => report,
        Err(why) => {
            // An empty file would be in the way of the next run.
            let _ = flags.save.as_ref().map(std::fs::remove_file);
            bail!(why);
        }
    };
    if let Some(mut file) = file {
        file.write_all(report.json().as_bytes()).context("--save")?;
    }
    print_report(&report, json)
}

fn print_report(report: &AcceptanceReport, json: bool) -> anyhow::Result<ExitCode> {
    print(&if json { report.json() } else { report.to_string() })?;
    Ok(match (report.breaks(), report.signed_in()) {
        (true, _) => ExitCode::from(EXIT_PROBLEMS),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(EXIT_CANNOT_RUN),
    })
}

/// A file that was not there, for this user alone.
fn new_file(path: &Path) -> anyhow::Result<std::fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| format!("--save {}", path.display()))
}

fn password() -> anyhow::Result<SecretString> {
    #[expect(clippy::disallowed_methods, reason = "the password of one run is no configuration")]
    let variable = std::env::var(PASSWORD).ok();
    let text = match variable {
        Some(text) => text,
        None => {
            writeln!(std::io::stderr(), "{PASSWORD} is not set: the password is read from standard input")?;
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("standard input")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if text.is_empty() {
        bail!("--user needs a password, in {PASSWORD} or from standard input");
    }
    Ok(text.into())
}

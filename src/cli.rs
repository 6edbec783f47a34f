//! The command line. Exit codes: 0 good, 1 problems found, 2 cannot run.

mod check;
mod client;
#[cfg(feature = "dev")]
mod dev;
mod explain;
mod from_stack;
mod sessions;
mod users;

use crate::app::{self, VERSION};
use crate::audit;
use crate::config::{self, Config, ConfigWatch, LogFormat, Problems, Sources, TelemetryConfig};
use crate::domain::untrusted::UntrustedText;
use crate::provider::{self, HttpClient};
use crate::telemetry;
use crate::telemetry::traces::Traces;
use crate::words::{self, Words};
use anyhow::{anyhow, bail};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Sign-in for sibling sites with AWS Cognito's hosted UI.
#[derive(Debug, Parser)]
#[command(name = "auth-api", version = VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on this machine: dev user pool with hosted UI, the service, a demo CMS
    #[cfg(feature = "dev")]
    Dev(dev::Dev),
    /// The service
    Serve(ConfigFlag),
    /// Every mistake in the configuration at once; what provider and store say to it; what a sign-in shows
    Check(check::Check),
    /// A user's sessions in the configured store
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// What the directory knows of people
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Programs that fetch tokens at POST /token
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// The rules for pages and people
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Help for who writes a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The commented reference configuration
    ConfigReference,
    /// The sentences of the pages, as a file for pages.words
    Words {
        /// The language: en, de, fr, es, ja, ar [default: all]
        language: Option<String>,
    },
    /// The JSON Schema of an audit record
    AuditSchema,
    /// The OpenAPI 3.1 document
    Openapi(ConfigFlag),
    /// Completions of this command line for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// The manual page of the program, or of one of its commands, in roff
    Man {
        /// The command: `sessions end`
        command: Vec<String>,
    },
    /// For a container: asks /livez of the running service
    Healthcheck {
        #[command(flatten)]
        config: ConfigFlag,
        /// Ask /readyz instead: whether requests should be sent to it
        #[arg(long)]
        ready: bool,
    },
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Which rule decides about a page, and why
    Explain(explain::Explain),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the configuration for a user pool that CloudFormation has made
    FromStack(from_stack::FromStack),
    /// Prints the JSON Schema of the configuration file, for editors
    Schema,
}

#[derive(Debug, clap::Args)]
struct ConfigFlag {
    /// The configuration file [default: ./auth-api.toml if present, else the environment only]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXIT_PROBLEMS: u8 = 1;
const EXIT_CANNOT_RUN: u8 = 2;

/// Runs the command that this process was started with.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_CANNOT_RUN } else { 0 });
        }
    };
    // Every TLS connection of this process, whichever crate makes it, uses aws-lc.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match app::runtime().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot_run(&error.into()),
    };
    let ended = runtime.block_on(execute(arguments.command));
    telemetry::flush();
    match ended {
        Ok(code) => code,
        Err(error) => cannot_run(&error),
    }
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "dev")]
        Command::Dev(asked) => dev::dev(asked).await,
        Command::Serve(flag) => serve(flag.watch()?).await.map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::check(args).await,
        Command::Sessions(command) => {
            record_commands()?;
            sessions::sessions(command).await
        }
        Command::Users(command) => {
            record_commands()?;
            users::users(command).await
        }
        Command::Client(command) => {
            record_commands()?;
            client::client(command).await
        }
        Command::Policy(PolicyCommand::Explain(asked)) => explain::explain(asked).await,
        Command::Config(ConfigCommand::FromStack(asked)) => from_stack::from_stack(&asked),
        Command::Config(ConfigCommand::Schema) => print(&format!("{:#}\n", config::schema())),
        Command::ConfigReference => print(&config::reference()),
        Command::Words { language } => print(&sentences(language.as_deref())?),
        Command::AuditSchema => print(&format!("{:#}\n", audit::schema())),
        Command::Openapi(flag) => {
            // The document differs only in our address; without a configuration it is the reference's.
            let url = match flag.read() {
                Ok(config) => config.server.public_url.as_str().to_owned(),
                Err(_) => "https://auth-api.example.com".to_owned(),
            };
            print(&format!("{:#}\n", crate::web::openapi(&url)))
        }
        Command::Completions { shell } => print(&completions(shell)?),
        Command::Man { command } => print(&manual(&command)?),
        Command::Healthcheck { config, ready } => healthcheck(&config.read()?, ready).await,
    }
}

/// Every sentence with what it is for, in TOML.
fn sentences(tag: Option<&str>) -> anyhow::Result<String> {
    let languages = match tag {
        Some(tag) => match words::language(tag) {
            Some(words) => vec![words],
            None => bail!("there are no pages in the language {tag:?}"),
        },
        None => words::LANGUAGES.to_vec(),
    };
    let table = |words: &Words| {
        let line = |(key, doc): &(&str, &str)| {
            let text = toml::Value::from(words.text(key).map(ToString::to_string).unwrap_or_default());
            format!("#{doc}\n{key} = {text}\n")
        };
        format!("[{}]\n{}", words.language, Words::KEYS.iter().map(line).collect::<String>())
    };
    Ok(languages.into_iter().map(table).collect::<Vec<_>>().join("\n"))
}

impl ConfigFlag {
    fn sources(&self) -> anyhow::Result<Sources> {
        if self.config.is_some() && Sources::has_text_variable() {
            bail!("AUTH_API_CONFIG holds a configuration, and --config names another: give one of them");
        }
        Ok(Sources::from_process(self.config.as_deref()).map_err(Problems::in_configuration)?)
    }

    fn read(&self) -> anyhow::Result<Config> {
        Ok(config::load(self.announced()?).map_err(Problems::in_configuration)?)
    }

    fn watch(&self) -> anyhow::Result<ConfigWatch> {
        Ok(ConfigWatch::new(self.announced()?, true).map_err(Problems::in_configuration)?)
    }

    fn announced(&self) -> anyhow::Result<Sources> {
        let sources = self.sources()?;
        if sources.file.is_none() {
            // Most likely the wrong folder; said before the list of what is missing.
            let _ = writeln!(std::io::stderr(), "no ./auth-api.toml here: only the environment is read");
        }
        Ok(sources)
    }
}

async fn serve(watch: ConfigWatch) -> anyhow::Result<()> {
    let config = watch.config();
    let TelemetryConfig { log, format, otlp_endpoint, trace_ratio, .. } = &config.telemetry;
    let traces = otlp_endpoint.as_ref().map(|endpoint| Traces::start(endpoint.as_str(), *trace_ratio)).transpose();
    let (traces, trace_export) = traces.map_err(|e| anyhow!(e))?.unzip();
    telemetry::start(log, *format == LogFormat::Json, traces.as_ref()).map_err(|e| anyhow!(e))?;
    if let Some(caution) = config.provider.caution() {
        tracing::warn!("{caution}");
    }
    let public = app::bind_public(&config.server.listen).await?;
    let ops = config.server.ops_listen.map(|addr| app::bind(addr, "server.ops_listen")).transpose()?;
    let app = app::build_patiently(config).await?;
    app.load_clients().await;
    // Caught before anybody is told that it is up.
    let (shutdown, reload) = (shutdown(), hangups());
    tracing::info!(
        public_url = %config.server.public_url, listen = %public.address()?,
        version = VERSION, "auth-api is up"
    );
    let served = app.reloading(watch, reload).shedding_load().serve(public, ops, shutdown).await;
    if let Some(trace_export) = trace_export {
        trace_export.flush().await;
    }
    served?;
    tracing::info!("auth-api has stopped");
    Ok(())
}

/// A command has no log; where audit records go to the log, its own goes to standard error.
fn record_commands() -> anyhow::Result<()> {
    telemetry::start_direct("off", false).map_err(|e| anyhow!(e))
}

fn completions(shell: Shell) -> anyhow::Result<String> {
    let (mut command, mut script) = (Arguments::command(), Vec::new());
    clap_complete::generate(shell, &mut command, "auth-api", &mut script);
    Ok(String::from_utf8(script)?)
}

/// The page of the program, or of the command that `names` lead to.
fn manual(names: &[String]) -> anyhow::Result<String> {
    let mut command = Arguments::command();
    command.build();
    let mut command = &command;
    for name in names {
        command = command.find_subcommand(name).ok_or_else(|| anyhow!("there is no command {}", foreign(name)))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

async fn healthcheck(config: &Config, ready: bool) -> anyhow::Result<ExitCode> {
    let addr = config.server.ops_listen.ok_or_else(|| anyhow!("server.ops_listen is switched off: nothing to ask"))?;
    let (probe, good) = if ready { ("readyz", "ready\n") } else { ("livez", "live\n") };
    let url = url::Url::parse(&format!("http://{addr}/{probe}"))?;
    let http = HttpClient::new(Duration::from_secs(5), Arc::default())?;
    let why = match http.get(probe, &url).await {
        Ok(_) => return print(good),
        Err(provider::Error::Unavailable { detail, .. }) => detail,
        Err(error) => error.to_string(),
    };
    std::io::stderr().write_all(format!("{url}: {why}\n").as_bytes())?;
    Ok(ExitCode::from(EXIT_PROBLEMS))
}

/// Rows of cells as aligned columns; the last one is as wide as it likes.
fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let (last, cells) = row.split_last().expect("a table has columns");
        for (cell, width) in cells.iter().zip(widths) {
            text += &format!("{cell:width$}  ");
        }
        text += last;
        text.push('\n');
    }
    text
}

/// Text of strangers, without what could move a terminal's cursor.
fn foreign(text: &str) -> String {
    UntrustedText::up_to(256, text).to_string()
}

/// Resolves at SIGTERM or Ctrl-C; both are caught from this call on, not only once it is awaited.
fn shutdown() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let caught = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        async move {
            let mut caught: Vec<_> = caught.into_iter().flatten().collect();
            if caught.is_empty() {
                // Then the system ends it without being asked.
                return std::future::pending().await;
            }
            let next = caught.iter_mut().map(|signals| Box::pin(signals.recv()));
            futures_util::future::select_all(next).await;
        }
    }
    #[cfg(not(unix))]
    async {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Told at each SIGHUP. It is caught from this call on.
fn hangups() -> Arc<Notify> {
    let requests = Arc::<Notify>::default();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut signals) = signal(SignalKind::hangup()) {
            let requests = requests.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    requests.notify_one();
                }
            });
        }
    }
    requests
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `auth-api config-reference | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn cannot_run(error: &anyhow::Error) -> ExitCode {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        let _ = write!(std::io::stderr(), "{problems}");
        return ExitCode::from(EXIT_PROBLEMS);
    }
    let _ = writeln!(std::io::stderr(), "auth-api cannot run: {error:#}");
    ExitCode::from(EXIT_CANNOT_RUN)
}

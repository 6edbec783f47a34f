//! What the operator sees: the log and the metrics.

pub mod metrics;

pub use metrics::Metrics;

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the log on standard error. `filter` is a level or a `tracing` filter such as
/// `info,auth_api=debug`; `json` writes one object a line.
///
/// # Errors
/// A sentence if the filter cannot be read or a log was started before.
pub fn start(filter: &str, json: bool) -> Result<(), String> {
    // Client libraries may log request heads, tower-sessions ids. A directive of the operator's for one of
    // their modules still wins.
    let quiet = ["hyper", "h2", "reqwest", "rustls", "tower_sessions_core=off", "tower_sessions=off"];
    let mut env = EnvFilter::try_new(filter).map_err(|e| format!("telemetry.log cannot be read: {e}"))?;
    for target in quiet {
        let directive = if target.contains('=') { target.to_owned() } else { format!("{target}=warn") };
        if let Ok(directive) = directive.parse() {
            env = env.add_directive(directive);
        }
    }
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(env).with_ansi(colours).with_writer(std::io::stderr);
    if json { log.json().flatten_event(true).try_init() } else { log.try_init() }.map_err(|e| e.to_string())
}

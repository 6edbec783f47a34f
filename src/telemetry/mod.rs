//! What the operator sees: the log, the metrics and the traces.

mod fields;
pub mod metrics;
mod spans;
pub mod traces;
mod writer;

pub use metrics::Metrics;
pub use spans::in_current_spans;
pub use writer::{flush, write_line};

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use traces::{TARGET, Traces};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use writer::{DirectWriter, LineWriter};

/// The target of audit records.
pub const AUDIT_TARGET: &str = "auth_api::audit";

/// What decides which lines are logged.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// The levels that are logged, and whether spans are made for a collector.
#[derive(Debug)]
struct Filter {
    handle: reload::Handle<Targets, Registry>,
    traces: bool,
}

/// Starts the log on standard error. `filter` is a level, or levels by target such as
/// `info,auth_api=debug`; `json` writes one object a line. Nobody waits for who reads it: what it cannot take is
/// dropped and counted. Before the process ends, [`flush`] it. Spans go to `traces`.
///
/// # Errors
/// A sentence if the filter cannot be read or a log was started before.
pub fn start(filter: &str, json: bool, traces: Option<&Traces>) -> Result<(), String> {
    writer::start().map_err(|e| format!("the log cannot be written: {e}"))?;
    subscribe(filter, json, || LineWriter, traces)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The same, written at once: for a function that is frozen between its calls.
///
/// # Errors
/// As of [`start`].
pub fn start_direct(filter: &str, json: bool) -> Result<(), String> {
    subscribe(filter, json, || DirectWriter, None)
}

fn subscribe<W>(filter: &str, json: bool, output: W, traces: Option<&Traces>) -> Result<(), String>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let targets = targets(filter, traces.is_some())?;
    let colours = std::io::stderr().is_terminal();
    // A message of its own about a line that it cannot write would be written where that failed.
    let log = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(output).log_internal_errors(false);
    let logged = filter_fn(|metadata| !traces::is_traced(metadata));
    let (targets, handle) = reload::Layer::new(targets);
    let registry = tracing_subscriber::registry().with(targets).with(traces.map(Traces::layer));
    let started = match json {
        true => registry.with(log.json().flatten_event(true).with_span_list(false).with_filter(logged)).try_init(),
        false => registry.with(log.fmt_fields(fields::quoted()).with_filter(logged)).try_init(),
    };
    started.map_err(|e| e.to_string())?;
    let _ = FILTER.set(Filter { handle, traces: traces.is_some() });
    Ok(())
}

/// Logs by another filter from now on, one that the configuration has judged. Does nothing where no log was started.
pub fn set_filter(filter: &str) {
    let Some(current) = FILTER.get() else { return };
    if let Ok(targets) = targets(filter, current.traces) {
        // It fails once the log is gone, when nobody reads it.
        let _ = current.handle.reload(targets);
    }
}

fn targets(filter: &str, traces: bool) -> Result<Targets, String> {
    let named: Targets = filter.replace(' ', "").parse().map_err(|e| format!("telemetry.log cannot be read: {e}"))?;
    // Client libraries may log request heads, tower-sessions ids. A directive of the operator's for one of
    // their modules still wins.
    let quiet = ["hyper", "h2", "reqwest", "rustls"].map(|target| (target, LevelFilter::WARN));
    let traces = if traces { LevelFilter::INFO } else { LevelFilter::OFF };
    // Audit records go to the log at every level, unless a directive names their target.
    let audit = named.iter().all(|(target, _)| target != AUDIT_TARGET).then_some((AUDIT_TARGET, LevelFilter::INFO));
    let named = named.with_targets(audit);
    Ok(named.with_targets(quiet).with_target("tower_sessions_core", LevelFilter::OFF).with_target(TARGET, traces))
}

/// The usual words about a panic go to standard error, which may stand still.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload().downcast_ref::<&str>().copied();
    let payload = payload.or(panic.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    // It may quote what a stranger sent.
    let message: String = payload.chars().take(100).flat_map(char::escape_debug).collect();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(at, reason = message, "thread panicked");
}

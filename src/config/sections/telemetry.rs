//! `[telemetry]`: log, audit stream and traces.

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{choice, flag, limit, section, share, text, text_or_empty, text_with_base};
use crate::config::values::urls;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::filter::Targets;
use url::Url;

section! {
    telemetry: "Log, audit stream and traces.";
    TelemetryConfig / RawTelemetry

    /// Log filter: off, error, warn, info, debug, trace, or directives such as "info,auth_api=debug".
    log: String = text(log_filter).default("info").reloads();

    /// "text" for people, "json" for one JSON object a line.
    format: LogFormat = choice(
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        "is not a log format.",
        "Write `text` for people or `json` for machines, in lower case.",
    )
        .default("text");

    /// A line for each request of the public listener, of level info: address, method, path without query, status, bytes,
    /// milliseconds, agent, request id. The filter `auth_api::access=off` in `log` switches them off again.
    access_log: bool = flag().default("false");

    /// Where audit records go, each one JSON object on a line: "log", beside the lines of the log, or a file of their own, of
    /// which none is lost in silence. It is opened anew at SIGHUP. Relative paths start at this file's folder.
    audit: AuditStream = text_with_base(audit_stream).default("log");

    /// Whether nobody signs in while the audit file cannot be written.
    audit_required: bool = flag().rule(|required| required_needs_file(*required, &audit)).default("false");

    /// For how many days addresses and user agents are kept: in sessions, and in the audit file, which is then renamed at the
    /// end of each day and removed so many days later. 0 keeps them as long as the session, and leaves the file alone.
    personal_data_days: Option<usize> = limit().default("0");

    /// Where traces go: an OpenTelemetry collector that takes OTLP over HTTP; /v1/traces is added. Empty ("") switches
    /// traces off. Spans hold routes, statuses and times, and no token, code, cookie, query or visitor's address.
    otlp_endpoint: Option<Url> = text_or_empty(otlp_endpoint).default("");

    /// The share of traces that are recorded, from 0 to 1. For a request with a `traceparent` from a trusted proxy
    /// (server.trusted_proxies), the proxy has decided.
    trace_ratio: f64 = share().default("1");
}

impl TelemetryConfig {
    /// How long addresses and user agents are kept; none for as long as the session.
    pub fn keep_personal_data(&self) -> Option<Duration> {
        self.personal_data_days.map(|days| Duration::from_secs(days as u64 * 86_400))
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where audit records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditStream {
    /// To the log.
    Log,
    /// To this file.
    File(PathBuf),
}

fn audit_stream(text: &str, base: &Path) -> Result<AuditStream, Mistake> {
    match text {
        "log" => Ok(AuditStream::Log),
        // A word may be a slip of the pen.
        path if path.contains(['/', '.']) && !path.ends_with('/') => Ok(AuditStream::File(base.join(path))),
        _ => Err(Mistake::new(
            format!("{} is neither `log` nor the path of a file.", shown(text)),
            "Write `log`, or a path such as `/var/log/auth-api/audit.jsonl`.",
        )),
    }
}

fn required_needs_file(required: bool, audit: &Field<AuditStream>) -> Result<(), Mistake> {
    match audit.valid() {
        Some(AuditStream::Log) if required => Err(Mistake::new(
            "The log may drop records, so nobody could ever sign in.",
            "Write a file's path into telemetry.audit, or leave audit_required out.",
        )),
        _ => Ok(()),
    }
}

fn log_filter(text: &str) -> Result<String, Mistake> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let instead = "Write one of off, error, warn, info, debug, trace, or directives such as `info,auth_api=debug`.";
    // The filter takes any bare word for a target and would log everything of a target that does not exist.
    let typo = text.split(',').map(str::trim).find(|part| {
        let bare = part.chars().all(|c| c.is_ascii_alphanumeric());
        bare && !LEVELS.contains(&part.to_ascii_lowercase().as_str())
    });
    if let Some(part) = typo {
        return Err(Mistake::new(
            format!("{} is not a log level, so nothing of use would be logged.", shown(part)),
            instead,
        ));
    }
    // `[` would begin the name of a span.
    match text.replace(' ', "").parse::<Targets>() {
        Ok(_) if !text.contains('[') => Ok(text.to_owned()),
        _ => Err(Mistake::new(format!("{} is not a log filter.", shown(text)), instead)),
    }
}

/// Where spans are sent to (OTLP/HTTP, as `OTEL_EXPORTER_OTLP_ENDPOINT`); `""` switches traces off.
fn otlp_endpoint(text: &str) -> Result<Option<Url>, Mistake> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut url = urls::web_url(text)?;
    let instead = "Write the collector's address alone: `http://127.0.0.1:4318`.";
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Mistake::new(
            format!("{} has a query or a fragment, which no collector takes.", shown(text)),
            instead,
        ));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/v1/traces") {
        let what = format!(
            "{} ends in `/v1/traces`, which is added, so the collector would not know the address.",
            shown(text)
        );
        return Err(Mistake::new(what, instead));
    }
    url.set_path(&(path + "/v1/traces"));
    Ok(Some(url))
}

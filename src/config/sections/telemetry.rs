//! `[telemetry]`: logs.

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{choice, section, text};
use tracing_subscriber::filter::Targets;

section! {
    telemetry: "Logs.";
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
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
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

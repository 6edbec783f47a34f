//! Who did what: a stream of records, each one JSON object on a line, in the order in which things happened.
//!
//! Flows record an [`AuditEvent`]; time, request and number are added here. Records go to the log, which may drop them, or
//! to a file of their own, which loses none in silence.

mod bounds;
mod event;
mod file;
mod request;
mod schema;

pub use self::event::{AuditEvent, SessionEndedBy, list, text};
pub use self::file::AuditFilePath;
pub use self::request::{RequestContext, in_current_request};
pub use self::schema::schema;

use self::bounds::Bounds;
use self::file::AuditFile;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::seal::random;
use crate::telemetry::{self, AUDIT_TARGET, Metrics};
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::Value;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// How long a sign-in waits for its record.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditDestination {
    /// The log, as text for people.
    TextLog,
    /// The log, as JSON.
    JsonLog,
    /// A file.
    File(AuditFilePath),
}

/// A record that has to be written cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit file cannot be written")]
pub struct AuditUnavailable;

/// The stream of one process.
#[derive(Debug)]
pub struct AuditLog {
    /// The process, in each record.
    instance: String,
    state: Mutex<AuditState>,
    output: AuditOutput,
    required: bool,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct AuditState {
    sequence: u64,
    bounds: Bounds,
}

#[derive(Debug)]
enum AuditOutput {
    TextLog,
    JsonLog,
    File(AuditFile),
}

/// A line.
#[derive(Serialize, ToSchema)]
struct AuditRecord<'a> {
    /// When it was recorded: RFC 3339, UTC, in seconds.
    time: String,
    /// The process, by a name that it has chosen at its start.
    instance: &'a str,
    /// Counts the records of the process, from 1. A number that is missing is a record that was lost.
    sequence: u64,
    #[serde(flatten)]
    #[schema(ignore)]
    event: &'a AuditEvent,
    #[serde(flatten)]
    #[schema(ignore)]
    request: Option<&'a RequestContext>,
    #[serde(flatten)]
    #[schema(ignore)]
    log: Option<LogFields>,
}

/// What each line of the JSON log has, and a record in a file has not.
#[derive(Serialize, ToSchema)]
struct LogFields {
    /// As `time`.
    timestamp: String,
    /// `INFO`.
    level: &'static str,
    /// `auth_api::audit`.
    target: &'static str,
}

impl AuditLog {
    /// The stream to `destination`. With `required`, nobody signs in while it cannot be written.
    ///
    /// # Errors
    /// Of the operating system, about the file.
    pub fn open(
        destination: AuditDestination,
        required: bool,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let output = match destination {
            AuditDestination::TextLog => AuditOutput::TextLog,
            AuditDestination::JsonLog => AuditOutput::JsonLog,
            AuditDestination::File(at) => AuditOutput::File(AuditFile::open(at)?),
        };
        let instance = random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { instance, state: Mutex::default(), output, required, clock, metrics })
    }

    /// Records `event`, of the request of this task if there is one. Nobody waits for it.
    pub fn record(&self, event: &AuditEvent) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if event.bounded().is_none_or(|bounded| state.bounds.admits(bounded, now)) {
            self.say_suppressed(&mut state, now, false);
            self.write(&mut state, event, now, None);
        }
    }

    /// Records `event`; where that is required, waits until the file has it, for two seconds at most.
    ///
    /// # Errors
    /// [`AuditUnavailable`] where it is required.
    pub async fn record_if_required(&self, event: &AuditEvent) -> Result<(), AuditUnavailable> {
        if !self.required {
            self.record(event);
            return Ok(());
        }
        let (written, waiting) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.write(&mut state, event, self.clock.now(), Some(written));
        }
        match tokio::time::timeout(WRITE_TIMEOUT, waiting).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(AuditUnavailable),
        }
    }

    /// Whether what has to be recorded can be, as far as is known.
    ///
    /// # Errors
    /// [`AuditUnavailable`] where that is required.
    pub fn check(&self) -> Result<(), AuditUnavailable> {
        if self.required && self.failure().is_some() { Err(AuditUnavailable) } else { Ok(()) }
    }

    /// Why records wait, in a sentence.
    pub fn failure(&self) -> Option<String> {
        match &self.output {
            AuditOutput::File(file) => file.failure(),
            AuditOutput::TextLog | AuditOutput::JsonLog => None,
        }
    }

    /// Whether records go anywhere: a directive of `telemetry.log` can switch off those that go to the log.
    pub fn is_enabled(&self) -> bool {
        match &self.output {
            AuditOutput::File(_) => true,
            AuditOutput::TextLog | AuditOutput::JsonLog => {
                tracing::enabled!(target: AUDIT_TARGET, tracing::Level::INFO)
            }
        }
    }

    /// Goes on in the file that is at the path now, for who has renamed the one before.
    pub fn reopen(&self) {
        if let AuditOutput::File(file) = &self.output {
            file.reopen();
        }
    }

    /// Says how many records were left out of floods that have ended.
    pub fn summarize(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.say_suppressed(&mut state, self.clock.now(), false);
    }

    /// Says how many records were left out, and waits until all is written, for two seconds at most.
    pub fn flush(&self) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.say_suppressed(&mut state, self.clock.now(), true);
        }
        if let AuditOutput::File(file) = &self.output {
            file.flush();
        }
    }

    fn say_suppressed(&self, state: &mut AuditState, now: Timestamp, all: bool) {
        for (suppressed, count) in state.bounds.take_suppressed(now, all) {
            self.write(state, &AuditEvent::RecordsSuppressed { suppressed, count }, now, None);
        }
    }

    /// Under the lock, so that records are written in the order of their numbers.
    fn write(
        &self,
        state: &mut AuditState,
        event: &AuditEvent,
        now: Timestamp,
        written: Option<oneshot::Sender<bool>>,
    ) {
        state.sequence += 1;
        if !self.is_enabled() {
            return answer(written, true);
        }
        let request = |request: Option<&RequestContext>| match self.output {
            AuditOutput::TextLog => as_text(event, request).into_bytes(),
            AuditOutput::JsonLog | AuditOutput::File(_) => {
                let (time, sequence) = (rfc_3339(now), state.sequence);
                let is_log = matches!(self.output, AuditOutput::JsonLog);
                let fields = || LogFields { timestamp: time.clone(), level: "INFO", target: AUDIT_TARGET };
                let log = is_log.then(fields);
                let record = AuditRecord { time, instance: &self.instance, sequence, event, request, log };
                let mut line = serde_json::to_vec(&record).expect("a record is plain data");
                line.push(b'\n');
                line
            }
        };
        let line = RequestContext::with_current(request);
        let taken = match &self.output {
            AuditOutput::TextLog => {
                tracing::info!(target: AUDIT_TARGET, "{}", String::from_utf8_lossy(&line));
                true
            }
            AuditOutput::JsonLog => telemetry::write_line(&line),
            AuditOutput::File(file) => {
                if !file.append(line, now, written) {
                    self.metrics.audit_record_dropped();
                }
                return;
            }
        };
        if !taken {
            self.metrics.audit_record_dropped();
        }
        answer(written, taken);
    }
}

/// Whoever waited may have given up.
fn answer(waiting: Option<oneshot::Sender<bool>>, written: bool) {
    if let Some(waiting) = waiting {
        let _ = waiting.send(written);
    }
}

/// `sign_in provider="Google" session="…" sub="…"`
fn as_text(event: &AuditEvent, request: Option<&RequestContext>) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        #[serde(flatten)]
        event: &'a AuditEvent,
        #[serde(flatten)]
        request: Option<&'a RequestContext>,
    }
    let Ok(Value::Object(mut fields)) = serde_json::to_value(Fields { event, request }) else { return String::new() };
    // The line's span has it.
    fields.remove("request_id");
    let event = fields.remove("event");
    let mut text = event.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

fn rfc_3339(time: Timestamp) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

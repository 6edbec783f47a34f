//! What a run found out: for a terminal, and as JSON to save.

use super::question::{QUESTIONS, Question};
use crate::domain::clock::Timestamp;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Of the JSON: raised when a reader would misread it.
const VERSION: u32 = 1;

/// What an answer means for auth-api.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as auth-api relies on it.
    AsExpected,
    /// It is otherwise, and auth-api works.
    Differs,
    /// auth-api does not work with this, or not safely.
    Breaks,
    /// Nobody knows.
    NotAsked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AsExpected => "as expected",
            Self::Differs => "differs",
            Self::Breaks => "breaks auth-api",
            Self::NotAsked => "not asked",
        })
    }
}

/// A question with the pool's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAnswer {
    /// The question's stable name.
    pub id: String,
    /// The question.
    pub question: String,
    /// What the pool answered: statuses, error codes and names of claims; or why nobody asked.
    pub answer: String,
    /// What auth-api relies on.
    pub relies_on: String,
    /// What it means.
    pub verdict: Verdict,
    /// What to change, or how to find out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All answers of one run. No token, code, cookie or secret is in it, and nothing about the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptanceReport {
    version: u32,
    /// The version of auth-api that asked.
    pub auth_api: String,
    /// RFC 3339.
    pub asked_at: String,
    /// The pool.
    pub issuer: String,
    /// The app client.
    pub client_id: String,
    /// Every question, in the order of [`QUESTIONS`].
    pub answers: Vec<QuestionAnswer>,
}

/// The answers as they come in.
#[derive(Debug, Default)]
pub(super) struct AnswerSheet {
    answers: BTreeMap<&'static str, (Verdict, String)>,
    secrets: Vec<String>,
}

impl AnswerSheet {
    /// Notes an answer; the first one stays.
    pub(super) fn note(&mut self, id: &'static str, verdict: Verdict, answer: impl Into<String>) {
        self.answers.entry(id).or_insert_with(|| (verdict, answer.into()));
    }

    /// Notes whether the pool does what auth-api relies on, and what else it means.
    pub(super) fn judge(&mut self, id: &'static str, good: bool, otherwise: Verdict, answer: impl Into<String>) {
        self.note(id, if good { Verdict::AsExpected } else { otherwise }, answer);
    }

    /// Notes why questions were not asked.
    pub(super) fn skip(&mut self, ids: &[&'static str], why: &str) {
        ids.iter().for_each(|id| self.note(id, Verdict::NotAsked, why));
    }

    /// A value that must not be in the report.
    pub(super) fn hide(&mut self, secret: &str) {
        // Shorter ones are words of the report itself.
        if secret.len() >= 6 {
            self.secrets.push(secret.to_owned());
        }
    }

    /// The report; `unreached` is why questions without an answer have none.
    pub(super) fn report(self, issuer: &str, client_id: &str, now: Timestamp, unreached: &str) -> AcceptanceReport {
        let pool = issuer.rsplit('/').next().unwrap_or_default();
        let region = pool.split('_').next().unwrap_or_default();
        let fill = |text: &str| text.replace("$POOL", pool).replace("$CLIENT", client_id).replace("$REGION", region);
        let answer = |question: &Question| {
            let (verdict, answer) = match self.answers.get(question.id) {
                Some((verdict, answer)) => (*verdict, self.redact(answer)),
                None if question.by_hand.is_empty() => (Verdict::NotAsked, unreached.to_owned()),
                None => (Verdict::NotAsked, "not asked here".to_owned()),
            };
            let remedy = match verdict {
                Verdict::AsExpected => "",
                Verdict::Differs | Verdict::Breaks => question.remedy,
                Verdict::NotAsked => question.by_hand,
            };
            QuestionAnswer {
                id: question.id.to_owned(),
                question: question.text.to_owned(),
                answer,
                relies_on: question.relies_on.to_owned(),
                verdict,
                remedy: (!remedy.is_empty()).then(|| fill(remedy)),
            }
        };
        let time = i64::try_from(now.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        AcceptanceReport {
            version: VERSION,
            auth_api: env!("CARGO_PKG_VERSION").to_owned(),
            asked_at: time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            answers: QUESTIONS.iter().map(answer).collect(),
        }
    }

    /// Answers are made of codes and names of claims; a pool that puts anything else there is not repeated.
    fn redact(&self, answer: &str) -> String {
        self.secrets.iter().fold(answer.to_owned(), |answer, secret| answer.replace(secret, "…"))
    }
}

impl AcceptanceReport {
    /// Reads a saved one.
    ///
    /// # Errors
    /// A sentence, if it is none or of a version that is not known.
    pub fn parse(json: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(json).map_err(|error| format!("no report of a run: {error}"))?;
        // They could move a terminal's cursor.
        let text = serde_json::to_value(&report).map(|value| value.to_string()).unwrap_or_default();
        if text.contains("\\u00") {
            return Err("no report of a run: it holds control characters".to_owned());
        }
        match report.version {
            VERSION => Ok(report),
            other => Err(format!("a report of version {other}; this program knows version {VERSION}")),
        }
    }

    /// The JSON to save.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }

    /// Whether an answer means that auth-api does not work with this pool.
    pub fn breaks(&self) -> bool {
        self.count(Verdict::Breaks) > 0
    }

    /// Whether anybody signed in: without that, most questions were not asked.
    pub fn signed_in(&self) -> bool {
        let answer = self.answers.iter().find(|answer| answer.id == "sign_in.tokens");
        answer.is_some_and(|answer| answer.verdict != Verdict::NotAsked)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.answers.iter().filter(|answer| answer.verdict == verdict).count()
    }
}

impl fmt::Display for AcceptanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {}, app client {}\n", self.issuer, self.asked_at, self.client_id)?;
        for answer in &self.answers {
            writeln!(f, "{:<16} {}: {}", answer.verdict, answer.id, answer.question)?;
            writeln!(f, "    answer      {}", answer.answer)?;
            writeln!(f, "    relied on   {}", answer.relies_on)?;
            if let Some(remedy) = &answer.remedy {
                let label = if answer.verdict == Verdict::NotAsked { "find out" } else { "change" };
                writeln!(f, "    {label:<11} {remedy}")?;
            }
            writeln!(f)?;
        }
        let all = [Verdict::AsExpected, Verdict::Differs, Verdict::Breaks, Verdict::NotAsked];
        let counts = all.map(|verdict| format!("{} {verdict}", self.count(verdict)));
        writeln!(f, "{}", counts.join(", "))
    }
}

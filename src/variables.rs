//! The environment variables of a Lambda function, read once; every mistake is reported at once.

use crate::domain::host::{is_loopback, within};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use url::Url;

/// Reads variables and collects a sentence for every mistake.
#[derive(Debug)]
pub(crate) struct VariableReader {
    variables: BTreeMap<String, String>,
    pub(crate) mistakes: Vec<String>,
}

impl VariableReader {
    /// Over the variables of a process. Empty ones are none. One whose name begins like those in `ours` has to be
    /// `known`: a misspelt one is reported rather than passed over.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>, ours: &[&str], known: &[&str]) -> Self {
        let variables: BTreeMap<String, String> =
            variables.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect();
        let unknown =
            |name: &&String| ours.iter().any(|start| name.starts_with(start)) && !known.contains(&name.as_str());
        let say = |name| format!("{name} is not known. There are: {}.", known.join(", "));
        let mistakes = variables.keys().filter(unknown).map(say).collect();
        Self { variables, mistakes }
    }

    /// What was read, if there was no mistake.
    pub(crate) fn finish<T>(self, settings: T) -> Result<T, Vec<String>> {
        if self.mistakes.is_empty() { Ok(settings) } else { Err(self.mistakes) }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| value.trim().to_owned())
    }

    /// What is between commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    }

    /// https, or http on this machine. `danger` says what goes there.
    pub(crate) fn url(&mut self, name: &str, danger: &str) -> Option<Url> {
        self.url_of(name, danger, is_loopback)
    }

    /// The same, or http to a name that only a private network has (`.internal`).
    pub(crate) fn internal_url(&mut self, name: &str, danger: &str) -> Option<Url> {
        self.url_of(name, danger, |host| is_loopback(host) || within(host, "internal"))
    }

    fn url_of(&mut self, name: &str, danger: &str, is_private: fn(&str) -> bool) -> Option<Url> {
        let text = self.text(name)?;
        let url = Url::parse(&text).ok().filter(|url| {
            let private = url.host_str().is_some_and(is_private);
            (url.scheme() == "https" || url.scheme() == "http" && private)
                && url.username().is_empty()
                && url.password().is_none()
        });
        if url.is_none() {
            // Not the value: somebody may have put a password into it.
            let how = format!("{danger}. Write https://…, without a user name and password in it");
            self.mistakes.push(format!("{name} is no address that can be used: {how}."));
        }
        url
    }

    /// A time such as `2500ms`, `3s`, `5m`, `12h` or `30d`. `advice` says which, and why.
    pub(crate) fn duration(
        &mut self,
        name: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
        advice: &str,
    ) -> Duration {
        let Some(text) = self.text(name) else { return default };
        match duration(&text).filter(|time| range.contains(time)) {
            Some(time) => time,
            None => {
                self.mistakes.push(format!("{name} is {text}: {advice}."));
                default
            }
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

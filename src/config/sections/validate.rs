//! `[validate]`: how sessions keep up with the provider.

use std::time::Duration;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{section, text};
use crate::config::values::scalar;

section! {
    validate: "How sessions keep up with the provider.";
    ValidateConfig / RawValidate

    /// How often Cognito is asked, in the background, whether somebody who is at work was disabled or signed out there:
    /// "never", "interval" for every 15m, or a time from 1m to 24h. Their sessions end within that time, otherwise
    /// at the next renewal. Needs the scope aws.cognito.signin.user.admin. Each question counts in Cognito's quota.
    check_revoked: Option<Duration> = text(check_revoked).default("never");
}

fn check_revoked(text: &str) -> Result<Option<Duration>, Mistake> {
    match text {
        "never" => Ok(None),
        "interval" => Ok(Some(Duration::from_secs(15 * 60))),
        text => match scalar::duration(text) {
            Ok(time) if (Duration::from_secs(60)..=Duration::from_secs(86_400)).contains(&time) => Ok(Some(time)),
            _ => Err(Mistake::new(
                format!("{} is not how often to ask: under a minute it would use up Cognito's quota.", shown(text)),
                "Write `never`, `interval` for every 15 minutes, or a time from `1m` to `24h`.",
            )),
        },
    }
}

//! Times and devices, as people read them.

use crate::domain::clock::Timestamp;
use crate::words::{CivilDate, Words, fill};
use std::time::Duration;
use time::OffsetDateTime;

/// The day of a time (UTC), with the month in words.
pub(in crate::web) fn day(words: &Words, at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or_default();
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    (words.date)(CivilDate { year: date.year(), month: date.month().into(), day: date.day() })
}

/// How long ago something was, roughly.
pub(in crate::web) fn ago(words: &Words, past: Duration) -> String {
    let minutes = past.as_secs() / 60;
    let (plural, count) = match minutes {
        // Uses are written down to a minute or so.
        0..2 => return words.just_now.to_string(),
        2..60 => (words.minutes_ago, minutes),
        60..2_880 => (words.hours_ago, minutes / 60),
        _ => (words.days_ago, minutes / 1_440),
    };
    plural.of((words.plural)(count), count)
}

/// What a browser calls itself (`User-Agent`), in short. More specific names come first: most call themselves Safari, too.
pub(in crate::web) fn device(words: &Words, agent: &str) -> String {
    const BROWSERS: [(&str, &str); 9] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 8] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "macOS"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
    ];
    let find =
        |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => fill(&fill(&words.browser_on_system, "browser", browser), "system", system),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => words.unknown_device.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{ENGLISH, language};

    #[test]
    fn devices_have_short_names() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
                "Chrome on Linux",
            ),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
                "Safari on iPhone",
            ),
            ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
            ("curl/8.14", "curl"),
            ("<script>", "Unknown device"),
            ("", "Unknown device"),
        ] {
            assert_eq!(device(&ENGLISH, agent), name, "{agent}");
        }
    }

    #[test]
    fn times_have_the_forms_of_the_language() {
        let arabic = language("ar").unwrap();
        for (seconds, english) in [
            (0, "just now"),
            (119, "just now"),
            (120, "2 minutes ago"),
            (3_600, "1 hour ago"),
            (2 * 86_400 - 1, "47 hours ago"),
            (2 * 86_400, "2 days ago"),
        ] {
            assert_eq!(ago(&ENGLISH, Duration::from_secs(seconds)), english);
        }
        let forms: std::collections::HashSet<_> = [3_600, 7_200, 10_800, 39_600]
            .map(|seconds| ago(arabic, Duration::from_secs(seconds)).replace(char::is_numeric, ""))
            .into();
        assert_eq!(forms.len(), 4, "{forms:?}");
        assert_eq!(day(&ENGLISH, Timestamp::from_secs(1_795_160_654)), "20 November 2026");
        assert_eq!(day(language("ja").unwrap(), Timestamp::from_secs(1_795_160_654)), "2026年11月20日");
    }
}

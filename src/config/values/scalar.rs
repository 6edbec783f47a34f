//! Values of one word: times, numbers, choices.

use std::time::Duration;

use crate::config::diagnostic::{Mistake, shown};

/// The most that [`count`] and [`limit`] take.
pub(in crate::config) const COUNT_MAX: u32 = 1_000_000;
/// The most that [`price`] takes.
pub(in crate::config) const PRICE_MAX: f64 = 1_000.0;

pub(in crate::config) fn flag(text: &str) -> Result<bool, Mistake> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Mistake::new(format!("{} is neither true nor false.", shown(text)), "Write `true` or `false`.")),
    }
}

/// A whole number from one to a million.
pub(in crate::config) fn count(text: &str) -> Result<u32, Mistake> {
    text.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(|| {
        Mistake::new(
            format!("{} is not a whole number from 1 to 1000000.", shown(text)),
            "Write how often something may happen, in digits.",
        )
    })
}

/// A whole number up to a million; 0 is no limit.
pub(in crate::config) fn limit(text: &str) -> Result<Option<usize>, Mistake> {
    let limit = text.parse::<u32>().ok().filter(|limit| *limit <= COUNT_MAX);
    limit.map(|limit| (limit > 0).then_some(limit as usize)).ok_or_else(|| {
        Mistake::new(
            format!("{} is not a whole number from 0 to 1000000.", shown(text)),
            "Write how many there may be, in digits, or `0` for any number.",
        )
    })
}

/// A part of a whole: all of it is 1.
pub(in crate::config) fn share(text: &str) -> Result<f64, Mistake> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
        Mistake::new(
            format!("{} is not a share from 0 to 1.", shown(text)),
            "Write a number from 0 to 1, with a point: `0.1` is a tenth.",
        )
    })
}

/// US dollars.
pub(in crate::config) fn price(text: &str) -> Result<f64, Mistake> {
    text.parse().ok().filter(|price| (0.0..=PRICE_MAX).contains(price)).ok_or_else(|| {
        Mistake::new(
            format!("{} is not a price in US dollars for 1,000 tokens.", shown(text)),
            "Write a number from 0 to 1000, with a point: `2.25`.",
        )
    })
}

/// Bytes: `256MB`, `2GB`; from 16 MB to 256 GB.
pub(in crate::config) fn memory_size(text: &str) -> Result<u64, Mistake> {
    let size = [("MB", 1 << 20), ("GB", 1 << 30)].into_iter().find_map(|(unit, bytes)| {
        let digits = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u64>().ok()?.checked_mul(bytes)
    });
    size.filter(|size| (16 << 20..=256 << 30).contains(size)).ok_or_else(|| {
        Mistake::new(
            format!("{} is not an amount of memory from 16MB to 256GB.", shown(text)),
            "Write digits and a unit, `256MB` or `2GB`.",
        )
    })
}

/// [`duration`], or milliseconds: `250ms`.
pub(in crate::config) fn fine_duration(text: &str) -> Result<Duration, Mistake> {
    match text.strip_suffix("ms").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).map(str::parse) {
        Some(Ok(ms)) => Ok(Duration::from_millis(ms)),
        _ => duration(text),
    }
}

/// `90s`, `5m`, `12h`, `30d`, `0s`.
pub(in crate::config) fn duration(text: &str) -> Result<Duration, Mistake> {
    let instead = "Write a whole number and one unit of s, m, h or d: `90s`, `5m`, `12h`, `30d`.";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "" => {
            return Err(Mistake::new(
                format!("{} has no unit, so it could mean seconds or days.", shown(text)),
                instead,
            ));
        }
        _ => {
            return Err(Mistake::new(format!("{} is not a duration.", shown(text)), instead));
        }
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Mistake::new(format!("{} is not a duration.", shown(text)), instead));
    }
    // A hundred years is beyond every use and keeps later arithmetic on times far from overflow.
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|s| *s <= 36_500 * 86_400) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(Mistake::new(format!("{} is longer than a hundred years.", shown(text)), instead)),
    }
}

/// What `text` stands for among `words`; `what` follows the text in the message.
pub(in crate::config) fn one_of<T: Copy>(
    words: &[(&str, T)],
    text: &str,
    what: &str,
    instead: &str,
) -> Result<T, Mistake> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| Mistake::new(format!("{} {what}", shown(text)), instead))
}

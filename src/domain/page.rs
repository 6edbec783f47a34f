//! A page that a proxy asks about, and the ways its path can be read.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Rounds of decoding after which nobody can say what is meant.
const ROUNDS: usize = 8;

/// A page that a proxy asks about. Only [`ReturnToPolicy::page`](super::return_to::ReturnToPolicy::page) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    url: String,
    host: std::ops::Range<usize>,
    path: std::ops::Range<usize>,
}

impl Page {
    /// `origin` is canonical, `host` its host; `target` begins with a slash.
    pub(super) fn new(origin: &str, host: &str, target: &str) -> Self {
        let url = [origin, target].concat();
        let at = origin.find("://").map_or(0, |colon| colon + 3);
        let end = target.find('?').unwrap_or(target.len());
        Self { host: at..at + host.len(), path: origin.len()..origin.len() + end, url }
    }

    /// The whole address: visible ASCII without a fragment.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.url[..self.path.start]
    }

    /// The host in lower case, without a port.
    pub fn host(&self) -> &str {
        &self.url[self.host.clone()]
    }

    /// Path and query as they were sent.
    pub fn target(&self) -> &str {
        &self.url[self.path.start..]
    }

    /// The path as it was sent.
    pub fn path(&self) -> &str {
        &self.url[self.path.clone()]
    }
}

/// What a path can be taken for. A site may fold letters, decode twice, leave out parameters or empty segments; or not.
#[derive(Debug)]
pub struct PathInterpretations {
    /// Decoded and folded, without what some leave out. `None`: nobody can say.
    segments: Option<Vec<String>>,
    /// Some leave out more, so that segments come together in several ways.
    loose: bool,
    plain: bool,
}

impl PathInterpretations {
    /// Of a path that begins with a slash.
    pub fn of(path: &str) -> Self {
        let written = path.strip_prefix('/').unwrap_or(path);
        // A slash at the end begins nothing.
        let written = written.strip_suffix('/').unwrap_or(written);
        let plain = written.is_empty() || written.split('/').all(is_firm);
        let Some(text) = decode(path) else { return Self { segments: None, loose: false, plain: false } };
        let slashes = |text: &str| text.matches(['/', '\\']).count();
        // Some leave out parameters before they decode, and slashes with them.
        let mut loose = text.contains(';') && slashes(&text) > slashes(path);
        let mut segments = Vec::new();
        for segment in text.split(['/', '\\']) {
            // Where one of these is seen, some see the end of a segment.
            let bare = segment.split([';', '?', '#']).next().unwrap_or_default();
            // Old frameworks leave out blanks around it, Windows also dots at its end.
            let name = bare.trim().trim_end_matches(|c: char| c == '.' || c.is_whitespace());
            if !name.is_empty() {
                segments.push(fold(name));
            } else if bare.contains("..") {
                loose = true;
            }
        }
        Self { segments: Some(segments), plain: plain && !loose, loose }
    }

    /// Whether it can be read in one way only, but for capitals and what ends a segment.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether some reading begins with the segments of `prefix`.
    pub fn may_begin(&self, prefix: &[String]) -> bool {
        match &self.segments {
            None => true,
            Some(segments) if self.loose => {
                let mut rest = segments.iter();
                prefix.iter().all(|segment| rest.any(|other| other == segment))
            }
            Some(segments) => segments.starts_with(prefix),
        }
    }

    /// Whether a plain beginning is one in every reading.
    pub fn keep_the_beginning(&self) -> bool {
        !self.loose && self.segments.is_some()
    }

    /// The segments of a plain path.
    pub fn into_segments(self) -> Vec<String> {
        self.segments.unwrap_or_default()
    }
}

/// Whether everybody reads a segment alike: nothing is encoded in it that need not be.
fn is_firm(segment: &str) -> bool {
    let mut rest = segment.as_bytes();
    if segment.is_empty() || matches!(segment, "." | "..") || segment.contains([';', '\\']) {
        return false;
    }
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (hex(rest.get(at + 1)), hex(rest.get(at + 2))) else { return false };
        let byte = u8::try_from(high * 16 + low).unwrap_or_default();
        let needless = byte.is_ascii_alphanumeric() || byte.is_ascii_control() || b"-._~/\\%;#?".contains(&byte);
        if needless {
            return false;
        }
        rest = &rest[at + 3..];
    }
    percent_decode_str(segment).decode_utf8().is_ok()
}

/// Decoded until nothing is left to decode. `None`: nobody can say what is meant.
fn decode(path: &str) -> Option<Cow<'_, str>> {
    let mut text = Cow::Borrowed(path);
    for _ in 0..ROUNDS {
        let bytes = Cow::from(percent_decode_str(&text));
        if has_overlong(&bytes) || bytes.iter().any(u8::is_ascii_control) {
            return None;
        }
        // Borrowed where there was nothing to decode.
        let Cow::Owned(bytes) = bytes else { return Some(text).filter(|text| !has_wide(text.as_bytes())) };
        // Other letters than UTF-8's hide nothing.
        text = String::from_utf8_lossy(&bytes).into_owned().into();
    }
    None
}

/// Whether ASCII is written in more bytes than it needs, which old decoders take for the letter (RFC 3629 §10).
fn has_overlong(bytes: &[u8]) -> bool {
    let pair = |b: &[u8]| matches!(b, [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]);
    !bytes.is_ascii() && (bytes.iter().any(|b| matches!(b, 0xc0 | 0xc1)) || bytes.windows(2).any(pair))
}

/// Whether a letter is written as only IIS decodes it: `%u0061`.
fn has_wide(text: &[u8]) -> bool {
    let wide = |b: &[u8]| matches!(b, [b'%', b'u' | b'U', code @ ..] if code.iter().all(u8::is_ascii_hexdigit));
    text.contains(&b'%') && text.windows(6).any(wide)
}

/// Without what some do not tell apart: capitals, and the foreign letters whose capital or small one is ASCII (ı, ſ, K).
fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).filter(|c| *c != '\u{307}').collect()
}

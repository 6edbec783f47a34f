//! The body of a machine's request: `application/x-www-form-urlencoded`.

use axum::http::header::{CONTENT_TYPE, HeaderMap};
use std::borrow::Cow;

/// More parameters than any request of ours has.
const PARAMETERS_MAX: usize = 32;

/// A form's parameters, each once (RFC 6749 §3.2).
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads `body`; an error says what is wrong with it.
    pub(super) fn read(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, &'static str> {
        let mut types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.as_bytes());
        let (media, more) = (types.next().unwrap_or_default(), types.next());
        let essence = media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if more.is_some() || !essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Err("the content type must be application/x-www-form-urlencoded");
        }
        let mut parameters = Vec::with_capacity(4);
        for (name, value) in url::form_urlencoded::parse(body) {
            if parameters.len() == PARAMETERS_MAX {
                return Err("there are more parameters than any request has");
            }
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err("a parameter is included more than once");
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The same where what is empty counts as left out.
    pub(super) fn without_empty(mut self) -> Self {
        self.0.retain(|(_, value)| !value.is_empty());
        self
    }

    /// The value of a parameter, which is then taken out.
    pub(super) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

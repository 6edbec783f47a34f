//! Query strings and form bodies, read without surprises: order kept, duplicates noticed, nothing panics.

use url::form_urlencoded;

/// Decoded parameters of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of a parameter; absent and empty are the same thing, as they are to Cognito.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn has_duplicates(&self) -> bool {
        self.0.iter().enumerate().any(|(at, (key, _))| self.0[..at].iter().any(|(earlier, _)| earlier == key))
    }

    /// The same parameters with one replaced, encoded again.
    pub(super) fn encode_with(&self, name: &str, value: &str) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (key, kept) in self.0.iter().filter(|(key, _)| key != name) {
            out.append_pair(key, kept);
        }
        out.append_pair(name, value).finish()
    }
}

/// `url` with more query parameters. Custom schemes are callback URLs too, so this works on text.
pub(super) fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

//! Where browsers come back to, and with what.

use crate::domain::host::is_loopback;
use std::time::Duration;
use url::Url;

/// Where browsers come back to. Both have to be registered for the app client.
#[derive(Debug, Clone)]
pub struct LoopbackUrls {
    /// After a sign-in.
    pub callback: Url,
    /// After a sign-out.
    pub signed_out: Url,
}

impl LoopbackUrls {
    /// The callback at `callback`, and `/signed-out` beside it.
    ///
    /// # Errors
    /// If it is no plain http address of this machine with a port.
    pub fn new(callback: &str) -> Result<Self, String> {
        let url = Url::parse(callback).ok().filter(|url| {
            let loopback = url.host_str().is_some_and(is_loopback);
            url.scheme() == "http" && loopback && url.port().is_some() && url.query().is_none()
        });
        let callback = url.filter(|url| url.fragment().is_none() && url.path() != "/signed-out").ok_or_else(|| {
            format!("--callback {callback} is no address like http://localhost:8085/callback: it is on this machine")
        })?;
        let mut signed_out = callback.clone();
        signed_out.set_path("/signed-out");
        Ok(Self { callback, signed_out })
    }

    /// The return that an address is, if it is one.
    pub(super) fn landing(&self, at: &Url, page_shown: Option<bool>, took: Duration) -> Option<Landing> {
        let is = |url: &Url| at.origin() == url.origin() && at.path() == url.path();
        let signed_out = is(&self.signed_out);
        (signed_out || is(&self.callback)).then(|| Landing {
            query: at.query().unwrap_or_default().to_owned(),
            signed_out,
            page_shown,
            took,
        })
    }
}

/// A browser's return.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) query: String,
    /// At the sign-out URL.
    pub(super) signed_out: bool,
    /// Whether a page was to be filled in; of a person nobody knows.
    pub(super) page_shown: Option<bool>,
    pub(super) took: Duration,
}

impl Landing {
    pub(super) fn param(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub(super) fn state(&self) -> Option<String> {
        self.param("state")
    }
}

//! Who is visiting? This site asks the service's `/validate` on every request.

use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use time::OffsetDateTime;

/// More than any principal takes; beyond it something else is talking.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The service's answer.
#[derive(Clone, Debug)]
pub(super) enum CmsVisitor {
    /// Signed in, and allowed what was demanded.
    SignedIn(Box<CmsPerson>),
    /// Not signed in.
    Anonymous,
    /// Signed in, but not allowed.
    Forbidden,
    /// No answer: the service is down, or says it cannot tell.
    Unknown,
}

/// The parts of the contract's principal that this site shows. Fields it does not know of are none of its business.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CmsPerson {
    pub(super) sub: String,
    username: Option<String>,
    name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) groups: Vec<String>,
    provider: Option<String>,
    session_expires_at: Option<i64>,
}

impl CmsPerson {
    /// What to call them: by name, else by username.
    pub(super) fn greeting(&self) -> &str {
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        [&self.name, &self.username]
            .into_iter()
            .find(|text| given(text))
            .and_then(|text| text.as_deref())
            .unwrap_or("friend")
    }

    /// The federated provider, or what a user of the pool's own would call it.
    pub(super) fn signed_in_with(&self) -> Option<&str> {
        self.provider.as_deref().map(|name| if name == "COGNITO" { "user name and password" } else { name })
    }

    pub(super) fn initial(&self) -> char {
        self.greeting().chars().next().unwrap_or('?')
    }

    /// "20 December 2026, 09:04 UTC".
    pub(super) fn session_end(&self) -> Option<String> {
        let end = OffsetDateTime::from_unix_timestamp(self.session_expires_at?).ok()?;
        let (day, month, year) = (end.day(), end.month(), end.year());
        Some(format!("{day} {month} {year}, {:02}:{:02} UTC", end.hour(), end.minute()))
    }
}

/// A client of the service's `/validate`.
#[derive(Clone, Debug)]
pub(super) struct ValidateClient {
    client: reqwest::Client,
    url: String,
}

impl ValidateClient {
    pub(super) fn new(auth_base_internal: &str) -> io::Result<Self> {
        let url = format!("{}/validate", auth_base_internal.trim_end_matches('/'));
        Ok(Self { client: client().map_err(io::Error::other)?, url })
    }

    /// The visitor's own cookies are sent, and nothing else of the request.
    pub(super) async fn validate(&self, headers: &HeaderMap, demand: Option<(&str, &str)>) -> CmsVisitor {
        let mut request = self.client.get(&self.url);
        if let Some(demand) = demand {
            request = request.query(&[demand]);
        }
        for cookies in headers.get_all(header::COOKIE) {
            request = request.header(header::COOKIE, cookies);
        }
        let Ok(answer) = request.send().await else {
            return CmsVisitor::Unknown;
        };
        match answer.status() {
            StatusCode::OK => {
                read(answer).await.map_or(CmsVisitor::Unknown, |person| CmsVisitor::SignedIn(Box::new(person)))
            }
            StatusCode::UNAUTHORIZED => CmsVisitor::Anonymous,
            StatusCode::FORBIDDEN => CmsVisitor::Forbidden,
            _ => CmsVisitor::Unknown,
        }
    }
}

async fn read(mut answer: reqwest::Response) -> Option<CmsPerson> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo site is a program of its own and brings its own client; the service's stays inside the service"
)]
fn client() -> reqwest::Result<reqwest::Client> {
    // Somebody in this process may have installed it already; either is fine.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
}

//! tower-sessions over our store: it issues and clears the session cookie on the browser's routes.
//!
//! The record it sees holds only the id. Flows create and end sessions, since they know the order: its
//! own `save` is an upsert, with which a request in flight could revive an ended session, so here it
//! writes nothing. And of the request's cookies it is shown only that of the one live session, because it
//! looks at one, decodes names that browsers do not, and reads no line that is not UTF-8.

use super::Web;
use crate::domain::session::SessionId;
use crate::flow::{Error, RelyingParty};
use crate::store::{self, OpenedSession};
use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::sync::Arc;
use time::OffsetDateTime;
use tower_sessions::cookie::SameSite;
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore, session_store};

/// The record's one entry: the id of the session that a flow made.
const ID: &str = "id";

#[derive(Debug, Clone)]
pub(super) struct SessionLayerStore(Arc<RelyingParty>);

fn ours(id: &Id) -> SessionId {
    SessionId::from_bytes(id.0.to_le_bytes())
}

#[async_trait]
impl SessionStore for SessionLayerStore {
    /// Issues the cookie for a session that a flow has created.
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let id = record.data.get(ID).and_then(|id| id.as_str()?.parse().ok());
        record.id = id.ok_or_else(|| session_store::Error::Backend("only a flow creates sessions".into()))?;
        Ok(())
    }

    /// Renewals go through `Sessions::update`; nothing else changes a session.
    async fn save(&self, _: &Record) -> session_store::Result<()> {
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let live = self.0.sessions.load(ours(id)).await.map_err(|e| session_store::Error::Backend(e.to_string()))?;
        Ok(live.map(|live| Record {
            id: *id,
            data: [(ID.to_owned(), id.to_string().into())].into(),
            expiry_date: at(live.session.ends),
        }))
    }

    /// Flows end sessions.
    async fn delete(&self, _: &Id) -> session_store::Result<()> {
        Ok(())
    }
}

/// The layer, with the session cookie's name and attributes.
pub(super) fn tower_sessions(web: &Arc<Web>) -> SessionManagerLayer<SessionLayerStore> {
    let layer = SessionManagerLayer::new(SessionLayerStore(web.rp.clone()))
        .with_name(web.jar.session_name().to_owned())
        .with_path("/")
        .with_http_only(true)
        .with_secure(web.jar.is_secure())
        .with_same_site(SameSite::Lax);
    match web.jar.domain() {
        Some(domain) => layer.with_domain(domain.to_owned()),
        None => layer,
    }
}

/// Makes the response issue the cookie of a new session; the old one's id is dropped.
pub(super) async fn issue(session: &Session, live: &OpenedSession) -> Result<(), Error> {
    let issue = async {
        clear(session).await?;
        session.insert(ID, BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes())).await?;
        session.set_expiry(Some(Expiry::AtDateTime(at(live.session.ends))));
        session.save().await
    };
    issue.await.map_err(|e| Error::Store(store::Error::Unavailable(e.to_string())))
}

/// Makes the response clear the session cookie.
pub(super) async fn clear(session: &Session) -> Result<(), tower_sessions::session::Error> {
    match session.id() {
        Some(_) => session.flush().await,
        None => Ok(()),
    }
}

/// What the browser sent, before tower-sessions was shown its part.
#[derive(Debug, Clone)]
pub(super) struct BrowserSession {
    /// The request's headers.
    pub(super) headers: HeaderMap,
    /// The session ids: a sibling may have planted some.
    pub(super) ids: Vec<SessionId>,
    /// The live session among them.
    pub(super) session: Result<Option<Arc<OpenedSession>>, Error>,
}

impl<S: Send + Sync> FromRequestParts<S> for BrowserSession {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let nobody = || Self { headers: HeaderMap::new(), ids: vec![], session: Ok(None) };
        Ok(parts.extensions.remove().unwrap_or_else(nobody))
    }
}

/// Finds the live session among the cookies, shows tower-sessions that one alone, and puts its removal
/// of the cookie right: it lacks the attributes that the cookie was set with, so browsers would ignore it.
///
/// The cookie of a session that is over is left alone: the answer to a late request with it would
/// remove the cookie that a sign-in in another tab has just set.
pub(super) async fn one_session_cookie(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let ids = web.jar.session_ids(&headers).ids().to_vec();
    let session = web.rp.session(&ids).await;
    let name = web.jar.session_name();
    request.headers_mut().remove(COOKIE);
    if let Ok(Some(live)) = &session {
        let shown = format!("{name}={}", BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes()));
        // base64url is always a header value.
        request.headers_mut().extend(HeaderValue::from_str(&shown).ok().map(|shown| (COOKIE, shown)));
    }
    request.extensions_mut().insert(BrowserSession { headers, ids, session });
    let mut response = next.run(request).await;

    let removal = format!("{name}=;");
    let set = response.headers().get_all(SET_COOKIE);
    let (removals, others): (Vec<_>, Vec<_>) =
        set.iter().cloned().partition(|value| value.as_bytes().starts_with(removal.as_bytes()));
    if !removals.is_empty() {
        response.headers_mut().remove(SET_COOKIE);
        for value in others.into_iter().chain([web.jar.remove_session()]) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

fn at(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

//! tower-sessions over our store: it reads, issues and clears the session cookie on the browser's routes.
//!
//! The record it sees holds only the id. Flows create and end sessions, since they know the order: its
//! own `save` is an upsert, with which a request in flight could revive an ended session, so here it
//! writes nothing.

use super::Web;
use crate::domain::session::SessionId;
use crate::flow::{Error, RelyingParty};
use crate::store::{self, Live};
use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HeaderValue, SET_COOKIE};
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
pub(super) struct Adapter(Arc<RelyingParty>);

fn backend(error: store::Error) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

fn ours(id: &Id) -> SessionId {
    SessionId::from_bytes(id.0.to_le_bytes())
}

#[async_trait]
impl SessionStore for Adapter {
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
        let live = self.0.sessions.load(ours(id)).await.map_err(backend)?;
        Ok(live.map(|live| Record {
            id: *id,
            data: [(ID.to_owned(), id.to_string().into())].into(),
            expiry_date: at(live.session.ends),
        }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.sessions.end(ours(id)).await.map(|_| ()).map_err(backend)
    }
}

/// The layer, with the session cookie's name and attributes.
pub(super) fn tower_sessions(web: &Arc<Web>) -> SessionManagerLayer<Adapter> {
    let layer = SessionManagerLayer::new(Adapter(web.rp.clone()))
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

/// The browser's session, if it is alive.
pub(super) async fn current(web: &Web, session: &Session) -> Result<Option<Arc<Live>>, Error> {
    // Looking loads it: a cookie without a live session is then forgotten, and cleared in the response.
    session.get_value(ID).await.map_err(failed)?;
    match session.id() {
        Some(id) => web.rp.session(&[ours(&id)]).await,
        None => Ok(None),
    }
}

/// Makes the response issue the cookie of a new session; the old one's id is dropped.
pub(super) async fn issue(session: &Session, live: &Live) -> Result<(), Error> {
    let issue = async {
        if session.id().is_some() {
            session.flush().await?;
        }
        session.insert(ID, BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes())).await?;
        session.set_expiry(Some(Expiry::AtDateTime(at(live.session.ends))));
        session.save().await
    };
    issue.await.map_err(failed)
}

fn failed(error: tower_sessions::session::Error) -> Error {
    Error::Store(store::Error(error.to_string()))
}

/// Lets one session cookie through, since tower-sessions looks at one: the live one among those of the
/// same name that siblings may have planted. And its removal of the cookie lacks the attributes it was
/// set with, so that browsers would ignore it: here they are put right.
pub(super) async fn one_session_cookie(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let name = web.jar.session_name();
    let sent = web.jar.session_ids(request.headers());
    if sent.any {
        let live = web.rp.session(sent.ids()).await.ok().flatten();
        let chosen = live.map(|live| live.id).or_else(|| sent.ids().first().copied());
        let mut line = Vec::new();
        let others = super::cookies::pairs(request.headers()).filter(|(n, _)| *n != name.as_bytes());
        for (name, value) in others {
            line.extend_from_slice(&[name, b"=", value, b"; "].concat());
        }
        let id = chosen.map(|id| BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())).unwrap_or_default();
        line.extend_from_slice(format!("{name}={id}").as_bytes());
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            request.headers_mut().insert(COOKIE, line);
        }
    }
    let mut response = next.run(request).await;
    let removal = format!("{name}=;");
    let is_removal = |value: &HeaderValue| value.as_bytes().starts_with(removal.as_bytes());
    if response.headers().get_all(SET_COOKIE).iter().any(is_removal) {
        let others: Vec<_> =
            response.headers().get_all(SET_COOKIE).iter().filter(|v| !is_removal(v)).cloned().collect();
        response.headers_mut().remove(SET_COOKIE);
        for value in others {
            response.headers_mut().append(SET_COOKIE, value);
        }
        response.headers_mut().append(SET_COOKIE, web.jar.remove_session());
    }
    response
}

fn at(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

//! tower-sessions over our sessions. A handler extracts the crate's [`Session`] and flushes it, or saves one that a
//! sign-in made; the crate calls the [`SessionStore`] below for that and remembers what became of the session, and
//! [`browser_session`] turns it into the one `Set-Cookie` of the answer, whose attributes only `cookies` knows.
//!
//! The crate's own layer is left out: it looks at one cookie of the name and removes it where it is no id, and a sibling
//! can plant several.

use super::Web;
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionId;
use crate::flow::{Error, RelyingParty};
use crate::store::{self, OpenedSession};
use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{HeaderMap, SET_COOKIE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, Session, SessionStore, session_store};

/// A record's one entry: the id of the session that a flow made.
const ID: &str = "id";

#[derive(Debug)]
struct BrowserSessionStore(Arc<RelyingParty>);

#[async_trait]
impl SessionStore for BrowserSessionStore {
    /// Takes over a session that a flow has created.
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let id = record.data.get(ID).and_then(|id| id.as_str()?.parse().ok());
        record.id = id.ok_or_else(|| session_store::Error::Backend("only a flow creates sessions".into()))?;
        Ok(())
    }

    /// An upsert, with which a request in flight could revive an ended session.
    async fn save(&self, _: &Record) -> session_store::Result<()> {
        Err(session_store::Error::Backend("only a flow changes sessions".into()))
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let opened = self.0.session(&[session_id(*id)]).await;
        let opened = opened.map_err(|e| session_store::Error::Backend(e.to_string()))?;
        Ok(opened.map(|opened| Record {
            id: *id,
            data: [(ID.to_owned(), id.to_string().into())].into(),
            expiry_date: at(opened.ends),
        }))
    }

    /// Ends the session if the flow that was asked to could not.
    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        self.0.end_replaced([session_id(*id)]).await;
        Ok(())
    }
}

/// Makes the response issue the cookie of a new session.
pub(super) async fn issue(session: &Session, opened: &OpenedSession) -> Result<(), Error> {
    let id = cookie_id(opened);
    session.set_expiry(Some(Expiry::AtDateTime(at(opened.ends))));
    if session.id() == Some(id) {
        return Ok(());
    }
    let issue = async {
        session.flush().await?;
        session.insert(ID, id.to_string()).await?;
        session.save().await
    };
    issue.await.map_err(|e| store::Error::Unavailable(e.to_string()).into())
}

/// What the browser sent.
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

/// Finds the live session among the cookies, and sets or removes the cookie if the handler has issued or flushed it.
///
/// The cookie of a session that is over is left alone: the answer to a late request with it would
/// remove the cookie that a sign-in in another tab has just set.
pub(super) async fn browser_session(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let ids = web.jar.all_session_ids(&headers);
    let found = web.rp.session(&ids).await;
    let id = found.as_ref().ok().and_then(|opened| opened.as_deref()).map(cookie_id);
    let session = Session::new(id, Arc::new(BrowserSessionStore(web.rp.clone())), None);
    request.extensions_mut().insert(session.clone());
    request.extensions_mut().insert(BrowserSession { headers, ids, session: found });
    let mut response = next.run(request).await;
    if session.is_modified() {
        // Only a session that was issued here has an end.
        let cookie = match session.id().filter(|_| session.expiry().is_some()) {
            Some(id) => web.jar.set_session(id.to_string(), session.expiry_age().unsigned_abs()),
            None => web.jar.remove_session(),
        };
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// An id as the cookie's value has it.
fn cookie_id(opened: &OpenedSession) -> Id {
    Id(i128::from_le_bytes(*opened.id.as_bytes()))
}

fn session_id(id: Id) -> SessionId {
    SessionId::from_bytes(id.0.to_le_bytes())
}

fn at(time: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

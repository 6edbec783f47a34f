//! Every cookie we read or set: names, attributes, values.

use crate::config::{Config, Exposed};
use crate::domain::clock::Timestamp;
use crate::domain::encoding::{decode, encode};
use crate::domain::return_to::ReturnTo;
use crate::domain::seal::{KeyRing, Purpose, sha256};
use crate::domain::session::SessionId;
use crate::domain::sign_in::SignInIntent;
use crate::domain::transaction::Transaction;
use crate::flow::SESSIONS_MAX;
use crate::store::OpenedSession;
use axum::http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Sign-ins that one browser may have under way.
const PENDING_MAX: usize = 5;
/// How long a sign-in that took too long is remembered: who comes back to the tab after a week-end is told
/// so, and led to the page.
const EXPIRED_PENDING_TTL: Duration = Duration::from_secs(7 * 86_400);
/// How long a sign-out may take at the provider's pages.
const AFTER_SIGN_OUT: Duration = Duration::from_secs(3_600);
/// How long a language that was chosen is remembered.
const LANGUAGE_TTL: Duration = Duration::from_secs(365 * 86_400);
/// Bytes that their cookies may take together, so that requests stay far below 8 KB of headers.
const PENDING_BYTES: usize = 5_500;
/// Cookies of other sign-ins looked at: more are not ours, and each may cost a line to remove.
const MAX_PENDING_READ: usize = 20;
/// Cookies of one name that are looked at: browsers keep no more of a whole domain.
const COOKIES_MAX: usize = 200;
/// Bytes of a token in one cookie; browsers keep 4,096 with name and attributes.
const PIECE: usize = 3_800;
/// Pieces of a token that are put together at most.
const PIECES_MAX: usize = 5;
/// Sign-ins completed for one page within [`RECENT_WINDOW`] that look like a loop.
const LOOP_THRESHOLD: usize = 6;
/// Sign-ins remembered.
const MAX_RECENT: usize = 20;
const RECENT_WINDOW: Duration = Duration::from_secs(60);

/// Our cookies' names, attributes and seals.
#[derive(Debug)]
pub struct CookieJar {
    ring: Arc<KeyRing>,
    /// Our origin: a value sealed by another deployment with the same keys is not ours.
    origin: String,
    domain: Option<String>,
    secure: bool,
    session: String,
    pending: String,
    pending_age: Duration,
    recent: String,
    after: String,
    language: String,
    expose: Exposed,
}

impl CookieJar {
    /// The jar that `config` asks for.
    pub fn new(config: &Config, ring: Arc<KeyRing>) -> Self {
        let secure = config.server.public_url.is_https();
        let host = if secure { "__Host-" } else { "" };
        Self {
            ring,
            origin: config.server.public_url.as_str().to_owned(),
            domain: config.cookies.domain.clone(),
            secure,
            session: if secure { "__Secure-auth" } else { "auth" }.to_owned(),
            pending: format!("{host}auth-signin-"),
            pending_age: config.session.sign_in_timeout + EXPIRED_PENDING_TTL,
            recent: format!("{host}auth-recent"),
            after: format!("{host}auth-signout"),
            language: format!("{host}auth-language"),
            expose: config.cookies.expose,
        }
    }

    /// Whether tokens are set as cookies beside the session.
    pub fn exposes(&self) -> bool {
        self.expose.id_token || self.expose.access_token
    }

    /// The session ids that the browser sent, and one beyond the most that are looked at to show that there are more.
    pub fn session_ids(&self, headers: &HeaderMap) -> SessionCookies {
        let mut sent = SessionCookies::default();
        for (name, value) in pairs(headers) {
            if name != self.session.as_bytes() {
                continue;
            }
            sent.any = true;
            if let Some(id) = SessionId::parse(value).filter(|id| !sent.ids().contains(id)) {
                let Some(place) = sent.ids.get_mut(sent.count) else { break };
                *place = id;
                sent.count += 1;
            }
        }
        sent
    }

    /// All session ids that the browser sent: a sign-out has to reach the one behind those that a sibling has planted.
    pub fn all_session_ids(&self, headers: &HeaderMap) -> Vec<SessionId> {
        let sent = pairs(headers).filter(|(name, _)| *name == self.session.as_bytes());
        let mut ids = Vec::new();
        for id in sent.filter_map(|(_, value)| SessionId::parse(value)) {
            if ids.len() < COOKIES_MAX && !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// A `Set-Cookie` with the session cookie.
    pub fn set_session(&self, id: String, age: Duration) -> HeaderValue {
        value(self.shared(self.session.clone(), id, age))
    }

    /// A `Set-Cookie` that removes the session cookie with the attributes it was set with.
    pub fn remove_session(&self) -> HeaderValue {
        value(self.shared(self.session.clone(), String::new(), Duration::ZERO))
    }

    /// The cookie of a pending sign-in, and removals of the oldest others beyond what a browser may keep.
    pub fn set_pending(&self, headers: &HeaderMap, transaction: &Transaction, out: &mut HeaderMap) {
        let name = format!("{}{}", self.pending, Transaction::tag(&transaction.state()));
        let sealed = self.seal(&name, "sign-in", transaction);
        let mut kept = name.len() + sealed.len();
        let mut others: Vec<(String, usize, Option<Timestamp>)> = pairs(headers)
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
            .filter(|(name, _)| name.starts_with(&self.pending))
            .take(MAX_PENDING_READ)
            .map(|(name, value)| {
                // One that does not open is of no use to anybody: it counts as the oldest.
                let started = self.open::<Transaction>(name, "sign-in", value).map(|t| t.started);
                (name.to_owned(), name.len() + value.len(), started)
            })
            .collect();
        others.sort_by_key(|(_, _, started)| std::cmp::Reverse(*started));
        for (i, (other, size, started)) in others.into_iter().enumerate() {
            kept += size;
            if i + 2 > PENDING_MAX || kept > PENDING_BYTES || started.is_none() {
                out.append(SET_COOKIE, value(self.own(other, String::new(), Duration::ZERO)));
            }
        }
        out.append(SET_COOKIE, value(self.own(name, sealed, self.pending_age)));
    }

    /// The pending sign-in that `state` belongs to, and the removal of its cookie.
    pub fn take_pending(&self, headers: &HeaderMap, state: &str, out: &mut HeaderMap) -> Option<Transaction> {
        let name = format!("{}{}", self.pending, Transaction::tag(state));
        let (_, sealed) = pairs(headers).find(|(n, _)| *n == name.as_bytes())?;
        let transaction = self.open(&name, "sign-in", sealed);
        out.append(SET_COOKIE, value(self.own(name, String::new(), Duration::ZERO)));
        transaction
    }

    /// Notes a completed sign-in for `target` at `now`.
    pub fn note_sign_in(&self, headers: &HeaderMap, target: &ReturnTo, now: Timestamp, out: &mut HeaderMap) {
        let mut recent = self.recent(headers, now);
        recent.push((now, fingerprint(target)));
        let from = recent.len().saturating_sub(MAX_RECENT);
        let sealed = self.seal(&self.recent, "recent", &recent[from..]);
        out.append(SET_COOKIE, value(self.own(self.recent.clone(), sealed, RECENT_WINDOW)));
    }

    /// How many sign-ins of the last minute for the same `target` make a loop, if they do. Told once: the
    /// note is removed, so that the visitor can try again.
    pub fn is_looping(
        &self,
        headers: &HeaderMap,
        target: &ReturnTo,
        now: Timestamp,
        out: &mut HeaderMap,
    ) -> Option<usize> {
        let target = fingerprint(target);
        let recent = self.recent(headers, now).into_iter().filter(|(_, fingerprint)| *fingerprint == target).count();
        (recent >= LOOP_THRESHOLD).then(|| {
            out.append(SET_COOKIE, value(self.own(self.recent.clone(), String::new(), Duration::ZERO)));
            recent
        })
    }

    fn recent(&self, headers: &HeaderMap, now: Timestamp) -> Vec<(Timestamp, u32)> {
        let sealed = pairs(headers).find(|(name, _)| *name == self.recent.as_bytes());
        let recent: Option<Vec<(Timestamp, u32)>> =
            sealed.and_then(|(_, value)| self.open(&self.recent, "recent", value));
        recent.into_iter().flatten().filter(|(at, _)| *at + RECENT_WINDOW > now).collect()
    }

    /// What the sign-in that began last in this browser was asked for. Decides nothing: only where links lead.
    pub fn latest_pending(&self, headers: &HeaderMap) -> Option<SignInIntent> {
        let sent = pairs(headers).filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        let ours = sent.filter(|(name, _)| name.starts_with(&self.pending)).take(MAX_PENDING_READ);
        let open = ours.filter_map(|(name, value)| self.open::<Transaction>(name, "sign-in", value));
        open.max_by_key(|transaction| transaction.started).map(|transaction| transaction.intent)
    }

    /// Keeps what comes after the provider's logout while the browser is there.
    pub fn set_after_sign_out(&self, after: &SignOutTarget, out: &mut HeaderMap) {
        let sealed = self.seal(&self.after, "sign-out", after);
        out.append(SET_COOKIE, value(self.own(self.after.clone(), sealed, AFTER_SIGN_OUT)));
    }

    /// What comes after the provider's logout. A place to go to is told once; the page may be reloaded.
    pub fn take_after_sign_out(&self, headers: &HeaderMap, out: &mut HeaderMap) -> SignOutTarget {
        let sent = pairs(headers).find(|(name, _)| *name == self.after.as_bytes());
        let after = sent.and_then(|(_, sealed)| self.open(&self.after, "sign-out", sealed));
        if sent.is_some() && !matches!(after, Some(SignOutTarget::Page { .. })) {
            out.append(SET_COOKIE, value(self.own(self.after.clone(), String::new(), Duration::ZERO)));
        }
        after.unwrap_or(SignOutTarget::Page { everywhere: false })
    }

    /// Remembers the language that somebody chose on a page.
    pub fn set_language(&self, tag: &str, out: &mut HeaderMap) {
        out.append(SET_COOKIE, value(self.own(self.language.clone(), tag.to_owned(), LANGUAGE_TTL)));
    }

    /// The tag of the language that somebody chose on a page. Anybody can write anything there.
    pub fn language<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let (_, tag) = pairs(headers).find(|(name, _)| *name == self.language.as_bytes())?;
        std::str::from_utf8(tag).ok()
    }

    /// Sets the exposed tokens of `session` (none: removes them), in pieces where they are long.
    pub fn set_exposed(&self, headers: &HeaderMap, session: Option<(&OpenedSession, Timestamp)>, out: &mut HeaderMap) {
        for (wanted, kind) in [(self.expose.id_token, "id_token"), (self.expose.access_token, "access_token")] {
            if !wanted {
                continue;
            }
            let base = self.exposed_name(kind);
            let mut set = Vec::new();
            if let Some((opened, now)) = session
                && let Some(tokens) = &opened.tokens
            {
                let token = if kind == "id_token" { &tokens.id } else { &tokens.access };
                let token = token.expose_secret();
                if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)) {
                    continue; // no b64token (RFC 6750 §2.1): it would not survive a cookie
                }
                let age = opened.remaining(now);
                let pieces: Vec<&str> = split(token, PIECE);
                if pieces.len() > PIECES_MAX {
                    tracing::warn!(cookie = kind, bytes = token.len(), "token cookie not set: token too long");
                    continue;
                }
                for (i, piece) in pieces.iter().enumerate() {
                    let name = if pieces.len() == 1 { base.clone() } else { format!("{base}-{i}") };
                    out.append(SET_COOKIE, value(self.shared(name.clone(), (*piece).to_owned(), age)));
                    set.push(name);
                }
            }
            // What an earlier, longer or shorter token left behind.
            for (name, _) in pairs(headers) {
                let Ok(name) = std::str::from_utf8(name) else { continue };
                let ours = name == base || name.strip_prefix(&base).is_some_and(|rest| piece_number(rest).is_some());
                if ours && !set.iter().any(|s| s == name) {
                    out.append(SET_COOKIE, value(self.shared(name.to_owned(), String::new(), Duration::ZERO)));
                    set.push(name.to_owned());
                }
            }
        }
    }

    /// The exposed ID token that the browser sent, put together.
    pub fn exposed_id_token(&self, headers: &HeaderMap) -> Option<String> {
        if !self.expose.id_token {
            return None;
        }
        let base = self.exposed_name("id_token");
        let mut pieces: [Option<&[u8]>; PIECES_MAX] = Default::default();
        for (name, value) in pairs(headers) {
            if name == base.as_bytes() {
                return String::from_utf8(value.to_vec()).ok();
            }
            let rest = name.strip_prefix(base.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok());
            if let Some(place) = rest.and_then(piece_number).and_then(|i| pieces.get_mut(i)) {
                place.get_or_insert(value);
            }
        }
        let whole: Vec<u8> = pieces.iter().map_while(|piece| *piece).flatten().copied().collect();
        String::from_utf8(whole).ok().filter(|token| !token.is_empty())
    }

    fn exposed_name(&self, kind: &str) -> String {
        format!("{}{kind}", if self.secure { "__Secure-" } else { "" })
    }

    /// A cookie that every sibling receives.
    fn shared(&self, name: String, value: String, age: Duration) -> Cookie<'static> {
        let mut cookie = self.own(name, value, age);
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.clone());
        }
        cookie
    }

    /// A cookie for our own host.
    fn own(&self, name: String, value: String, age: Duration) -> Cookie<'static> {
        Cookie::build((name, value))
            .path("/")
            .secure(self.secure)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::try_from(age).unwrap_or(cookie::time::Duration::MAX))
            .build()
    }

    fn seal<T: Serialize + ?Sized>(&self, name: &str, label: &'static str, value: &T) -> String {
        let plain = encode(value);
        BASE64_URL_SAFE_NO_PAD.encode(self.ring.seal(self.purpose(name, label), &plain))
    }

    fn open<T: DeserializeOwned>(&self, name: &str, label: &'static str, sealed: &[u8]) -> Option<T> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let plain = self.ring.open(self.purpose(name, label), &sealed).ok()?;
        decode(&plain)
    }

    fn purpose<'a>(&'a self, name: &'a str, label: &'static str) -> Purpose<'a> {
        Purpose { label, context: name.as_bytes(), bound: self.origin.as_bytes() }
    }
}

/// What comes after the provider's logout.
#[derive(Debug, Serialize, Deserialize)]
pub enum SignOutTarget {
    /// A page that says so.
    Page {
        /// Whether all devices were signed out.
        everywhere: bool,
    },
    /// Elsewhere.
    To(ReturnTo),
    /// A sign-in, with a choice of accounts.
    SignIn(SignInIntent),
}

/// The session ids that a browser sent.
#[derive(Debug)]
pub struct SessionCookies {
    ids: [SessionId; SESSIONS_MAX + 1],
    count: usize,
    /// Whether there was a session cookie at all, readable or not.
    pub any: bool,
}

impl Default for SessionCookies {
    fn default() -> Self {
        Self { ids: [SessionId::from_bytes([0; 16]); SESSIONS_MAX + 1], count: 0, any: false }
    }
}

impl SessionCookies {
    /// The ids that can be read.
    pub fn ids(&self) -> &[SessionId] {
        &self.ids[..self.count]
    }
}

/// The name and value of each cookie in the request (RFC 6265 §4.2.1), over all `Cookie` lines.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|b| *b == b'=')?;
        Some((&pair[..at], &pair[at + 1..]))
    })
}

fn split(token: &str, size: usize) -> Vec<&str> {
    let mut rest = token;
    let mut pieces = Vec::new();
    while let Some((piece, more)) = rest.split_at_checked(size) {
        pieces.push(piece);
        rest = more;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn piece_number(rest: &str) -> Option<usize> {
    rest.strip_prefix('-').filter(|n| n.len() == 1)?.parse().ok()
}

/// Tells pages apart in few bytes; two that look alike only share a count.
fn fingerprint(target: &ReturnTo) -> u32 {
    let [a, b, c, d, ..] = sha256(target.as_str().as_bytes());
    u32::from_le_bytes([a, b, c, d])
}

fn value(cookie: Cookie<'static>) -> HeaderValue {
    // Names are ours and values base64url, tokens or empty: always a header value.
    HeaderValue::try_from(cookie.to_string()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::encoding::releases::written;
    use crate::domain::return_to::ReturnToPolicy;

    #[test]
    fn sign_outs_and_completed_sign_ins_of_any_release_are_known() {
        let url = url::Url::parse("https://auth.example.com/").unwrap();
        let to = ReturnToPolicy::new(url, vec![], None).parse("/next").unwrap();
        for (name, now) in [
            ("sign_out_page", SignOutTarget::Page { everywhere: true }),
            ("sign_out_to", SignOutTarget::To(to.clone())),
            ("sign_out_sign_in", SignOutTarget::SignIn(SignInIntent::plain(to))),
        ] {
            for bytes in written(name, &encode(&now)) {
                let read: SignOutTarget = decode(&bytes).unwrap();
                assert_eq!(format!("{read:?}"), format!("{now:?}"));
            }
        }
    }
}

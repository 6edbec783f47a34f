//! Whose page sent a request, by `Origin` and Fetch Metadata.

use super::Web;
use axum::http::header::{HeaderMap, HeaderValue, ORIGIN};

/// What a request says of the page that it comes from.
pub(super) struct RequestOrigin<'a> {
    web: &'a Web,
    headers: &'a HeaderMap,
}

/// Whose page sent a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormOrigin {
    /// One of ours.
    OwnPage,
    /// One of a site in `return_to.allow`, or nobody says: SameSite=Lax keeps the cookie from strangers' pages.
    Sibling,
    /// One of another site.
    Stranger,
}

impl<'a> RequestOrigin<'a> {
    pub(super) fn of(web: &'a Web, headers: &'a HeaderMap) -> Self {
        Self { web, headers }
    }

    /// Whether scripts of pages of `origin` may call us, and read what we say.
    pub(super) fn allows(web: &Web, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| web.rp.rules().return_to.allows_origin(origin))
    }

    /// The page's origin, if its scripts may read what we say.
    pub(super) fn allowed(&self) -> Option<&'a HeaderValue> {
        self.headers.get(ORIGIN).filter(|origin| Self::allows(self.web, origin))
    }

    /// Whether a page of a site that is not allowed asks: a browser names the page's origin in every request that
    /// changes something, a sibling's server names none.
    pub(super) fn is_foreign(&self) -> bool {
        !self.headers.get_all(ORIGIN).iter().all(|origin| Self::allows(self.web, origin))
    }

    /// Whether a person followed a link on one of our sites (Fetch Metadata): not an image in a comment there,
    /// not a browser that looks ahead.
    pub(super) fn is_own_navigation(&self) -> bool {
        matches!(self.site(), Some("same-origin" | "same-site"))
            && self.headers.get("sec-fetch-dest").is_none_or(|dest| dest == "document")
            && !self.headers.contains_key("sec-purpose")
    }

    /// Whose page sent a form.
    pub(super) fn of_form(&self) -> FormOrigin {
        let mut origins = self.headers.get_all(ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        if more.is_some() {
            return FormOrigin::Stranger;
        }
        // Our own pages send no referrer, and so `null`; as others may.
        match (origin.filter(|origin| *origin != "null"), self.site()) {
            (_, Some("cross-site")) => FormOrigin::Stranger,
            (Some(origin), _) if self.is_own(origin) => FormOrigin::OwnPage,
            (Some(_), Some("same-origin")) => FormOrigin::Stranger,
            (Some(origin), _) if Self::allows(self.web, origin) => FormOrigin::Sibling,
            (Some(_), _) => FormOrigin::Stranger,
            (None, Some("same-origin")) => FormOrigin::OwnPage,
            (None, Some("same-site")) if origin.is_some() => FormOrigin::Stranger,
            (None, _) => FormOrigin::Sibling,
        }
    }

    fn is_own(&self, origin: &HeaderValue) -> bool {
        let url = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
        url.is_some_and(|url| url.origin() == self.web.public_url.url().origin())
    }

    fn site(&self) -> Option<&'a str> {
        self.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok())
    }
}

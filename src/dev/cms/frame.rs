//! What every page has around it: the host of the request, its reader, and the links to the service.

use http::{HeaderMap, Uri, header};
use url::{Url, form_urlencoded};

use super::CmsSettings;
use super::visitor::CmsPerson;

/// The addresses this site answers under.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    main: SiteAddress,
    siblings: Vec<SiteAddress>,
    auth: String,
    site_name: String,
    has_people: bool,
}

/// One address: the URL without a slash at the end, and what `Host` says there.
#[derive(Clone, Debug)]
pub(super) struct SiteAddress {
    pub(super) url: String,
    authority: String,
    pub(super) host: String,
}

impl Addresses {
    /// `None` if an address is not an absolute URL with a host.
    pub(super) fn new(settings: &CmsSettings) -> Option<Self> {
        let siblings: Option<Vec<SiteAddress>> =
            settings.sibling_urls.iter().map(|url| SiteAddress::parse(url)).collect();
        Some(Self {
            main: SiteAddress::parse(&settings.public_url)?,
            siblings: siblings?,
            auth: settings.auth_base_public.trim_end_matches('/').to_owned(),
            site_name: settings.site_name.clone(),
            has_people: settings.database.is_some(),
        })
    }

    /// Whether a form was posted by a page of this site.
    pub(super) fn are_own(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
        std::iter::once(&self.main).chain(&self.siblings).any(|own| Some(own.url.as_str()) == origin)
    }

    /// The frame of a page. `Host` only chooses among the known addresses; it never becomes part of a link.
    pub(super) fn frame(&self, headers: &HeaderMap, uri: &Uri, person: Option<CmsPerson>) -> Frame {
        let authority = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let base =
            self.siblings.iter().find(|base| base.authority.eq_ignore_ascii_case(authority)).unwrap_or(&self.main);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let everywhere = std::iter::once(&self.main).chain(&self.siblings);
        Frame {
            elsewhere: everywhere.filter(|other| other.authority != base.authority).cloned().collect(),
            site_name: self.site_name.clone(),
            has_people: self.has_people,
            host: base.host.clone(),
            home: format!("{}/", base.url),
            here: format!("{}{path}", base.url),
            auth: self.auth.clone(),
            person,
        }
    }
}

impl SiteAddress {
    fn parse(url: &str) -> Option<Self> {
        let parsed = Url::parse(url).ok()?;
        let host = parsed.host_str()?.to_owned();
        let authority = parsed.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Some(Self { url: url.trim_end_matches('/').to_owned(), authority, host })
    }
}

/// One page's surroundings.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) site_name: String,
    pub(super) has_people: bool,
    pub(super) host: String,
    pub(super) elsewhere: Vec<SiteAddress>,
    pub(super) home: String,
    here: String,
    auth: String,
    pub(super) person: Option<CmsPerson>,
}

impl Frame {
    /// The address of this very page.
    pub(super) fn here(&self) -> &str {
        &self.here
    }

    /// Sign in and come back to this very page.
    pub(super) fn sign_in(&self) -> String {
        self.sign_in_with(&[])
    }

    pub(super) fn sign_in_google(&self) -> String {
        self.sign_in_with(&[("provider", "Google")])
    }

    /// Ask for credentials although there is a session.
    pub(super) fn sign_in_as_another(&self) -> String {
        self.sign_in_with(&[("prompt", "login")])
    }

    /// The script that says when the session is over.
    pub(super) fn session_script(&self) -> String {
        format!("{}/auth/assets/session.js?lang=en", self.auth)
    }

    /// The account page of the service.
    pub(super) fn account(&self) -> String {
        format!("{}/auth/account", self.auth)
    }

    /// Where the sign-out form posts to.
    pub(super) fn sign_out(&self) -> String {
        format!("{}/auth/signout", self.auth)
    }

    fn sign_in_with(&self, more: &[(&str, &str)]) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("return_to", &self.here)
            .extend_pairs(more)
            .finish();
        format!("{}/auth/signin?{query}", self.auth)
    }
}

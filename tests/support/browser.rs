//! A browser without a screen: it keeps cookies by their domain and follows a redirect when told.

use super::Site;
use reqwest::cookie::{CookieStore, Jar};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Response};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use url::Url;

pub(crate) struct Browser {
    client: Client,
    jar: Arc<Jar>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Every name is this machine.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs) })
    }
}

impl Browser {
    pub(crate) fn new() -> Self {
        // No test leaves this machine; the machine's own roots take long to read.
        Self::build(|builder| builder.tls_certs_only([]))
    }

    /// One that trusts a certificate of [`Site::over_https`].
    pub(crate) fn trusting(folder: &Path) -> Self {
        let pem = std::fs::read(folder.join("cert.pem")).unwrap();
        Self::build(|builder| builder.tls_certs_only([Certificate::from_pem(&pem).unwrap()]))
    }

    /// The same at another address of this machine than the services', maybe without HTTP/2.
    pub(crate) fn elsewhere(folder: &Path, address: IpAddr, http2: bool) -> Self {
        let pem = std::fs::read(folder.join("cert.pem")).unwrap();
        Self::build(|builder| {
            let builder = builder.tls_certs_only([Certificate::from_pem(&pem).unwrap()]).local_address(address);
            if http2 { builder } else { builder.http1_only() }
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
    fn build(shape: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let jar = Arc::new(Jar::default());
        let client = shape(Client::builder())
            .cookie_provider(jar.clone())
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Loopback)
            .no_proxy()
            .build()
            .unwrap();
        Self { client, jar }
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, |request| request).await
    }

    /// The status, if anybody answers.
    pub(crate) async fn try_get(&self, url: &str) -> Option<u16> {
        self.client.get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }

    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> Answer {
        // As from a page of the same site.
        self.send(Method::POST, url, |request| request.header("sec-fetch-site", "same-origin").form(form)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        shape: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let response = self.response(method, url, shape).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { url: url.parse().unwrap(), status, headers, body: response.text().await.unwrap() }
    }

    /// An answer whose body nobody has read.
    pub(crate) async fn response(
        &self,
        method: Method,
        url: &str,
        shape: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        shape(self.client.request(method, url)).send().await.unwrap()
    }

    /// The `Cookie` header that would go to `url`.
    pub(crate) fn cookies(&self, url: &str) -> String {
        let header = self.jar.cookies(&url.parse().unwrap());
        header.map_or(String::new(), |header| header.to_str().unwrap().to_owned())
    }

    /// Sets a cookie as a page of `url` could.
    pub(crate) fn plant(&self, url: &str, cookie: &str) {
        self.jar.add_cookie_str(cookie, &url.parse().unwrap());
    }

    /// From `/auth/signin` through the hosted UI as `user`, up to the address of our callback.
    pub(crate) async fn to_callback(&self, site: &Site, query: &str, user: &str) -> String {
        let authorize = self.get(&site.auth(&format!("/auth/signin?{query}"))).await.location();
        self.log_in(&authorize, user).await
    }

    /// At the hosted UI's authorize endpoint: logs in and returns where it sends us.
    pub(crate) async fn log_in(&self, authorize: &str, user: &str) -> String {
        let mut next = self.get(authorize).await.location();
        if next.contains("/auth/signin/callback") {
            return next; // the pool's own session answered
        }
        let identity = match user {
            "gary" => Some("108347000000000000001"),
            "fay" => Some("2621595607852741"),
            _ => None,
        };
        if identity.is_some() && !next.contains("/pretend/") {
            let provider = if user == "gary" { "Google" } else { "Facebook" };
            next = self.get(&format!("{authorize}&identity_provider={provider}")).await.location();
        }
        let page = self.get(&next).await;
        let csrf = page.between("name=\"_csrf\" value=\"", "\"");
        let form = match identity {
            Some(identity) => vec![("_csrf", csrf.as_str()), ("identity", identity)],
            None => vec![("_csrf", csrf.as_str()), ("username", user), ("password", "Passw0rd!")],
        };
        self.post(&next, &form).await.location()
    }

    /// Signs in and returns the callback's answer.
    pub(crate) async fn sign_in(&self, site: &Site, user: &str) -> Answer {
        let callback = self.to_callback(site, "", user).await;
        self.get(&callback).await
    }

    /// What `/validate` says to a bearer token.
    pub(crate) async fn send_bearer(&self, site: &Site, token: &str) -> u16 {
        self.send(Method::GET, &site.auth("/validate"), |request| request.bearer_auth(token)).await.status
    }

    /// Who `/validate` says we are.
    pub(crate) async fn validate(&self, site: &Site) -> Answer {
        self.get(&site.auth("/validate")).await
    }
}

impl Answer {
    /// Where it redirects to.
    pub(crate) fn location(&self) -> String {
        let to = self.header(LOCATION.as_str()).unwrap_or_else(|| panic!("no redirect: {self:?}"));
        // What we send is always absolute; the pool's may be relative.
        if to.starts_with('/') { self.url.join(to).unwrap().into() } else { to.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The `Set-Cookie` lines that start so.
    pub(crate) fn set_cookies(&self, start: &str) -> Vec<&str> {
        let lines = self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap());
        lines.filter(|line| line.starts_with(start)).collect()
    }

    pub(crate) fn between(&self, from: &str, to: &str) -> String {
        let start = self.body.find(from).unwrap_or_else(|| panic!("no {from} in {}", self.body)) + from.len();
        self.body[start..].split(to).next().unwrap().to_owned()
    }

    /// The problem's stable name (RFC 9457 `type`).
    pub(crate) fn problem(&self) -> String {
        let json = self.json();
        assert_eq!(json["status"], self.status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        json["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
    }
}

/// A parameter of a URL's query.
pub(crate) fn param(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

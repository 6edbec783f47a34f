//! The app client of another program on this machine, which has the dev pool for its Cognito.

use super::pool::AppClient;
use url::{Host, Url};

/// Its `client_id`.
pub const YOUR_APP: &str = "your-app";
/// Its secret.
pub const YOUR_APP_SECRET: &str = "your-app-secret";

/// An app client for the authorization code flow that comes back to these addresses.
pub fn app_client(callbacks: Vec<String>, signouts: Vec<String>) -> AppClient {
    AppClient { callback_urls: callbacks, logout_urls: signouts, ..AppClient::web(YOUR_APP, YOUR_APP_SECRET) }
}

/// A callback or sign-out URL, as Cognito takes them: it stays as it is written, since it is compared byte for byte.
///
/// # Errors
/// A sentence.
pub fn callback_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| {
        "this is not an absolute URL: write it with its scheme, http://localhost:3000/callback".to_owned()
    })?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback() && ip.octets() == [127, 0, 0, 1],
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if text.contains('#') {
        return Err("a callback URL has no fragment: leave out # and what follows".to_owned());
    }
    if text.len() > 1024 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("Cognito takes 1024 characters at most, without spaces".to_owned());
    }
    match url.scheme() {
        "http" if !loopback => {
            Err("Cognito takes http for localhost, 127.0.0.1 and [::1] only: write https, or one of these hosts"
                .to_owned())
        }
        "javascript" | "data" | "file" | "vbscript" | "blob" => {
            Err("nothing can be sent to this scheme: write https, http://localhost, or a scheme of your own".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

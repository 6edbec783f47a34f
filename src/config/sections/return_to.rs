//! `[return_to]`: where a browser may be sent after sign-in and sign-out.

use url::Url;

use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{list, section, text};
use crate::config::values::hosts;
use crate::config::values::urls;
use crate::domain::host::AllowedHost;

section! {
    return_to: "Where a browser may be sent after sign-in and sign-out. Anything else is an open redirect.";
    ReturnToConfig / RawReturnTo

    /// Where people go when they came from nowhere, or from a place that is not allowed.
    /// Absent: a plain page that says they are signed in.
    default: Option<Url> = text(urls::web_url).optional("https://cms.example.com/").reloads();

    /// Hosts that may be returned to, each with its subdomains and all its ports. A host outside cookies.domain
    /// does not receive the session cookie and is written "external:partner.test" to show that this is meant.
    /// Absent: cookies.domain, or the host of server.public_url without one.
    allow: Option<Vec<AllowedHost>> = list(hosts::allowed_host)
        .optional("example.com,external:partner.test")
        .reloads();
}

//! `[pages]`: what the pages for people say about who runs them.

use url::Url;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{section, text};
use crate::config::values::hosts::host_name;
use crate::config::values::urls::secure_url;
use crate::domain::host::ip;

section! {
    pages: "The pages of this service that people see.";
    PagesConfig / RawPages

    /// Whom people can ask, shown on error pages with the reference that is in the log: an e-mail address or an https
    /// address.
    support: Option<Support> = text(support).optional("help@example.com");
}

/// Whom people can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// An e-mail address that a `mailto:` link can hold as it is.
    Mail(String),
    /// A page.
    Page(Url),
}

/// Longer addresses are refused (RFC 5321 §4.5.3.1.3).
const MAIL_MAX: usize = 254;

fn support(text: &str) -> Result<Support, Mistake> {
    let instead = "Write an address such as `help@example.com`, or a page such as `https://help.example.com/`.";
    if text.starts_with("mailto:") {
        return Err(Mistake::new("The link is made from the address alone.", "Write the address without `mailto:`."));
    }
    if text.contains("://") {
        let page = secure_url(text, "anybody on the way could answer in your place.")?;
        return Ok(Support::Page(page));
    }
    let refused = |what: &str| Err(Mistake::new(format!("{} {what}", shown(text)), instead));
    let Some((local, host)) = text.rsplit_once('@') else {
        return refused("is neither an e-mail address nor a web address.");
    };
    // Those of RFC 5322's that mean nothing in a URL.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    if local.is_empty() || dots || !local.bytes().all(plain) || text.len() > MAIL_MAX {
        return refused("is not an e-mail address that fits into a link.");
    }
    let host = host_name(host)?;
    if !host.contains('.') || ip(&host).is_some() {
        return refused("has no mail host that the world can reach.");
    }
    Ok(Support::Mail(format!("{local}@{host}")))
}

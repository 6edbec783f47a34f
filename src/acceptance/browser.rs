//! Whoever signs in: a person, or this program at a plain form.

use super::landing::Landing;
use super::loopback::PersonsBrowser;
use super::password_form::FormBrowser;
use url::Url;

/// Whoever signs in.
#[derive(Debug)]
pub(super) enum TestBrowser {
    Person(PersonsBrowser),
    Form(FormBrowser),
}

impl TestBrowser {
    /// Goes to an address, as far as it comes back.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn visit(
        &mut self,
        address: &Url,
        state: Option<&str>,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Landing, String> {
        match self {
            Self::Person(browser) => browser.visit(address, state, say).await,
            Self::Form(browser) => browser.visit(address).await,
        }
    }

    pub(super) fn is_person(&self) -> bool {
        matches!(self, Self::Person(_))
    }

    pub(super) fn finish(&mut self) {
        if let Self::Person(browser) = self {
            browser.finish();
        }
    }
}

//! Every sentence that people read on our pages. A language is one file with a [`Words`].

mod english;

pub(super) use english::ENGLISH;

/// The words of the pages. Problems for programs (RFC 9457) are in English whatever it is.
pub(super) const PAGES: &Words = &ENGLISH;

use super::problem::Problem;

/// The sentences of a language.
#[derive(Debug)]
pub(super) struct Words {
    /// The language's tag (BCP 47), for the `lang` of the pages.
    pub(super) language: &'static str,

    /// The title of a problem, and what it means for the person.
    pub(super) problem: fn(Problem) -> (&'static str, &'static str),
    /// The same for an address where there is nothing (404).
    pub(super) not_found: (&'static str, &'static str),
    /// The same for an address that people do not open (405).
    pub(super) no_page: (&'static str, &'static str),
    /// Before a quotation of the provider's own text.
    pub(super) provider_says: &'static str,
    /// Before whom to ask, for somebody whose account may not do something.
    pub(super) ask_for_access: &'static str,
    /// Before whom to ask.
    pub(super) ask_for_help: &'static str,
    /// Whom to ask where nobody is named.
    pub(super) operators: &'static str,
    /// Between whom to ask and the reference.
    pub(super) mention_reference: &'static str,

    // Buttons and links.
    pub(super) try_again: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) sign_in_again: &'static str,
    pub(super) another_account: &'static str,
    pub(super) another_provider: &'static str,
    pub(super) back_to: fn(&str) -> String,
    pub(super) sign_out: &'static str,
    pub(super) start_page: &'static str,
    pub(super) go_on: &'static str,

    // The front page.
    pub(super) signed_in: &'static str,
    /// Before and after the person's name.
    pub(super) welcome: (&'static str, &'static str),
    pub(super) not_signed_in: &'static str,

    // Signing out.
    pub(super) sign_out_question: &'static str,
    /// Before and after the person's name.
    pub(super) signed_in_as: (&'static str, &'static str),
    pub(super) sign_out_effect: &'static str,
    pub(super) on_other_devices: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) signed_out_here: &'static str,
    pub(super) signed_out_everywhere: &'static str,
}

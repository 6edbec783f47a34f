//! Every sentence that people read on our pages. A language is one file that implements [`Words`].

mod english;

pub(super) use english::English;

use super::problem::Problem;

/// The sentences of a language; one that is missing does not compile.
pub(super) trait Words: std::fmt::Debug + Sync {
    /// The language's tag (BCP 47), for the `lang` of the pages.
    fn language(&self) -> &'static str;

    /// The title of a problem, and what it means for the person.
    fn problem(&self, problem: Problem) -> (&'static str, &'static str);
    /// The same for an address where there is nothing (404).
    fn not_found(&self) -> (&'static str, &'static str);
    /// The same for an address that people do not open (405).
    fn no_page(&self) -> (&'static str, &'static str);
    /// Before a quotation of the provider's own text.
    fn provider_says(&self) -> &'static str;
    /// Before whom to ask, for somebody whose account may not do something.
    fn ask_for_access(&self) -> &'static str;
    /// Before whom to ask.
    fn ask_for_help(&self) -> &'static str;
    /// Whom to ask where nobody is named.
    fn operators(&self) -> &'static str;
    /// Between whom to ask and the reference.
    fn mention_reference(&self) -> &'static str;

    // Buttons and links.
    fn try_again(&self) -> &'static str;
    fn sign_in(&self) -> &'static str;
    fn sign_in_again(&self) -> &'static str;
    fn another_account(&self) -> &'static str;
    fn another_provider(&self) -> &'static str;
    fn back_to(&self, host: &str) -> String;
    fn sign_out(&self) -> &'static str;
    fn start_page(&self) -> &'static str;
    fn go_on(&self) -> &'static str;

    // The front page.
    fn signed_in(&self) -> &'static str;
    /// Before and after the person's name.
    fn welcome(&self) -> (&'static str, &'static str);
    fn not_signed_in(&self) -> &'static str;

    // Signing out.
    fn sign_out_question(&self) -> &'static str;
    /// Before and after the person's name.
    fn signed_in_as(&self) -> (&'static str, &'static str);
    fn sign_out_effect(&self) -> &'static str;
    fn on_other_devices(&self) -> &'static str;
    fn signed_out(&self) -> &'static str;
    fn signed_out_here(&self) -> &'static str;
    fn signed_out_everywhere(&self) -> &'static str;
}

//! English.

use super::Words;
use crate::web::problem::{AccessProblem, Problem, RequestProblem, ServiceProblem, SessionProblem, SignInProblem};

/// English, which the titles of RFC 9457 problems are in, too.
pub(in crate::web) static ENGLISH: Words = Words {
    language: "en",
    problem,
    not_found: ("There is nothing here", "The address may be mistyped, or it was only good for a moment."),
    no_page: (
        "This is no page",
        "This address is for programs, or for a form that was sent before. Nothing was changed.",
    ),
    provider_says: "The sign-in service says:",
    ask_for_access: "To get access, ask",
    ask_for_help: "If you need help, ask",
    operators: "the people who run this site",
    mention_reference: "and mention this reference:",
    try_again: "Try again",
    sign_in: "Sign in",
    sign_in_again: "Sign in again",
    another_account: "Use another account",
    another_provider: "Sign in another way",
    back_to: |host| format!("Back to {host}"),
    sign_out: "Sign out",
    start_page: "Start page",
    go_on: "Go on",
    signed_in: "You are signed in",
    welcome: ("Welcome, ", ". You can close this page or go on to any of our sites."),
    not_signed_in: "You are not signed in. One sign-in is good for all of our sites.",
    sign_out_question: "Sign out?",
    signed_in_as: ("You are signed in as ", ". "),
    sign_out_effect: "This signs you out of all of our sites in this browser.",
    on_other_devices: "Also on all my other devices",
    signed_out: "You are signed out",
    signed_out_here: "You are signed out of all of our sites in this browser.",
    signed_out_everywhere: "You are signed out of all of our sites on all of your devices.",
};

fn problem(problem: Problem) -> (&'static str, &'static str) {
    match problem {
        Problem::SignIn(problem) => sign_in(problem),
        Problem::Session(problem) => session(problem),
        Problem::Access(problem) => access(problem),
        Problem::Request(problem) => request(problem),
        Problem::Service(problem) => service(problem),
    }
}

fn sign_in(problem: SignInProblem) -> (&'static str, &'static str) {
    const NOT_SIGNED_IN: &str = "You could not be signed in";
    match problem {
        SignInProblem::InvalidCallback => (
            "This sign-in link is not valid",
            "The answer that came back from the sign-in page is not one we can use. Please start again.",
        ),
        SignInProblem::Expired => (
            "That took too long",
            "The sign-in was open for too long and was closed. Try again: it leads to the page that you wanted.",
        ),
        SignInProblem::Unknown => (
            "This sign-in was not started here",
            "The sign-in was begun in another browser, was already used, or its cookie is gone. Please start again.",
        ),
        SignInProblem::Cancelled => ("Sign-in cancelled", "You are not signed in, and nothing has changed."),
        SignInProblem::CodeNotAccepted => {
            ("This sign-in can no longer be finished", "It was already used or has run out. Please start again.")
        }
        SignInProblem::TokenNotAccepted => (
            "The sign-in could not be verified",
            "The answer of the sign-in service did not pass our checks, so nobody was signed in. If this happens again, tell the people who run this site.",
        ),
        SignInProblem::AuthenticationRevoked => (
            "You were signed out of this browser",
            "You, or somebody who may, ended your sign-in here from another place. The sign-in service should have asked you to sign in again, and did not. Sign out there, or close this browser's windows, and try again.",
        ),
        SignInProblem::InsufficientAuthentication => (
            "A stronger sign-in is needed",
            "The page that you asked for wants you to have signed in just now, or with a second factor, and the sign-in service has not done that. You are signed in as before.",
        ),
        SignInProblem::RedirectLoop => (
            "You are going round in circles",
            "You were signed in several times within a minute, and the site sent you back here each time. It probably does not receive the session cookie: it may be on another domain than the cookie, or the browser blocks cookies.",
        ),
        SignInProblem::InteractionRequired => {
            (NOT_SIGNED_IN, "You are not signed in at the sign-in service. Please sign in.")
        }
        SignInProblem::ProviderFault => {
            (NOT_SIGNED_IN, "The sign-in service has a problem of its own right now. Please try again in a moment.")
        }
        SignInProblem::ClientNotAccepted => (
            NOT_SIGNED_IN,
            "The sign-in service does not know this site well enough. The people who run it have to mend that.",
        ),
        SignInProblem::Refused => (NOT_SIGNED_IN, "The sign-in service did not accept this account or this sign-in."),
    }
}

fn session(problem: SessionProblem) -> (&'static str, &'static str) {
    match problem {
        SessionProblem::Anonymous => ("Not signed in", "Please sign in to go on."),
        SessionProblem::InvalidCredentials => ("The credentials are not valid", "Please sign in again."),
        SessionProblem::Ambiguous => (
            "You are signed in as two people at once",
            "This browser holds the sign-ins of two accounts, and we cannot know which is yours. Sign in again; if this page comes back, remove this site's cookies in the browser's settings.",
        ),
        SessionProblem::InsufficientAuthentication => {
            ("Please sign in once more", "This page wants you to have signed in just now, or with a second factor.")
        }
        SessionProblem::Ended => ("Your session is over", "Please sign in again."),
    }
}

fn access(problem: AccessProblem) -> (&'static str, &'static str) {
    match problem {
        AccessProblem::Denied => (
            "This account may not see that",
            "You are signed in, but this page is not open to the account that you use.",
        ),
        AccessProblem::NotAdmitted => (
            "This account may not sign in here",
            "The sign-in worked, but our sites are not open to the account that you used.",
        ),
        AccessProblem::ProxyNotTrusted => (
            "This site is not set up yet",
            "The people who run it have not told us yet that we may answer for it. Tell them about this page.",
        ),
        AccessProblem::OriginNotAllowed => {
            ("This came from another site", "For your safety, pages of other sites may not do this.")
        }
        AccessProblem::Signature => {
            ("The signature is not valid", "This address is for the triggers of the user pool.")
        }
        AccessProblem::AttributeNotWritable => {
            ("This may not be changed here", "Ask the people who run this site to change it.")
        }
    }
}

fn request(problem: RequestProblem) -> (&'static str, &'static str) {
    const NOT_VALID: &str = "This request is not valid.";
    match problem {
        RequestProblem::ForwardedRequest => (
            "The page address cannot be used",
            "The address of the page that you asked for is one that we do not pass on.",
        ),
        RequestProblem::Requirement => ("The requirement cannot be understood", NOT_VALID),
        RequestProblem::Body => ("The body cannot be read", NOT_VALID),
        RequestProblem::AttributeRejected => {
            ("The change was not accepted", "The account service did not accept a value. Nothing was changed.")
        }
        RequestProblem::LogoutToken => ("The logout token is not accepted", NOT_VALID),
        RequestProblem::NoSuchSession => {
            ("There is no such session", "It may have ended already. Nothing else was changed.")
        }
        RequestProblem::TooMany => ("There were too many requests", "Please try again in a moment."),
        RequestProblem::Query => ("The query cannot be understood", NOT_VALID),
        RequestProblem::NoSuchUser => ("There is no such user", "Nothing is known of this person here."),
        RequestProblem::InvalidTarget => {
            ("This sign-in is not offered here", "It was to be for a service that we do not know.")
        }
        RequestProblem::NotOffered => {
            ("This is not offered here", "The people who run this site have not switched it on.")
        }
    }
}

fn service(problem: ServiceProblem) -> (&'static str, &'static str) {
    const NOT_YOURS: &str = "Nothing is wrong with your account. Please try again in a moment.";
    const OURS: &str = "This is our fault and should pass. Please try again in a moment.";
    match problem {
        ServiceProblem::ProviderUnavailable => ("The sign-in service cannot be reached", NOT_YOURS),
        ServiceProblem::RenewalUnavailable => ("The session cannot be renewed now", NOT_YOURS),
        ServiceProblem::AuditUnavailable => ("Nobody can sign in right now", OURS),
        ServiceProblem::StoreUnavailable | ServiceProblem::Timeout => {
            ("We cannot look up your session right now", OURS)
        }
        ServiceProblem::DirectoryUnavailable => ("We cannot look up people right now", OURS),
        ServiceProblem::Overloaded => {
            ("Too many people are here right now", "Nothing is lost. Please try again in a few seconds.")
        }
        ServiceProblem::ProviderFailed => (
            "The sign-in service gave an unexpected answer",
            "Nobody was signed in. If this happens again, tell the people who run this site.",
        ),
        ServiceProblem::NoCredentials => {
            ("AWS gives no credentials", "This is our fault. Tell the people who run this site.")
        }
    }
}

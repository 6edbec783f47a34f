//! Something to read.

/// One article.
#[derive(Clone, Copy, Debug)]
pub(super) struct Article {
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) teaser: &'static str,
    pub(super) minutes: u8,
    pub(super) paragraphs: &'static [&'static str],
}

/// All of them, in the order of the front page.
pub(super) const ARTICLES: [Article; 3] = [
    Article {
        slug: "one-cookie",
        title: "One cookie for the whole family",
        teaser: "Sites under one parent domain can share a single sign-in without sharing a single secret.",
        minutes: 2,
        paragraphs: &[
            "When you signed in, the sign-in service gave your browser one cookie for the parent domain. \
             Every site under it receives that cookie with each request, this one included.",
            "The cookie is a random number. It says nothing about you and cannot be read by the pages you visit. \
             This site hands it back to the service and asks who you are; the service answers, or does not.",
            "Open this site under its other host name and you are still signed in. Nothing was copied, \
             and nobody asked you for a password a second time.",
        ],
    },
    Article {
        slug: "asking-at-the-door",
        title: "Asking at the door",
        teaser: "How this site learns your name: one request to the service, and no library.",
        minutes: 3,
        paragraphs: &[
            "Before it shows you anything, this site sends your cookies to /validate. The answer is a status and, \
             if you are known, a small document with your name, your groups and the end of your session.",
            "200 means come in. 401 means nobody is signed in, so you are sent to the sign-in page and return \
             to the very page you wanted. 403 means you are known, but this room is for others.",
            "If the service does not answer, this site says so instead of guessing. A door that opens \
             whenever the doorman is asleep is not a door.",
        ],
    },
    Article {
        slug: "leaving-properly",
        title: "Leaving properly",
        teaser: "Why signing out takes three steps, and why you only notice one.",
        minutes: 2,
        paragraphs: &[
            "The sign-out button posts a form to the service. The service ends your session on its own side first, \
             so that the cookie is worthless from that moment on, wherever a copy of it may be.",
            "Then it tells the identity provider to forget you, because otherwise the next click on \"Sign in\" would \
             let you straight back in without a question.",
            "Then you are here again, on the public front page, as a stranger. Welcome back.",
        ],
    },
];

pub(super) fn find(slug: &str) -> Option<&'static Article> {
    ARTICLES.iter().find(|article| article.slug == slug)
}

//! Sign-ins that wait for something after the password: the hosted UI and the API go on with the same sessions.

use super::random;
use std::collections::HashMap;

/// `AuthSessionValidity` of an app client.
const SECONDS: i64 = 180;
/// As long as the code in the mail.
const MAIL_SECONDS: i64 = 24 * 3_600;

/// What a sign-in waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The code of a sign-up.
    ConfirmSignUp,
    /// The code for a new password; the user may not exist.
    ForgotPassword,
    /// A password in place of the temporary one.
    NewPassword,
    /// A code of the authenticator app.
    SoftwareToken,
    /// An authenticator app, where the pool wants one.
    SoftwareTokenSetup,
    /// Nothing more: the new app has shown its first code.
    SoftwareTokenReady,
}

/// One sign-in that waits.
#[derive(Clone, Debug)]
pub(super) struct ChallengeSession {
    pub(super) client_id: String,
    /// As it was typed for [`Challenge::ForgotPassword`], else the name in the pool.
    pub(super) username: String,
    pub(super) challenge: Challenge,
}

/// All of them, by `Session`, with the end of its life.
#[derive(Default)]
pub(super) struct ChallengeSessions(HashMap<String, (ChallengeSession, i64)>);

impl ChallengeSessions {
    pub(super) fn open(&mut self, client_id: &str, username: &str, challenge: Challenge, now: i64) -> String {
        self.0.retain(|_, (_, expires_at)| *expires_at > now);
        let mailed = matches!(challenge, Challenge::ConfirmSignUp | Challenge::ForgotPassword);
        let expires_at = now.saturating_add(if mailed { MAIL_SECONDS } else { SECONDS });
        let session = ChallengeSession { client_id: client_id.to_owned(), username: username.to_owned(), challenge };
        let id = random::text(64);
        self.0.insert(id.clone(), (session, expires_at));
        id
    }

    pub(super) fn get(&self, id: &str, now: i64) -> Option<ChallengeSession> {
        self.0.get(id).filter(|(_, expires_at)| *expires_at > now).map(|(session, _)| session.clone())
    }

    pub(super) fn close(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Ends those of a user who is deleted.
    pub(super) fn forget(&mut self, username: &str) {
        self.0.retain(|_, (session, _)| session.username != username);
    }
}

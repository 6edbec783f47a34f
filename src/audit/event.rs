//! What is recorded: one variant for each event, with the fields that its record has.

use crate::domain::clock::Timestamp;
use crate::domain::untrusted::UntrustedText;
use serde::Serialize;
use std::fmt::Display;
use utoipa::ToSchema;

/// A longer text is cut, characters.
const TEXT_MAX: usize = 256;
/// The same of a list in one text: scopes, changed keys.
const LIST_MAX: usize = 1_024;

/// Text as a record shows it: cut to 256 characters, and without control characters.
pub fn text(text: impl Display) -> UntrustedText {
    UntrustedText::up_to(TEXT_MAX, text)
}

/// The same for a list, up to 1,024 characters.
pub fn list(text: impl Display) -> UntrustedText {
    UntrustedText::up_to(LIST_MAX, text)
}

/// Something that an auditor asks about. No variant has room for a secret: no token, cookie, code or secret of a client.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AuditEvent {
    /// The service began to listen.
    ServiceStarted {
        /// Its version and commit.
        version: &'static str,
    },
    /// The service was told to end, and did.
    ServiceStopped {},
    /// A person signed in: the browser is about to receive the cookie of a new session.
    SignIn {
        /// The user (`sub`).
        sub: UntrustedText,
        /// The name in the pool.
        username: UntrustedText,
        /// The identity provider; none for users of the pool itself.
        provider: Option<UntrustedText>,
        /// The session's handle, as in the user's list. It opens nothing.
        session: String,
    },
    /// A sign-in came back to the callback and did not work out.
    SignInFailed {
        /// Why, as the label `outcome` of the metric `auth_api_sign_ins_total`.
        reason: &'static str,
        /// The user, where the provider's answer was good.
        sub: Option<UntrustedText>,
        /// The error code of the provider, or what is missing.
        detail: Option<UntrustedText>,
    },
    /// A browser signed out.
    SignOut {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
        /// Whether the user's other sessions were to end as well; each of these has a record of its own.
        everywhere: bool,
    },
    /// A session ended by something other than its own sign-out or its time.
    SessionEnded {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
        /// By whom or what.
        by: SessionEndedBy,
    },
    /// All sessions that were started up to a time ended.
    AllSessionsEnded {
        /// The time, epoch seconds.
        #[schema(value_type = u64)]
        until: Timestamp,
    },
    /// A program was handed an access token (RFC 6749 §4.4).
    TokenIssued {
        /// The registered client, or the app client.
        client: UntrustedText,
        /// Who is responsible for the registered client.
        owner: Option<UntrustedText>,
        /// The `sub` of the user whom the client acts for.
        on_behalf_of: Option<UntrustedText>,
        /// Its scopes, separated by spaces.
        scopes: UntrustedText,
        /// The API that it was asked for (RFC 8707).
        resource: Option<UntrustedText>,
        /// Whether it was fetched before, and not for this request.
        cached: bool,
    },
    /// A program was refused a token.
    TokenRefused {
        /// Why, as the label `outcome` of the metric `auth_api_machine_tokens_total`.
        reason: &'static str,
    },
    /// A program gave a token back (RFC 7009).
    TokenRevoked {
        /// The registered client, or the app client.
        client: UntrustedText,
        /// Who is responsible for the registered client.
        owner: Option<UntrustedText>,
        /// The token's scopes, separated by spaces.
        scopes: UntrustedText,
    },
    /// A person, or a guest, was handed temporary AWS credentials.
    AwsCredentialsIssued {
        /// The user; none for a guest.
        sub: Option<UntrustedText>,
        /// The session's handle; none for a guest.
        session: Option<String>,
    },
    /// A person changed attributes of the account.
    AccountChanged {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
        /// The names of the attributes, separated by spaces. Their values are not recorded.
        attributes: UntrustedText,
    },
    /// A person added or removed a way to sign in.
    FactorChanged {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
        /// `authenticator_app` or `passkey`.
        factor: &'static str,
        /// Whether it was added; else it was removed.
        added: bool,
    },
    /// A person took away what is stored about the account.
    AccountExported {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
    },
    /// A person deleted the account. Each session that ended with it has a record of its own.
    AccountDeleted {
        /// The user.
        sub: UntrustedText,
        /// The session's handle.
        session: String,
    },
    /// A program read the directory of people.
    DirectoryRead {
        /// The registered client, or the app client.
        client: UntrustedText,
        /// Who is responsible for the registered client.
        owner: Option<UntrustedText>,
        /// Whom it asked about: a `sub` or an e-mail address; none for the list of changes.
        about: Option<UntrustedText>,
        /// How many people it was told of.
        users: usize,
    },
    /// A known user or program was refused (403).
    Denied {
        /// The user or program.
        sub: UntrustedText,
        /// The further issuer whose `sub` that is.
        issuer: Option<UntrustedText>,
        /// The registered client, if it is one.
        client: Option<UntrustedText>,
        /// The page without its query, where one is known.
        page: Option<UntrustedText>,
        /// The rule that decided; none for a requirement of the caller.
        rule: Option<UntrustedText>,
        /// What is missing.
        missing: UntrustedText,
    },
    /// An operator ran a command. What it ended has records of its own where the service did it.
    OperatorCommand {
        /// The command as it is typed, without its arguments.
        command: &'static str,
        /// The user id (Unix) of who ran it, where the system tells.
        uid: Option<u32>,
        /// What it was about: a user's `sub`, an e-mail address, or a client.
        about: Option<UntrustedText>,
        /// One session only: its handle.
        session: Option<UntrustedText>,
        /// Whether it was done.
        done: bool,
    },
    /// A changed configuration was taken up.
    ConfigurationReloaded {
        /// `SIGHUP` or `changed files`.
        cause: &'static str,
        /// The keys that changed, separated by spaces, without their values.
        changed: UntrustedText,
    },
    /// A changed configuration was refused; the one before stays in use. The log has the mistakes.
    ConfigurationRefused {
        /// `SIGHUP` or `changed files`.
        cause: &'static str,
    },
    /// Records that were left out, since strangers caused too many of them.
    RecordsSuppressed {
        /// The event that they were of.
        suppressed: &'static str,
        /// How many.
        count: u64,
    },
}

/// What ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEndedBy {
    /// Its user, at another session.
    User,
    /// An operator's command.
    Operator,
    /// The provider's back-channel logout.
    BackchannelLogout,
    /// The provider's front-channel logout.
    FrontchannelLogout,
    /// `session.per_user`: the user has newer ones.
    SessionLimit,
    /// The provider no longer accepts its refresh token.
    ProviderRefusal,
    /// The policy no longer admits its user.
    Policy,
    /// Another sign-in in the same browser.
    NewSignIn,
    /// Its user deleted the account.
    AccountDeleted,
    /// The record of its sign-in, which `telemetry.audit_required` asks for, could not be written.
    AuditFailure,
}

impl AuditEvent {
    /// The event as records call it, for those that strangers can cause as often as they like.
    pub(super) fn bounded(&self) -> Option<BoundedEvent> {
        match self {
            Self::Denied { .. } => Some(BoundedEvent::Denied),
            Self::SignInFailed { .. } => Some(BoundedEvent::SignInFailed),
            Self::TokenRefused { .. } => Some(BoundedEvent::TokenRefused),
            _ => None,
        }
    }
}

/// An event of which only so many records are written in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundedEvent {
    Denied,
    SignInFailed,
    TokenRefused,
}

impl BoundedEvent {
    pub(super) const ALL: [Self; 3] = [Self::Denied, Self::SignInFailed, Self::TokenRefused];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::SignInFailed => "sign_in_failed",
            Self::TokenRefused => "token_refused",
        }
    }
}

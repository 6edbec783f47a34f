//! What people change of their account on its page: addresses, ways to sign in, and whether it is there at all.
//!
//! 1. Only what `account.offers` names, for a session whose token the user pool takes.
//! 2. The person has authenticated within the last five minutes: a [`RecentSession`].
//! 3. The pool is asked with the session's own tokens. If it refuses, nothing has changed here either.
//! 4. What was done is recorded, and the tokens are renewed, so that siblings see it at once.

use super::{Error, OwnSession, RelyingParty};
use crate::audit::{self, AuditEvent, SessionEndedBy};
use crate::config::AccountOffer;
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::clock::Timestamp;
use crate::domain::person::{DirectoryEntry, PersonKey};
use crate::domain::principal::Principal;
use crate::domain::store_key::IndexKey;
use crate::domain::subject::Subject;
use crate::domain::user::User;
use crate::provider::{AccountRefusal, USER_POOLS_SCOPE, UserOperation};
use crate::store::{OpenedSession, Priority};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How old an authentication may be for what is dangerous.
const MAX_AGE: Duration = Duration::from_secs(300);

/// A session whose user has authenticated within the last five minutes.
#[derive(Debug, Clone)]
pub struct RecentSession(Arc<OpenedSession>);

/// An address that counts with the code that is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// `email`
    Email,
    /// `phone_number`
    PhoneNumber,
}

impl Address {
    /// The attribute.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::PhoneNumber => "phone_number",
        }
    }

    /// What has to be offered for a change of it.
    pub fn offer(self) -> AccountOffer {
        match self {
            Self::Email => AccountOffer::Email,
            Self::PhoneNumber => AccountOffer::PhoneNumber,
        }
    }
}

/// A passkey in the list of its user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: String,
    /// The name that the pool gives it.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// Everything that is stored about a person, for that person.
#[derive(Debug, Serialize)]
pub struct AccountExport {
    /// What the session's token says.
    identity: Principal,
    /// What the user pool has, where it can be asked.
    user: Option<ExportedUser>,
    /// The live sessions.
    sessions: Vec<OwnSession>,
    /// The row of the directory, where there is one.
    directory: Option<DirectoryEntry>,
}

#[derive(Debug, Serialize)]
struct ExportedUser {
    username: String,
    attributes: BTreeMap<String, String>,
    identities: Vec<String>,
}

impl RelyingParty {
    /// Whether the account of `opened` can be asked for at the provider.
    pub fn has_account(&self, opened: &OpenedSession) -> bool {
        self.provider.has_user_pools() && opened.identity.has_scope(USER_POOLS_SCOPE)
    }

    /// Whether the account page offers something to the user of `opened`.
    pub fn offers(&self, opened: &OpenedSession, offer: AccountOffer) -> bool {
        self.config.account.offers.contains(&offer) && self.has_account(opened)
    }

    /// Lets a question about `offer` through only where it is offered to the user of `opened`.
    ///
    /// # Errors
    /// [`Error::NotOffered`].
    pub fn require_offer(&self, opened: &OpenedSession, offer: AccountOffer) -> Result<(), Error> {
        match self.offers(opened, offer) {
            true => Ok(()),
            false => Err(Error::NotOffered("account.offers does not name it, or the user pool cannot be asked")),
        }
    }

    /// The session `opened`, if its user has authenticated lately enough for what is dangerous.
    ///
    /// # Errors
    /// [`Error::InsufficientAuthentication`].
    pub fn recent(&self, opened: &Arc<OpenedSession>) -> Result<RecentSession, Error> {
        let needed = AuthenticationRequirement { max_age: Some(MAX_AGE), acr_values: Vec::new() };
        match needed.is_met(&opened.principal(), self.clock.now()) {
            true => Ok(RecentSession(opened.clone())),
            false => Err(Error::InsufficientAuthentication(needed)),
        }
    }

    /// The user of the session `opened`, as the user pool has it now.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::NotAdmitted`], [`Error::RejectedByProvider`], and what a renewal ends with.
    pub async fn account_user(self: &Arc<Self>, opened: &Arc<OpenedSession>) -> Result<User, Error> {
        self.user(opened).await.map(|(user, _)| user)
    }

    /// Has a code sent to a new address, and returns where the pool says it went, if it sent one.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::RejectedByProvider`], and what a renewal ends with.
    pub async fn change_address(
        self: &Arc<Self>,
        recent: &RecentSession,
        address: Address,
        value: &str,
    ) -> Result<Option<String>, Error> {
        self.require_offer(&recent.0, address.offer())?;
        let change = BTreeMap::from([(address.attribute().to_owned(), value.to_owned())]);
        let (answer, opened) = self.as_user(&recent.0, UserOperation::UpdateAttributes(&change)).await?;
        let sent = answer["CodeDeliveryDetailsList"].as_array().into_iter().flatten();
        let sent = sent
            .filter(|sent| sent["AttributeName"] == address.attribute())
            .find_map(|sent| sent["Destination"].as_str());
        self.record_account_change(&opened, address.attribute());
        Ok(sent.map(str::to_owned))
    }

    /// Makes a new address count.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn confirm_address(
        self: &Arc<Self>,
        recent: &RecentSession,
        address: Address,
        code: &str,
    ) -> Result<(), Error> {
        self.require_offer(&recent.0, address.offer())?;
        let asked = UserOperation::VerifyAttribute { name: address.attribute(), code };
        let (_, opened) = self.as_user(&recent.0, asked).await?;
        self.record_account_change(&opened, address.attribute());
        if let Ok((user, opened)) = self.user(&opened).await {
            self.record_changed(&user).await;
            self.renew_after_change(&opened).await;
        }
        Ok(())
    }

    /// A new secret for an authenticator app, which does not count yet (RFC 6238, in Base32).
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn begin_authenticator_app(self: &Arc<Self>, recent: &RecentSession) -> Result<SecretString, Error> {
        self.require_offer(&recent.0, AccountOffer::AuthenticatorApp)?;
        let (answer, _) = self.as_user(&recent.0, UserOperation::AssociateAuthenticatorApp).await?;
        let secret = answer["SecretCode"].as_str();
        secret.map(SecretString::from).ok_or_else(|| unusable("AssociateSoftwareToken has no SecretCode"))
    }

    /// Makes the secret count, from the next sign-in on.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn confirm_authenticator_app(self: &Arc<Self>, recent: &RecentSession, code: &str) -> Result<(), Error> {
        self.require_offer(&recent.0, AccountOffer::AuthenticatorApp)?;
        let (answer, opened) = self.as_user(&recent.0, UserOperation::VerifyAuthenticatorApp { code }).await?;
        if answer["Status"] != "SUCCESS" {
            return Err(Error::RejectedByProvider(AccountRefusal::WRONG_CODE.to_owned()));
        }
        let (_, opened) = self.as_user(&opened, UserOperation::UseAuthenticatorApp(true)).await?;
        self.record_factor(&opened, "authenticator_app", true);
        Ok(())
    }

    /// A sign-in asks for no code of an app any more.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn remove_authenticator_app(self: &Arc<Self>, recent: &RecentSession) -> Result<(), Error> {
        self.require_offer(&recent.0, AccountOffer::AuthenticatorApp)?;
        let (_, opened) = self.as_user(&recent.0, UserOperation::UseAuthenticatorApp(false)).await?;
        self.record_factor(&opened, "authenticator_app", false);
        Ok(())
    }

    /// The passkeys of the user of the session `opened`.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn passkeys(self: &Arc<Self>, opened: &Arc<OpenedSession>) -> Result<Vec<Passkey>, Error> {
        let (answer, _) = self.as_user(opened, UserOperation::ListPasskeys).await?;
        let passkey = |item: &Value| {
            let created = item["CreatedAt"].as_f64().filter(|at| (0.0..1e11).contains(at));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds, within these bounds")]
            let created = created.map(|at| Timestamp::from_secs(at as u64));
            let text = |name: &str| item[name].as_str().map(str::to_owned);
            Some(Passkey {
                id: text("CredentialId")?,
                name: text("FriendlyCredentialName").unwrap_or_default(),
                created,
            })
        };
        Ok(answer["Credentials"].as_array().into_iter().flatten().filter_map(passkey).collect())
    }

    /// What the browser has to know to make a passkey (WebAuthn, `PublicKeyCredentialCreationOptionsJSON`).
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn begin_passkey(self: &Arc<Self>, recent: &RecentSession) -> Result<Value, Error> {
        self.require_offer(&recent.0, AccountOffer::Passkeys)?;
        let (mut answer, _) = self.as_user(&recent.0, UserOperation::StartPasskey).await?;
        Ok(answer["CredentialCreationOptions"].take())
    }

    /// Adds the passkey that the browser made (WebAuthn, `RegistrationResponseJSON`).
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn confirm_passkey(self: &Arc<Self>, recent: &RecentSession, credential: &Value) -> Result<(), Error> {
        self.require_offer(&recent.0, AccountOffer::Passkeys)?;
        let (_, opened) = self.as_user(&recent.0, UserOperation::CompletePasskey(credential)).await?;
        self.record_factor(&opened, "passkey", true);
        Ok(())
    }

    /// Takes a passkey away.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address).
    pub async fn remove_passkey(self: &Arc<Self>, recent: &RecentSession, id: &str) -> Result<(), Error> {
        self.require_offer(&recent.0, AccountOffer::Passkeys)?;
        let (_, opened) = self.as_user(&recent.0, UserOperation::DeletePasskey { id }).await?;
        self.record_factor(&opened, "passkey", false);
        Ok(())
    }

    /// Everything that is stored about the user of the session `opened`. No token is among it.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Directory`], and what asking the pool ends with.
    pub async fn export_account(self: &Arc<Self>, opened: &Arc<OpenedSession>) -> Result<AccountExport, Error> {
        let identity = opened.principal();
        let user = match self.has_account(opened) {
            true => Some(self.account_user(opened).await?),
            false => None,
        };
        let user = user.map(|user| ExportedUser {
            identities: user.identities.iter().map(|identity| identity.provider.clone()).collect(),
            username: user.username,
            attributes: user.attributes,
        });
        let sessions = self.my_sessions(opened).await?;
        let directory = match self.directory.is_some() {
            true => self.find_person(&PersonKey::Sub(identity.sub.clone())).await?,
            false => None,
        };
        let (sub, session) = (audit::text(&identity.sub), opened.id.key().handle());
        self.audit.record(&AuditEvent::AccountExported { sub, session });
        Ok(AccountExport { identity, user, sessions, directory })
    }

    /// Deletes the account at the provider, then ends all sessions and forgets the person. If the provider refuses,
    /// nothing has ended.
    ///
    /// # Errors
    /// As [`change_address`](Self::change_address); [`Error::Store`]: the account is deleted, and a session may live until
    /// its next renewal.
    pub async fn delete_account(self: &Arc<Self>, recent: &RecentSession) -> Result<(), Error> {
        self.require_offer(&recent.0, AccountOffer::Deletion)?;
        let (this, recent) = (self.clone(), recent.clone());
        self.run_to_completion(async move {
            let (_, opened) = this.as_user(&recent.0, UserOperation::DeleteUser).await?;
            let (sub, session) = (opened.principal().sub.clone(), opened.id.key().handle());
            tracing::info!(%sub, "account deleted by its user");
            this.audit.record(&AuditEvent::AccountDeleted { sub: audit::text(&sub), session });
            this.sessions.require_reauthentication_of_user(&sub).await?;
            for listed in this.sessions.list(IndexKey::user(&sub)).await? {
                // With the user, the provider has forgotten the refresh tokens.
                this.end_remotely(&listed, SessionEndedBy::AccountDeleted).await?;
            }
            if let Some(directory) = &this.directory
                && let Err(error) = directory.erase(&sub).await
            {
                tracing::error!(%error, %sub, "directory not erased after account deletion: run auth-api users erase");
            }
            Ok(())
        })
        .await
    }

    pub(super) fn record_account_change(&self, opened: &OpenedSession, attributes: &str) {
        let sub = opened.principal().sub.clone();
        tracing::info!(%sub, attributes, "user attributes changed");
        self.audit.record(&AuditEvent::AccountChanged {
            sub: audit::text(&sub),
            session: opened.id.key().handle(),
            attributes: audit::list(attributes),
        });
    }

    fn record_factor(&self, opened: &OpenedSession, factor: &'static str, added: bool) {
        let sub = opened.principal().sub.clone();
        tracing::info!(%sub, factor, added, "sign-in factor changed");
        let session = opened.id.key().handle();
        self.audit.record(&AuditEvent::FactorChanged { sub: audit::text(&sub), session, factor, added });
    }

    pub(super) async fn renew_after_change(self: &Arc<Self>, opened: &Arc<OpenedSession>) {
        if let Err(error) = self.renewal(opened, Priority::Interactive).await {
            tracing::warn!(%error, "session renewal failed after attribute change");
        }
    }
}

fn unusable(what: &str) -> Error {
    crate::provider::Error::Unusable(what.to_owned()).into()
}

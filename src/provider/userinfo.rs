//! The userinfo endpoint (OIDC Core §5.3): what only it knows.

use super::Provider;
use super::claims::{Audience, Claims};
use super::error::Error;
use super::invalid_token::InvalidToken;
use super::metadata::ProviderSnapshot;
use super::verify::UnverifiedToken;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

impl Provider {
    /// Adds what only the userinfo endpoint tells: a strict provider keeps the claims of `email` and
    /// `profile` out of the code flow's ID token (OIDC Core §§5.3 and 5.4), and some keep groups there.
    pub(super) async fn with_userinfo(
        &self,
        mut claims: Claims,
        snapshot: &ProviderSnapshot,
        access: &str,
    ) -> Result<Claims, Error> {
        if let Some(url) = self.userinfo_endpoint(snapshot).filter(|_| self.needs_userinfo(&claims)) {
            claims.add(self.userinfo(url, access).await?)?;
        }
        Ok(claims)
    }

    /// Brings the claims of an older ID token up to date, where a renewal gives no new one. `None` if nothing is known
    /// that they lack.
    pub(super) async fn renewed_claims(
        &self,
        mut claims: Claims,
        snapshot: &ProviderSnapshot,
        access: &str,
    ) -> Result<Option<Claims>, Error> {
        let Some(url) = self.userinfo_endpoint(snapshot) else { return Ok(None) };
        match self.userinfo(url, access).await {
            Ok(userinfo) => claims.renew(userinfo)?,
            // It may never have worked, and nobody noticed since it was never needed.
            Err(Error::Unusable(_)) if !self.needs_userinfo(&claims) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(claims))
    }

    fn userinfo_endpoint<'a>(&self, snapshot: &'a ProviderSnapshot) -> Option<&'a Url> {
        snapshot.endpoints.userinfo.as_ref().filter(|_| self.profile.uses_userinfo())
    }

    fn needs_userinfo(&self, claims: &Claims) -> bool {
        claims.lacks_a_profile()
            || self.reloadable.load().groups_matter && self.profile.lacks_groups(claims, &self.rules)
    }

    async fn userinfo(&self, url: &Url, access: &str) -> Result<Map<String, Value>, Error> {
        let request = http::Request::get(url.as_str())
            .header(ACCEPT, "application/json, application/jwt")
            .header(AUTHORIZATION, format!("Bearer {access}"))
            .body(Vec::new())
            .map_err(|_| Error::Unusable("the access token is no b64token (RFC 6750 §2.1)".into()))?;
        let response = self.http.call("userinfo", request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(Error::Unusable(format!("the userinfo endpoint answered {}", response.status())));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/jwt") {
            return self.signed_userinfo(response.body()).await;
        }
        serde_json::from_slice(response.body())
            .map_err(|_| Error::Unusable("the userinfo endpoint's body is not the JSON of OIDC Core §5.3.2".into()))
    }

    /// Verifies an answer that the client is registered to get as a JWT (`userinfo_signed_response_alg`).
    async fn signed_userinfo(&self, body: &[u8]) -> Result<Map<String, Value>, Error> {
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        let token = UnverifiedToken::<SignedUserinfo>::read(text).map_err(|rejected| {
            // An encrypted one has five parts.
            Error::Unusable(format!("the userinfo endpoint's token: {rejected}; it has to be signed with RS256"))
        })?;
        let snapshot = self.metadata.with_key(token.kid()).await?;
        let userinfo = token.signed(&snapshot.keys)?;
        // OIDC Core §5.3.2: both should be there.
        if userinfo.iss.is_some_and(|iss| iss != self.issuer) {
            return Err(InvalidToken::Issuer.into());
        }
        if userinfo.aud.is_some_and(|aud| !aud.as_slice().contains(&self.client_id)) {
            return Err(InvalidToken::Audience.into());
        }
        Ok(userinfo.claims)
    }
}

#[derive(Debug, Clone, Deserialize)]
struct SignedUserinfo {
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(flatten)]
    claims: Map<String, Value>,
}

//! The user pools API, signed with AWS credentials (Signature Version 4).

use super::OutboundClient;
use super::aws_json::{self, AwsError};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv, ProvideCredential, Signer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::fmt::{Display, Write};

/// Calls operations of the user pools API.
#[derive(Debug)]
pub struct UserPools {
    http: OutboundClient,
    endpoint: String,
    signer: Signer<Credential>,
}

/// Keys of AWS.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// Not a secret.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: SecretString,
    /// Comes along with keys for a limited time.
    pub session_token: Option<SecretString>,
}

impl UserPools {
    /// With these keys.
    pub fn with_keys(http: OutboundClient, endpoint: &str, region: &str, keys: &AwsKeys) -> Self {
        let mut provider = StaticCredentialProvider::new(&keys.access_key_id, keys.secret_access_key.expose_secret());
        if let Some(token) = &keys.session_token {
            provider = provider.with_session_token(token.expose_secret());
        }
        Self::new(http, endpoint, region, Context::new(), provider)
    }

    /// With what AWS's own programs find: variables, profiles, single sign-on, web identity, the roles of tasks and of
    /// instances.
    pub fn with_default_credentials(http: OutboundClient, endpoint: &str, region: &str) -> Self {
        let context =
            Context::new().with_env(OsEnv).with_file_read(LocalFiles).with_http_send(CredentialsClient(http.clone()));
        let provider = DefaultCredentialProvider::builder().no_process().build();
        Self::new(http, endpoint, region, context, provider)
    }

    fn new(
        http: OutboundClient,
        endpoint: &str,
        region: &str,
        context: Context,
        provider: impl ProvideCredential<Credential = Credential>,
    ) -> Self {
        let signer = Signer::new(context, provider, RequestSigner::new("cognito-idp", region));
        Self { http, endpoint: endpoint.to_owned(), signer }
    }

    /// Calls one operation.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let target = format!("AWSCognitoIdentityProviderService.{operation}");
        let (mut head, body) = aws_json::request(&self.endpoint, &target, input)?.into_parts();
        let mut hash = String::new();
        for byte in digest(&SHA256, &body).as_ref() {
            let _ = write!(hash, "{byte:02x}");
        }
        let failed = |what: &dyn Display| AwsError::Unavailable(format!("{operation}: {what}"));
        // The signer takes the body's hash from here.
        head.headers.insert("x-amz-content-sha256", hash.parse().map_err(|e| failed(&e))?);
        let signed = self.signer.sign(&mut head, None).await;
        signed.map_err(|e| AwsError::NotSigned(e.to_string()))?;
        let response = self.http.call(http::Request::from_parts(head, body)).await.map_err(|e| failed(&e))?;
        aws_json::read(&target, &response)
    }
}

/// Profiles and tokens are in files.
#[derive(Debug)]
struct LocalFiles;

impl FileRead for LocalFiles {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        std::fs::read(path).map_err(|error| Error::unexpected(format!("{path} cannot be read")).with_source(error))
    }
}

/// Roles are asked for over HTTP.
#[derive(Debug)]
struct CredentialsClient(OutboundClient);

impl HttpSend for CredentialsClient {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let answered = self.0.call(request.map(|body| body.to_vec())).await;
        let failed = |error| Error::unexpected("no answer").with_source(error);
        answered.map(|response| response.map(Bytes::from)).map_err(failed)
    }
}

//! DEFLATE (RFC 1951) with a preset dictionary (RFC 1950 §2.2), for what is much the same in every token.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What Cognito writes into tokens and into their headers. Part of the encoding: who changes it raises
/// `ENCODING` in [`super::encoding`]. What is frequent comes last, where referring to it is shortest.
pub(super) const DICTIONARY: &str = concat!(
    r#""identities":[{"userId":"","providerName":"","providerType":"SAML","issuer":null,"primary":"true","dateCreated":""#,
    r#""cognito:preferred_role":"arn:aws:iam::","cognito:roles":["custom:","device_key":"","nonce":"","#,
    r#""phone_number":"+","phone_number_verified":true,"given_name":"","family_name":"","preferred_username":"","#,
    r#""scope":"aws.cognito.signin.user.admin openid profile email phone","token_use":"id","name":"","email":"@gmail.com"}"#,
    r#"{"at_hash":"","sub":"","cognito:groups":[""],"email_verified":true,"cognito:username":"","#,
    r#""iss":"https:\/\/cognito-idp.us-east-1.amazonaws.com\/us-east-1_","#,
    r#""iss":"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_","version":2,"client_id":"","aud":"","#,
    r#""origin_jti":"","event_id":"","token_use":"access","scope":"openid profile email","auth_time":17,"exp":17,"#,
    r#""iat":17,"jti":"","username":""}{"kid":"=","alg":"RS256"}"#,
);
/// What is longer is not read: no answer of a token endpoint is ([`outbound`](crate::outbound) bounds it).
const MAX_LENGTH: usize = 1 << 20;
/// Of 10; higher ones find nothing more in so little text.
const LEVEL: u8 = 6;

/// Compressed text. Its length is bounded however well it was compressed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Compressed {
    length: usize,
    bytes: Vec<u8>,
}

impl Compressed {
    pub(super) fn new(plain: &[u8]) -> Self {
        let mut bytes = vec![];
        let mut compressor = CompressorOxide::with_params(DataFormat::Raw, LEVEL, CompressionStrategy::Default, 15);
        // Compressed first, so that what follows refers to it, and not kept.
        compress_to_output(&mut compressor, DICTIONARY.as_bytes(), TDEFLFlush::Sync, |_| true);
        compress_to_output(&mut compressor, plain, TDEFLFlush::Finish, |part| {
            bytes.extend_from_slice(part);
            true
        });
        Self { length: plain.len(), bytes }
    }

    /// The text; `None` if this is none of ours.
    pub(super) fn plain(&self) -> Option<Zeroizing<Vec<u8>>> {
        let start = DICTIONARY.len();
        if self.length > MAX_LENGTH {
            return None;
        }
        let mut out = Zeroizing::new(vec![0; start + self.length]);
        out[..start].copy_from_slice(DICTIONARY.as_bytes());
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let read = inflate(&mut DecompressorOxide::new(), &self.bytes, &mut out, start, flags);
        (read == (TINFLStatus::Done, self.bytes.len(), self.length)).then(|| Zeroizing::new(out.split_off(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_and_nothing_else() {
        let long = vec![b'a'; MAX_LENGTH];
        let claims = br#"{"sub":"5f3e","token_use":"access","scope":"openid profile email"}"#;
        for plain in [&b""[..], b"a", &[0, 255, 128], DICTIONARY.as_bytes(), claims, &long] {
            let compressed = Compressed::new(plain);
            assert_eq!(**compressed.plain().unwrap(), *plain);
            for length in [compressed.length.wrapping_sub(1), compressed.length + 1, usize::MAX] {
                assert!(Compressed { length, bytes: compressed.bytes.clone() }.plain().is_none(), "{length}");
            }
            for cut in 0..compressed.bytes.len() {
                let bytes = compressed.bytes[..cut].to_vec();
                assert!(Compressed { length: plain.len(), bytes }.plain().is_none(), "cut at {cut}");
            }
        }
        assert!(Compressed::new(&[long, vec![b'a']].concat()).plain().is_none());
        let compressed = Compressed::new(claims);
        assert!(compressed.bytes.len() < claims.len() / 2, "{compressed:?}");
    }
}

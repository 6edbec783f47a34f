//! The picture that an authenticator app scans.

use qrcode::{Color, EcLevel};
use std::fmt::Write;
use url::Url;

/// Modules of white around a code (ISO/IEC 18004).
const QUIET: usize = 4;

/// A QR code as the path of an SVG.
#[derive(Debug)]
pub(in crate::web) struct QrCode {
    /// Modules on each side, with the white around it.
    pub(in crate::web) size: usize,
    /// The dark modules.
    pub(in crate::web) path: String,
}

impl QrCode {
    /// The key URI that authenticator apps read, of an account at `issuer` with the Base32 `secret`.
    pub(in crate::web) fn of_app(issuer: &str, account: &str, secret: &str) -> Self {
        let mut uri = Url::parse("otpauth://totp/").unwrap_or_else(|_| unreachable!("it is a URL"));
        // A colon divides the two.
        let label = [issuer, account].map(|part| part.replace(':', " ")).join(":");
        uri.set_path(&label);
        // Apps do not read `+` as a space.
        let issuer = percent_encoding::utf8_percent_encode(issuer, percent_encoding::NON_ALPHANUMERIC);
        uri.set_query(Some(&format!("secret={secret}&issuer={issuer}")));
        Self::of(uri.as_str())
    }

    /// Empty if the text is too long for any code.
    fn of(text: &str) -> Self {
        let Ok(code) = qrcode::QrCode::with_error_correction_level(text, EcLevel::M) else {
            return Self { size: 1, path: String::new() };
        };
        let width = code.width();
        let mut path = String::new();
        for (at, color) in code.to_colors().into_iter().enumerate() {
            if color == Color::Dark {
                let _ = write!(path, "M{} {}h1v1h-1z", at % width + QUIET, at / width + QUIET);
            }
        }
        Self { size: width + 2 * QUIET, path }
    }
}

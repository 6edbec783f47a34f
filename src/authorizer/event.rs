//! What API Gateway and AppSync send to a Lambda authorizer, and the credentials in it.

use super::answer::AnswerForm;
use super::failure::AuthorizationFailure;
use super::settings::AcceptedCredentials;
use serde_json::Value;

/// Bytes of a token or of all cookies together. API Gateway takes no more than 10 KB of headers.
const MAX_CREDENTIALS: usize = 16 << 10;

/// An event, read.
#[derive(Debug)]
pub struct AuthorizerRequest {
    /// How it is answered.
    pub form: AnswerForm,
    /// What the caller shows, sorted out as `/validate` does.
    pub credentials: PresentedCredentials,
}

/// What a caller shows.
#[derive(Debug, PartialEq, Eq)]
pub enum PresentedCredentials {
    /// The token after `Bearer` (RFC 6750 §2.1).
    Bearer(String),
    /// The `Cookie` header as it came: which of several sessions counts, `/validate` knows.
    Cookie(String),
    /// Something that is no credential, and in whose place no other one speaks.
    Unreadable(&'static str),
    /// Nothing.
    None,
}

impl AuthorizerRequest {
    /// Reads an event.
    ///
    /// # Errors
    /// [`AuthorizationFailure::Event`] for what is no event of an authorizer.
    pub fn read(event: &Value, accepted: AcceptedCredentials) -> Result<Self, AuthorizationFailure> {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let method_arn = || text("methodArn").ok_or(AuthorizationFailure::Event("it names no method"));
        let credentials = |cookies| PresentedCredentials::of_request(event, cookies, accepted);
        let of_token = |token: Option<&str>| match token {
            Some(token) if accepted.bearer => PresentedCredentials::of_authorization(token),
            _ => PresentedCredentials::None,
        };
        match (text("version"), text("type")) {
            (Some("2.0"), Some("REQUEST")) => {
                Ok(Self { form: AnswerForm::Simple, credentials: credentials(event.get("cookies")) })
            }
            (None | Some("1.0"), Some("REQUEST")) => {
                Ok(Self { form: AnswerForm::policy(method_arn()?)?, credentials: credentials(None) })
            }
            (None | Some("1.0"), Some("TOKEN")) => {
                let credentials = of_token(text("authorizationToken"));
                Ok(Self { form: AnswerForm::policy(method_arn()?)?, credentials })
            }
            (None, None) if event.get("requestContext").is_some_and(Value::is_object) => {
                let token = text("authorizationToken").ok_or(AuthorizationFailure::Event("it has no token"))?;
                // AppSync asks for tokens without a scheme where it has other kinds of authorization too.
                let scheme = if token.trim().contains(' ') { "" } else { "Bearer " };
                Ok(Self { form: AnswerForm::AppSync, credentials: of_token(Some(&format!("{scheme}{token}"))) })
            }
            _ => Err(AuthorizationFailure::Event("it is of no kind that is known here")),
        }
    }
}

impl PresentedCredentials {
    /// A bearer token wins over cookies, good or not; another scheme counts for nothing.
    fn of_request(event: &Value, cookies: Option<&Value>, accepted: AcceptedCredentials) -> Self {
        let Ok(authorization) = header(event, "authorization") else {
            return Self::Unreadable("the headers are no texts");
        };
        let bearer = match authorization[..] {
            [] => Self::None,
            _ if !accepted.bearer => Self::None,
            [one] => Self::of_authorization(one),
            _ => Self::Unreadable("there are two Authorization lines"),
        };
        if bearer != Self::None || !accepted.cookie {
            return bearer;
        }
        let Ok(lines) = header(event, "cookie").and_then(|mut lines| {
            lines.extend(texts(cookies)?);
            Ok(lines)
        }) else {
            return Self::Unreadable("the cookies are no texts");
        };
        let cookies = lines.join("; ");
        match cookies.len() {
            0 => Self::None,
            1..=MAX_CREDENTIALS if cookies.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => {
                Self::Cookie(cookies)
            }
            1..=MAX_CREDENTIALS => Self::Unreadable("there are odd characters in the cookies"),
            _ => Self::Unreadable("the cookies are too long"),
        }
    }

    /// A line of `Authorization`.
    fn of_authorization(line: &str) -> Self {
        let line = line.trim();
        let (scheme, token) = line.split_once(' ').unwrap_or((line, ""));
        let token = token.trim();
        let is_b64token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        match token.len() {
            _ if !scheme.eq_ignore_ascii_case("bearer") => Self::None,
            1..=MAX_CREDENTIALS if token.bytes().all(is_b64token) => Self::Bearer(token.to_owned()),
            0..=MAX_CREDENTIALS => Self::Unreadable("what follows Bearer is no token"),
            _ => Self::Unreadable("the token is too long"),
        }
    }
}

/// The lines of a header, however its name is written. A REST API tells the last of them in `headers` and all of them in
/// `multiValueHeaders`.
fn header<'a>(event: &'a Value, name: &str) -> Result<Vec<&'a str>, NoText> {
    let lines = |headers: &str| -> Result<Vec<&'a str>, NoText> {
        let headers = match event.get(headers) {
            None | Some(Value::Null) => return Ok(vec![]),
            Some(headers) => headers.as_object().ok_or(NoText)?,
        };
        let mut lines = vec![];
        for (_, value) in headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)) {
            match value {
                Value::String(line) => lines.push(line.as_str()),
                list => lines.extend(texts(Some(list))?),
            }
        }
        Ok(lines)
    };
    let (last, all) = (lines("headers")?, lines("multiValueHeaders")?);
    match all.is_empty() {
        true => Ok(last),
        false if last.iter().all(|line| all.contains(line)) => Ok(all),
        false => Err(NoText),
    }
}

struct NoText;

fn texts(list: Option<&Value>) -> Result<Vec<&str>, NoText> {
    let Some(list) = list.filter(|list| !list.is_null()) else { return Ok(vec![]) };
    list.as_array().ok_or(NoText)?.iter().map(|text| text.as_str().ok_or(NoText)).collect()
}

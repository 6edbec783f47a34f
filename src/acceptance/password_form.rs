//! Signs in over HTTP where the sign-in page is a plain form: Cognito's classic pages, the development pool, emulators.

use super::landing::{Landing, LoopbackUrls};
use crate::outbound::{OutboundClient, Response};
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use secrecy::{ExposeSecret, SecretString};
use std::time::Instant;
use url::{Url, form_urlencoded};

/// No sign-in takes more steps.
const STEPS_MAX: usize = 12;

/// A browser without a screen that knows one user's password.
#[derive(Debug)]
pub(super) struct FormBrowser {
    http: OutboundClient,
    urls: LoopbackUrls,
    user: String,
    password: SecretString,
    /// Host, name and value.
    cookies: Vec<(String, String, String)>,
}

/// A form with a password.
#[derive(Debug, PartialEq, Eq)]
struct PasswordForm {
    action: String,
    fields: Vec<(String, String)>,
}

impl FormBrowser {
    pub(super) fn new(http: OutboundClient, urls: LoopbackUrls, user: String, password: SecretString) -> Self {
        Self { http, urls, user, password, cookies: Vec::new() }
    }

    pub(super) async fn visit(&mut self, address: &Url) -> Result<Landing, String> {
        let (started, mut at, mut form) = (Instant::now(), address.clone(), None);
        let mut forms = 0;
        for _ in 0..STEPS_MAX {
            let response = self.send(&at, form.take()).await?;
            if let Some(to) = redirect(&at, &response) {
                if let Some(landing) = self.urls.landing(&to, Some(forms > 0), started.elapsed()) {
                    return Ok(landing);
                }
                at = to;
                continue;
            }
            let page = String::from_utf8_lossy(response.body());
            // The rest of the address has the state of a sign-in.
            let place = format!("{}{}", at.origin().ascii_serialization(), at.path());
            let Some(found) = PasswordForm::find(&page).filter(|_| response.status().is_success()) else {
                return Err(format!(
                    "{place} answered {} without a form for a password: is it managed login, or an error page? Leave \
                     out --user, and sign in with a browser",
                    response.status().as_u16()
                ));
            };
            if forms > 0 {
                return Err(format!("{place} shows its form again: the name or the password is wrong"));
            }
            forms += 1;
            at = at.join(&found.action).map_err(|error| format!("{place}: {error}"))?;
            form = Some(found.filled(&self.user, self.password.expose_secret()));
        }
        Err(format!("no return after {STEPS_MAX} steps"))
    }

    async fn send(&mut self, url: &Url, form: Option<String>) -> Result<Response, String> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let own = self.cookies.iter().filter(|(of, ..)| *of == host);
        let cookies: Vec<_> = own.map(|(_, name, value)| format!("{name}={value}")).collect();
        let mut request = match &form {
            None => http::Request::get(url.as_str()),
            Some(_) => http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
        };
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let request = request.body(form.unwrap_or_default().into_bytes()).map_err(|error| error.to_string())?;
        let response = self.http.call(request).await.map_err(|error| format!("{host}: {error}"))?;
        for line in response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            let Ok(cookie) = cookie::Cookie::parse(line) else { continue };
            self.cookies.retain(|(of, name, _)| *of != host || name != cookie.name());
            if !cookie.value().is_empty() && cookie.max_age().is_none_or(|age| age.is_positive()) {
                self.cookies.push((host.clone(), cookie.name().to_owned(), cookie.value().to_owned()));
            }
        }
        Ok(response)
    }
}

/// Whether a page has a form that this program can fill in.
pub(super) fn has_password_form(page: &str) -> bool {
    PasswordForm::find(page).is_some()
}

fn redirect(from: &Url, response: &Response) -> Option<Url> {
    let to = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    from.join(to.to_str().ok()?).ok()
}

impl PasswordForm {
    /// The first form of a page that has a field for a password.
    fn find(page: &str) -> Option<Self> {
        page.split("<form").skip(1).find_map(|rest| {
            let form = rest.split("</form").next()?;
            let inputs: Vec<&str> =
                form.split("<input").skip(1).map(|tag| tag.split('>').next().unwrap_or("")).collect();
            let is = |tag: &str, kind: &str| attribute(tag, "type").is_some_and(|of| of.eq_ignore_ascii_case(kind));
            inputs.iter().find(|tag| is(tag, "password"))?;
            let hidden = inputs.iter().filter(|tag| is(tag, "hidden"));
            let fields =
                hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())));
            let action = attribute(form.split('>').next()?, "action").unwrap_or_default();
            Some(Self { action, fields: fields.collect() })
        })
    }

    fn filled(self, user: &str, password: &str) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let own = ["username", "password", "signInSubmitButton"];
        form.extend_pairs(self.fields.iter().filter(|(name, _)| !own.contains(&name.as_str())));
        form.extend_pairs([("username", user), ("password", password), ("signInSubmitButton", "Sign in")]);
        form.finish()
    }
}

/// The value of an attribute, between quotes of either kind.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (before, _) = tag.match_indices(name).find(|(at, _)| {
        let apart = tag[..*at].chars().next_back().is_none_or(char::is_whitespace);
        apart && tag[at + name.len()..].starts_with('=')
    })?;
    let value = &tag[before + name.len() + 1..];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = value[1..].split(quote).next()?;
    let entities = [("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">")];
    let value = entities.iter().fold(value.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    Some(value.replace("&#38;", "&").replace("&#x26;", "&").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_form_is_found_and_filled() {
        let page = r#"<form action="/search"><input name="q"></form>
            <form name='cognitoSignInForm' action="/login?client_id=a&amp;state=b" method="POST">
            <input type="hidden" name="_csrf" value="x&#39;y"/><input type="hidden" name="cognitoAsfData"/>
            <input name="username" type="text" value=""/><input name="password" type="Password"/>
            <input name="signInSubmitButton" type="Submit" value="sign in"/></form>"#;
        let form = PasswordForm::find(page).unwrap();
        assert_eq!(form.action, "/login?client_id=a&state=b");
        let fields =
            [("_csrf", "x'y"), ("cognitoAsfData", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form.fields, fields);
        let filled = form.filled("jane", "p&w");
        assert_eq!(filled, "_csrf=x%27y&cognitoAsfData=&username=jane&password=p%26w&signInSubmitButton=Sign+in");
        assert_eq!(PasswordForm::find("<div id=root></div><script src=x></script>"), None);
    }
}

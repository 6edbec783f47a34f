//! The users of a pool by their e-mail address.

use crate::domain::user::User;
use crate::outbound::aws_json::AwsError;
use crate::outbound::user_pools::UserPools;
use serde_json::{Value, json};

/// An address that more users have than fit here is nobody's.
const MAX_PAGES: usize = 5;

impl UserPools {
    /// All users with an e-mail address, in any status, as it is told and in small letters.
    ///
    /// # Errors
    /// [`AwsError`], also if there are too many.
    pub async fn users_with_email(&self, pool: &str, email: &str) -> Result<Vec<User>, AwsError> {
        let mut spellings = vec![email.to_owned(), email.to_ascii_lowercase()];
        spellings.dedup();
        let mut users: Vec<User> = Vec::new();
        for spelling in spellings {
            let mut input = json!({ "UserPoolId": pool, "Filter": filter(&spelling), "Limit": 60 });
            let mut pages = 0;
            loop {
                let answer = self.call("ListUsers", &input).await?;
                let page = answer.get("Users").and_then(Value::as_array);
                let page = page.ok_or_else(|| AwsError::Unavailable("ListUsers: no list".into()))?;
                for user in page {
                    let user = User::from_api(user).map_err(|e| AwsError::Unavailable(format!("ListUsers: {e}")))?;
                    if users.iter().all(|known| known.username != user.username) {
                        users.push(user);
                    }
                }
                match answer.get("PaginationToken").filter(|token| !token.is_null()) {
                    None => break,
                    Some(token) => input["PaginationToken"] = token.clone(),
                }
                pages += 1;
                if pages == MAX_PAGES {
                    return Err(AwsError::Unavailable("ListUsers: too many users have this address".into()));
                }
            }
        }
        Ok(users)
    }
}

/// ListUsers' filter for an e-mail address.
fn filter(email: &str) -> String {
    format!("email = \"{}\"", email.replace('\\', "\\\\").replace('"', "\\\""))
}

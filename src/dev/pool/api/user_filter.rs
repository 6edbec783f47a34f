//! ListUsers and its filter.

use super::input;
use crate::dev::pool::messages::ApiError;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::users::PoolUser;
use serde_json::{Value, json};

/// The most users in one page.
const PAGE: usize = 60;

/// One `name = "value"` or `name ^= "value"`; quotation marks and backslashes in the value are escaped.
pub(super) fn list_users(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let wrong = || ApiError::invalid_parameter("Error while parsing filter.");
    let filter = input["Filter"].as_str().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| parse(filter).ok_or_else(wrong)).transpose()?;
    let limit = input["Limit"].as_u64().map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let from = input["PaginationToken"].as_str().map_or(Ok(0), str::parse::<usize>);
    let from = from.map_err(|_| ApiError::invalid_parameter("Invalid pagination token."))?;
    let data = pool.data();
    let mut found =
        data.users.iter().filter(|user| filter.as_ref().is_none_or(|filter| filter.matches(user))).skip(from);
    let users: Vec<Value> = found.by_ref().take(limit).map(input::listed).collect();
    let mut output = json!({ "Users": users });
    if found.next().is_some() {
        output["PaginationToken"] = (from + limit).to_string().into();
    }
    Ok(output)
}

/// A filter of ListUsers.
struct UserFilter {
    name: String,
    value: String,
    prefix: bool,
}

impl UserFilter {
    fn matches(&self, user: &PoolUser) -> bool {
        let value = match self.name.as_str() {
            "username" => Some(user.username.as_str()),
            "sub" => Some(user.sub.as_str()),
            "cognito:user_status" => Some(user.user_status()),
            "status" => Some(if user.enabled { "Enabled" } else { "Disabled" }),
            name => user.attributes.get(name).map(String::as_str),
        };
        value.is_some_and(|value| if self.prefix { value.starts_with(&self.value) } else { value == self.value })
    }
}

fn parse(filter: &str) -> Option<UserFilter> {
    const SEARCHABLE: [&str; 10] = [
        "username",
        "email",
        "phone_number",
        "name",
        "given_name",
        "family_name",
        "preferred_username",
        "cognito:user_status",
        "status",
        "sub",
    ];
    let (name, quoted) = filter.split_once('=')?;
    let (name, prefix) = name.strip_suffix('^').map_or((name, false), |name| (name, true));
    let name = name.trim().trim_matches('"');
    let mut rest = quoted.trim().strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => value.push(rest.next()?),
            other => value.push(other),
        }
    }
    let complete = rest.as_str().is_empty() && SEARCHABLE.contains(&name);
    complete.then(|| UserFilter { name: name.to_owned(), value, prefix })
}

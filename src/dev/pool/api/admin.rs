//! Operations of an administrator in the user pools API, as far as Lambda triggers need them.

use crate::dev::pool::data::PoolData;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::state::PoolState;
use crate::dev::pool::users::{FederatedIdentity, PoolUser};
use serde_json::{Value, json};

/// The most users in one page.
const PAGE: usize = 60;

pub(super) fn add_user_to_group(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let group = required(input, "GroupName")?;
    let mut data = pool.data();
    let user = user(&mut data, input)?;
    if !user.groups.contains(&group.to_owned()) {
        user.groups.push(group.to_owned());
    }
    Ok(json!({}))
}

pub(super) fn update_user_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let list = input["UserAttributes"].as_array().ok_or_else(|| ApiError::missing_parameter("userAttributes"))?;
    let pair = |one| Ok((required(one, "Name")?.to_owned(), required(one, "Value")?.to_owned()));
    let changes = list.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
    let mut data = pool.data();
    user(&mut data, input)?.attributes.extend(changes);
    Ok(json!({}))
}

/// One `name = "value"` or `name ^= "value"`; quotation marks and backslashes in the value are escaped.
pub(super) fn list_users(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    this_pool(pool, input)?;
    let wrong = || ApiError::invalid_parameter("Error while parsing filter.");
    let filter = input["Filter"].as_str().filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| parse(filter).ok_or_else(wrong)).transpose()?;
    let limit = input["Limit"].as_u64().map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let from = input["PaginationToken"].as_str().map_or(Ok(0), str::parse::<usize>);
    let from = from.map_err(|_| ApiError::invalid_parameter("Invalid pagination token."))?;
    let data = pool.data();
    let mut found =
        data.users.iter().filter(|user| filter.as_ref().is_none_or(|filter| filter.matches(user))).skip(from);
    let users: Vec<Value> = found.by_ref().take(limit).map(listed).collect();
    let mut output = json!({ "Users": users });
    if found.next().is_some() {
        output["PaginationToken"] = (from + limit).to_string().into();
    }
    Ok(output)
}

pub(super) fn link_provider_for_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    this_pool(pool, input)?;
    let part = |side: &str, name: &str| {
        let value = input[side][name].as_str().map(str::to_owned);
        value.ok_or_else(|| ApiError::invalid_parameter(format!("{side} has no {name}")))
    };
    if part("SourceUser", "ProviderAttributeName")? != "Cognito_Subject" {
        return Err(ApiError::invalid_parameter("Invalid source user: Cognito_Subject is required"));
    }
    let (provider, user_id) = (part("SourceUser", "ProviderName")?, part("SourceUser", "ProviderAttributeValue")?);
    let target = part("DestinationUser", "ProviderAttributeValue")?;
    let created_ms = pool.now().saturating_mul(1000);
    let mut data = pool.data();
    if let Some(owner) = data.user_with_identity(&provider, &user_id) {
        return Err(ApiError::invalid_parameter(if owner.username == target {
            "SourceUser is already linked to DestinationUser"
        } else {
            "Merging is not currently supported, provide a SourceUser that has not been signed up in order to link"
        }));
    }
    let user = data.user_mut(&target).filter(|user| !user.is_federated()).ok_or_else(ApiError::user_not_found)?;
    user.identities.push(FederatedIdentity { provider, user_id, created_ms });
    Ok(json!({}))
}

fn user<'a>(data: &'a mut PoolData, input: &Value) -> Result<&'a mut PoolUser, ApiError> {
    data.user_mut(required(input, "Username")?).ok_or_else(ApiError::user_not_found)
}

fn this_pool(pool: &PoolState, input: &Value) -> Result<(), ApiError> {
    let id = required(input, "UserPoolId")?;
    if id == pool.pool_id() {
        return Ok(());
    }
    Err(ApiError::new("ResourceNotFoundException", format!("User pool {id} does not exist.")))
}

/// The user as ListUsers has it.
fn listed(user: &PoolUser) -> Value {
    json!({
        "Username": user.username,
        "Attributes": attribute_list(user),
        "UserCreateDate": 1_642_699_117.273,
        "UserLastModifiedDate": 1_642_699_117.273,
        "Enabled": user.enabled,
        "UserStatus": user.status(),
    })
}

/// All attributes of a user, `AttributeListType` of the API.
pub(super) fn attribute_list(user: &PoolUser) -> Vec<Value> {
    user.all_attributes().map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
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
            "cognito:user_status" => Some(user.status()),
            name => user.attributes.get(name).map(String::as_str),
        };
        value.is_some_and(|value| if self.prefix { value.starts_with(&self.value) } else { value == self.value })
    }
}

fn parse(filter: &str) -> Option<UserFilter> {
    const SEARCHABLE: [&str; 9] = [
        "username",
        "email",
        "phone_number",
        "name",
        "given_name",
        "family_name",
        "preferred_username",
        "cognito:user_status",
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

//! Operations of an administrator, as far as triggers need them.

use serde_json::{Map, Value, json};

use super::api::{ApiError, text};
use super::grants::PoolData;
use super::state::PoolState;
use super::users::{FederatedIdentity, PoolUser};

/// The most users in one answer.
const PAGE: usize = 60;

pub(super) fn add_user_to_group(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let group = text(input, "GroupName")?;
    let mut world = pool.world();
    let user = user(&mut world, input)?;
    if !user.groups.iter().any(|one| one == group) {
        user.groups.push(group.to_owned());
    }
    Ok(json!({}))
}

pub(super) fn update_user_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let changes = attributes(input)?;
    let mut world = pool.world();
    user(&mut world, input)?.attributes.extend(changes);
    Ok(json!({}))
}

/// `UserAttributes` of a request.
pub(super) fn attributes(input: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let list = input.get("UserAttributes").and_then(Value::as_array).ok_or_else(|| ApiError::missing("userAttributes"));
    list?.iter().map(|one| Ok((text(one, "Name")?.to_owned(), text(one, "Value")?.to_owned()))).collect()
}

/// One `name = "value"` or `name ^= "value"`; quotation marks and backslashes in the value are escaped.
pub(super) fn list_users(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    this_pool(pool, input)?;
    let wrong = || ApiError::new("InvalidParameterException", "Error while parsing filter.");
    let filter = input.get("Filter").and_then(Value::as_str).filter(|filter| !filter.is_empty());
    let filter = filter.map(|filter| parse(filter).ok_or_else(wrong)).transpose()?;
    let limit = input.get("Limit").and_then(Value::as_u64).map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let from: usize = input
        .get("PaginationToken")
        .and_then(Value::as_str)
        .map_or(Ok(0), str::parse)
        .map_err(|_| ApiError::new("InvalidParameterException", "Invalid pagination token."))?;
    let world = pool.world();
    let mut found = world.users.iter().filter(|user| filter.as_ref().is_none_or(|filter| filter.fits(user))).skip(from);
    let users: Vec<Value> = found.by_ref().take(limit).map(listed).collect();
    let mut answer = json!({ "Users": users });
    if found.next().is_some() {
        answer["PaginationToken"] = (from + limit).to_string().into();
    }
    Ok(answer)
}

pub(super) fn link_provider_for_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    this_pool(pool, input)?;
    let part = |side: &str, name: &str| {
        input
            .pointer(&format!("/{side}/{name}"))
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| ApiError::new("InvalidParameterException", format!("{side} has no {name}")))
    };
    if part("SourceUser", "ProviderAttributeName")? != "Cognito_Subject" {
        return Err(ApiError::new("InvalidParameterException", "Invalid source user: Cognito_Subject is required"));
    }
    let (provider, user_id) = (part("SourceUser", "ProviderName")?, part("SourceUser", "ProviderAttributeValue")?);
    let target = part("DestinationUser", "ProviderAttributeValue")?;
    let created_ms = pool.now().saturating_mul(1000);
    let mut world = pool.world();
    let taken = world.identity_mut(&provider, &user_id).map(|user| user.username.clone());
    match taken {
        Some(owner) if owner == target => {
            let text = "SourceUser is already linked to DestinationUser";
            return Err(ApiError::new("InvalidParameterException", text));
        }
        Some(_) => {
            let text =
                "Merging is not currently supported, provide a SourceUser that has not been signed up in order to link";
            return Err(ApiError::new("InvalidParameterException", text));
        }
        None => {}
    }
    let user = world.user_mut(&target).filter(|user| !user.is_federated()).ok_or_else(ApiError::no_user)?;
    user.identities.push(FederatedIdentity { provider, user_id, created_ms });
    Ok(json!({}))
}

fn user<'a>(world: &'a mut PoolData, input: &Value) -> Result<&'a mut PoolUser, ApiError> {
    world.user_mut(text(input, "Username")?).ok_or_else(ApiError::no_user)
}

fn this_pool(pool: &PoolState, input: &Value) -> Result<(), ApiError> {
    let id = text(input, "UserPoolId")?;
    if id == pool.pool_id {
        return Ok(());
    }
    Err(ApiError::new("ResourceNotFoundException", format!("User pool {id} does not exist.")))
}

/// The user as ListUsers tells.
fn listed(user: &PoolUser) -> Value {
    let mut attributes = user.attributes.clone();
    attributes.insert("sub".to_owned(), user.sub.clone());
    attributes.extend(user.identities_attribute().map(|identities| ("identities".to_owned(), identities)));
    let attributes: Vec<Value> =
        attributes.into_iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    json!({
        "Username": user.username,
        "Attributes": attributes,
        "UserCreateDate": 1_642_699_117.273,
        "UserLastModifiedDate": 1_642_699_117.273,
        "Enabled": user.enabled,
        "UserStatus": user.status(),
    })
}

/// All attributes of a user as a trigger's event has them.
pub(super) fn told_to_triggers(user: &PoolUser) -> Map<String, Value> {
    let mut told: Map<String, Value> =
        user.attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    told.insert("sub".to_owned(), user.sub.clone().into());
    told.insert("cognito:user_status".to_owned(), user.status().into());
    told.extend(user.identities_attribute().map(|identities| ("identities".to_owned(), identities.into())));
    told
}

struct Filter {
    name: String,
    value: String,
    prefix: bool,
}

impl Filter {
    fn fits(&self, user: &PoolUser) -> bool {
        let held = match self.name.as_str() {
            "username" => Some(user.username.as_str()),
            "sub" => Some(user.sub.as_str()),
            "cognito:user_status" => Some(user.status()),
            name => user.attributes.get(name).map(String::as_str),
        };
        held.is_some_and(|held| if self.prefix { held.starts_with(&self.value) } else { held == self.value })
    }
}

fn parse(filter: &str) -> Option<Filter> {
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
    let whole = rest.as_str().is_empty() && SEARCHABLE.contains(&name);
    whole.then(|| Filter { name: name.to_owned(), value, prefix })
}

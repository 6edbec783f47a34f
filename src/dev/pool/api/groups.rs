//! Operations of an administrator on groups. A group is there as long as somebody is in it.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::state::PoolState;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) fn add_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let group = required(input, "GroupName")?;
    let mut data = pool.data();
    let user = input::named_user(pool, &mut data, input)?;
    if !user.groups.iter().any(|one| one == group) {
        user.groups.push(group.to_owned());
    }
    Ok(Value::Null)
}

pub(super) fn remove_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let group = required(input, "GroupName")?;
    input::named_user(pool, &mut pool.data(), input)?.groups.retain(|one| one != group);
    Ok(Value::Null)
}

pub(super) fn list_of_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let mut data = pool.data();
    let user = input::named_user(pool, &mut data, input)?;
    let groups: Vec<Value> = user.groups.iter().map(|name| group(pool, name)).collect();
    Ok(json!({ "Groups": groups }))
}

pub(super) fn list(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let data = pool.data();
    let names: BTreeSet<&String> = data.users.iter().flat_map(|user| &user.groups).collect();
    let groups: Vec<Value> = names.into_iter().map(|name| group(pool, name)).collect();
    Ok(json!({ "Groups": groups }))
}

pub(super) fn list_users(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let group = required(input, "GroupName")?;
    let data = pool.data();
    let members = data.users.iter().filter(|user| user.groups.iter().any(|one| one == group));
    let users: Vec<Value> = members.map(input::listed).collect();
    Ok(json!({ "Users": users }))
}

fn group(pool: &PoolState, name: &str) -> Value {
    let date = 1_642_699_117;
    json!({ "GroupName": name, "UserPoolId": pool.pool_id(), "CreationDate": date, "LastModifiedDate": date })
}

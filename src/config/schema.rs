//! The JSON Schema of a configuration file, for editors.

use serde_json::{Map, Value, json};

use super::RawConfig;
use super::key::{ConfigKey, DefaultValue, KeyShape, TableKey};

/// The schema (draft 2020-12), made from the keys. No key is required in the file: each can be an environment
/// variable.
pub fn schema() -> Value {
    let keys = RawConfig::keys();
    let sections = RawConfig::SECTIONS.iter().map(|(section, intro)| {
        let keys = keys.iter().filter(|key| key.section == *section);
        let properties: Map<_, _> = keys.map(|key| (key.name.clone(), property(key))).collect();
        ((*section).to_owned(), closed(intro, properties))
    });
    let mut schema = closed("Configuration of auth-api", sections.collect());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema
}

/// An object with no other properties.
fn closed(description: &str, properties: Map<String, Value>) -> Value {
    json!({"type": "object", "description": description, "properties": properties, "additionalProperties": false})
}

fn property(key: &ConfigKey) -> Value {
    let mut property = shape(&key.shape);
    property["description"] = json!(key.doc);
    // As the file has it: the text of a default is TOML.
    let value = |text: &str| match format!("v = {}", key.shape.toml(text)).parse::<toml::Table>() {
        Ok(mut table) => json!(table.remove("v")),
        Err(_) => json!(text),
    };
    match key.default {
        _ if key.shape.is_tables() => {}
        DefaultValue::Value(default) => property["default"] = value(default),
        DefaultValue::Required(example) | DefaultValue::Absent(example) => {
            property["examples"] = json!([value(example)]);
        }
    }
    property
}

fn shape(shape: &KeyShape) -> Value {
    match shape {
        KeyShape::String => json!({"type": "string"}),
        KeyShape::Duration => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
        KeyShape::Choice(words) => json!({"type": "string", "enum": words}),
        KeyShape::Boolean => json!({"type": "boolean"}),
        KeyShape::Integer(range) => json!({"type": "integer", "minimum": range.start(), "maximum": range.end()}),
        KeyShape::Number(range) => json!({"type": "number", "minimum": range.start(), "maximum": range.end()}),
        KeyShape::List => json!({"type": "array", "items": {"type": "string"}}),
        KeyShape::Choices(words) => json!({"type": "array", "items": {"type": "string", "enum": words}}),
        KeyShape::Tables(keys) => json!({"type": "array", "items": table(keys)}),
    }
}

fn table(keys: &[TableKey]) -> Value {
    let properties: Map<_, _> = keys.iter().map(|key| (key.name.clone(), shape(&key.shape))).collect();
    let required: Vec<_> = keys.iter().filter(|key| key.required).map(|key| &key.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

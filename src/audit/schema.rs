//! The JSON Schema of a record.

use super::event::AuditEvent;
use super::{AuditRecord, LogFields, RequestContext};
use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema};

/// What each line is, as JSON Schema 2020-12: one alternative for each event. A record has no other field than those.
pub fn schema() -> Value {
    let (mut referred, mut events) = (Vec::new(), to_value(&AuditEvent::schema()));
    AuditEvent::schemas(&mut referred);
    AuditRecord::schemas(&mut referred);
    let record = to_value(&AuditRecord::schema());
    let optional = [to_value(&RequestContext::schema()), to_value(&LogFields::schema())];
    for event in events["oneOf"].as_array_mut().into_iter().flatten() {
        for (name, field) in optional.iter().chain([&record]).flat_map(|part| part["properties"].as_object()).flatten()
        {
            event["properties"][name] = field.clone();
        }
        let required: Vec<_> =
            [&record, &*event].iter().flat_map(|part| part["required"].as_array()).flatten().collect();
        event["required"] = json!(required);
        event["additionalProperties"] = false.into();
    }
    let definitions: serde_json::Map<_, _> =
        referred.iter().map(|(name, schema)| (name.clone(), to_value(schema))).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record of auth-api's audit stream",
        "description": "One JSON object a line.",
        "oneOf": events["oneOf"],
        "$defs": definitions,
    });
    let text = schema.to_string().replace("#/components/schemas/", "#/$defs/");
    serde_json::from_str(&text).expect("what was JSON still is")
}

fn to_value(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).expect("a schema is plain data")
}

//! Every parameter of the templates has a row in `parameters.json`: what MiniStack makes of it (`made`), what it refuses
//! (`refused`), or what a template comes to where no emulator knows the resource (`meant`).

use super::{Emulator, deploy, python};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn rows() -> Value {
    serde_json::from_str(include_str!("parameters.json")).unwrap()
}

fn list(rows: &Value) -> &[Value] {
    rows.as_array().unwrap()
}

/// The parameters that a template needs in any case, with those of a row.
fn given(always: &Value, row: &Value) -> Value {
    let mut given = always.as_object().unwrap().clone();
    given.extend(row.as_object().cloned().unwrap_or_default());
    Value::Object(given)
}

/// What is found at each place is what is expected there, or has the text between two stars in it.
fn judge(row: &Value, found: &Value, expected: &Value) {
    for (place, expected) in expected.as_object().unwrap() {
        let found = found.pointer(place).unwrap_or(&Value::Null);
        let part = expected.as_str().and_then(|text| text.strip_prefix('*')?.strip_suffix('*'));
        let fits = match part {
            Some(part) => found.as_str().is_some_and(|text| text.contains(part)),
            None => found == expected,
        };
        assert!(fits, "{row}: {place} is {found}, not {expected}");
    }
}

#[tokio::test]
#[ignore = "needs MiniStack"]
async fn a_pool_is_made_as_its_parameters_say() {
    let (rows, ministack) = (rows(), Emulator::ministack().await);
    for (number, row) in list(&rows["made"]).iter().enumerate() {
        // In one emulator, no two pools may have the same prefix.
        let always = given(&rows["given"]["pool"], &json!({ "DomainPrefix": format!("people-{number}") }));
        let mut told = row[0].clone();
        told["name"] = format!("row-{number}").into();
        told["parameters"] = given(&always, &row[0]["parameters"]);
        judge(&row[0], &ministack.stack("aws/pool.yaml", told).await, &row[1]);
    }
}

#[tokio::test]
#[ignore = "needs MiniStack"]
async fn parameters_that_cognito_would_refuse_halfway_are_refused_at_once() {
    let (rows, ministack) = (rows(), Emulator::ministack().await);
    for row in list(&rows["refused"]) {
        let told = json!({ "parameters": given(&rows["given"]["pool"], &row[0]) });
        let reason = format!("*{}*", row[1].as_str().unwrap());
        judge(&row[0], &ministack.stack("aws/pool.yaml", told).await, &json!({ "/refused": reason }));
    }
}

#[test]
#[ignore = "needs cfn-lint"]
fn templates_mean_what_their_parameters_say_and_every_parameter_has_a_row() {
    let rows = rows();
    let names = |template: &str, parameters: &Value| -> Vec<(String, String)> {
        let names = parameters.as_object().into_iter().flatten();
        names.map(|(name, _)| (template.to_owned(), name.clone())).collect()
    };
    let (mut declared, mut tested) = (BTreeSet::new(), BTreeSet::new());
    for row in list(&rows["made"]) {
        tested.extend(names("pool", &row[0]["parameters"]));
        tested.extend(names("pool", &row[0]["then"]));
    }
    for row in list(&rows["meant"]) {
        let template = row[0].as_str().unwrap();
        let parameters = given(&rows["given"][template], &row[1]);
        tested.extend(names(template, &parameters));
        let file = deploy(&format!("aws/{template}.yaml"));
        let told = json!({ "template": file.to_str().unwrap(), "parameters": parameters });
        let meant = python("meaning.py", &told);
        judge(row, &meant, &row[2]);
        for name in meant["parameters"].as_array().into_iter().flatten() {
            declared.insert((template.to_owned(), name.as_str().unwrap().to_owned()));
        }
    }
    let missing: Vec<_> = declared.difference(&tested).collect();
    assert!(missing.is_empty() && declared.len() > 60, "no row for {missing:?}");
}

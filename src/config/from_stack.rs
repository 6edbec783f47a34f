//! A configuration for the user pool that a CloudFormation stack has made: `deploy/aws/pool.yaml`, or one with the
//! same outputs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Mistake, line, shown};
use super::sections::aws::identity_pool_id;
use super::values::issuer::{self, Profile};
use super::values::{hosts, oauth, urls};

const OUTPUTS: &str =
    "Take what `aws cloudformation describe-stacks --stack-name NAME` prints, or its list of Outputs.";

/// The text of a configuration file, from the JSON of `aws cloudformation describe-stacks` or only its `Outputs`.
/// Its secrets are in files that do not exist yet; comments say how to fill them.
///
/// # Errors
/// Every output that is missing, and every one that a configuration would be refused for.
pub fn from_stack(json: &str) -> Result<String, Vec<Diagnostic>> {
    let outputs = outputs(json).map_err(|mistake| vec![mistake.at("the stack")])?;
    let mut stack = Stack { outputs, diagnostics: vec![] };
    let public_url = stack.needed("PublicUrl", |text| urls::public_url(text).map(|url| url.as_str().to_owned()));
    let issuer = stack.needed("Issuer", cognito_issuer);
    let client = stack.needed("WebClientId", word);
    let region = stack.needed("Region", word);
    let pool = stack.needed("UserPoolId", word);
    let domain = stack.needed("HostedDomain", hosts::host_name);
    let cookies = stack.optional("CookieDomain", hosts::cookie_domain);
    let identities = stack.optional("IdentityPoolId", identity_pool_id);
    let machines = stack.optional("MachineClientId", word);
    let scopes = stack.optional("ResourceServerScopes", |text| {
        text.split_whitespace().map(oauth::scope).collect::<Result<Vec<_>, _>>()
    });
    let (Some(public_url), Some(issuer), Some(client), Some(region), Some(pool), Some(domain), []) =
        (public_url, issuer, client, region, pool, domain, &stack.diagnostics[..])
    else {
        return Err(stack.diagnostics);
    };
    let secret_of = |client: &str, file: &str| secret_of(&region, &pool, client, file);
    let mut text = format!(
        "# For the user pool {pool}. `auth-api config-reference` prints every key; `auth-api check` judges this file.\n\
         # Make the folder for the secrets first, beside this file: (umask 077 && mkdir secrets)\n\n\
         [server]\n\
         public_url = {}\n\
         # The addresses of what ends TLS in front: whose word about visitors and pages counts.\n\
         #trusted_proxies = [\"10.0.0.0/16\"]\n\n\
         # Google and Facebook are told https://{domain}/oauth2/idpresponse\n\
         [provider]\n\
         issuer = {}\n\
         client_id = {}\n\
         {}client_secret_file = \"secrets/client-secret\"\n\
         scopes = [\"openid\", \"email\", \"profile\", \"aws.cognito.signin.user.admin\"]\n\n\
         [cookies]\n",
        toml(&public_url),
        toml(&issuer),
        toml(&client),
        secret_of(&client, "secrets/client-secret"),
    );
    if let Some(cookies) = cookies {
        text += &format!("domain = {}\n", toml(&cookies));
    }
    text += "# openssl rand -base64 32 > secrets/cookie-keys\n\
             keys_file = \"secrets/cookie-keys\"\n\n\
             [session]\n\
             # One process and a file beside this one; several processes share a Redis: \"rediss://…\".\n\
             store = \"redb:auth-api.redb\"\n\
             # As long as the app client's refresh token.\n\
             max_age = \"30d\"\n";
    if let Some(identities) = identities {
        text += &format!("\n[aws]\nidentity_pool = {}\n", toml(&identities));
    }
    if let Some(machines) = machines {
        text +=
            &upstream(&machines, &scopes.unwrap_or_default(), &secret_of(&machines, "secrets/machine-client-secret"));
    }
    Ok(text)
}

/// The commands that fill a secret's file.
fn secret_of(region: &str, pool: &str, client: &str, file: &str) -> String {
    format!(
        "# aws cognito-idp describe-user-pool-client --region {region} --user-pool-id {pool} --client-id {client} \\\n\
         #   --query UserPoolClient.ClientSecret --output text > {file}\n\
         # or, where it was put into Secrets Manager:\n\
         # aws secretsmanager get-secret-value --region {region} --secret-id NAME --query SecretString --output text > {file}\n"
    )
}

/// The app client for machines; `secret` says how to fill its file.
fn upstream(client: &str, scopes: &[String], secret: &str) -> String {
    let asked: String = scopes.iter().map(|scope| format!(" --scope {}", quoted(scope))).collect();
    format!(
        "\n# Register the programs that use it:\n\
         # auth-api client new --id NAME --owner WHO{asked} --upstream machines\n\
         [[machine.upstream]]\n\
         name = \"machines\"\n\
         client_id = {}\n\
         {secret}client_secret_file = \"secrets/machine-client-secret\"\n",
        toml(client),
    )
}

struct Stack {
    outputs: BTreeMap<String, String>,
    diagnostics: Vec<Diagnostic>,
}

impl Stack {
    fn needed<T>(&mut self, name: &str, judge: impl Fn(&str) -> Result<T, Mistake>) -> Option<T> {
        if !self.outputs.contains_key(name) {
            let what = "The stack has no such output.";
            let instead = "Create it from deploy/aws/pool.yaml, or give it the outputs that are there.";
            self.diagnostics.push(Mistake::new(what, instead).at(format!("Outputs.{name}")));
        }
        self.optional(name, judge)
    }

    /// `None` too where it is wrong, which is a problem then.
    fn optional<T>(&mut self, name: &str, judge: impl Fn(&str) -> Result<T, Mistake>) -> Option<T> {
        match judge(self.outputs.get(name)?) {
            Ok(value) => Some(value),
            Err(mistake) => {
                self.diagnostics.push(mistake.at(format!("Outputs.{name}")));
                None
            }
        }
    }
}

fn outputs(json: &str) -> Result<BTreeMap<String, String>, Mistake> {
    let told: Value = serde_json::from_str(json)
        .map_err(|e| Mistake::new(format!("It is no JSON ({}).", line(&e.to_string())), OUTPUTS))?;
    let stack = match told.get("Stacks").map(|stacks| stacks.as_array().map(Vec::as_slice)) {
        Some(Some([stack])) => stack,
        Some(_) => return Err(Mistake::new("It is not about one stack.", OUTPUTS)),
        None => &told,
    };
    let list = stack.get("Outputs").unwrap_or(stack).as_array();
    let list = list.ok_or_else(|| Mistake::new("It has no list of outputs; is the stack finished?", OUTPUTS))?;
    let text = |output: &Value, key: &str| output.get(key).and_then(Value::as_str).map(str::to_owned);
    let pairs = list.iter().map(|output| Some((text(output, "OutputKey")?, text(output, "OutputValue")?)));
    pairs.collect::<Option<_>>().ok_or_else(|| Mistake::new("An output has no OutputKey or no OutputValue.", OUTPUTS))
}

fn cognito_issuer(text: &str) -> Result<String, Mistake> {
    let issuer = issuer::issuer(text)?;
    issuer::check(&issuer, Profile::Cognito).map(|()| issuer)
}

/// What stands in commands that people copy.
fn word(text: &str) -> Result<String, Mistake> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+')) {
        return Ok(text.to_owned());
    }
    Err(Mistake::new(format!("{} has signs that do not belong there.", shown(text)), OUTPUTS))
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn toml(text: &str) -> String {
    toml::Value::from(text).to_string()
}

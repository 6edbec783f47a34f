//! What users can do, one file per capability.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]
#![expect(clippy::too_many_lines, reason = "a table of cases is as long as its cases")]

mod acceptance_run;
mod account;
mod audit;
mod authorizer;
mod backchannel;
mod bearer_issuers;
mod client_command;
mod configuration;
mod contrast;
mod deployment;
mod dev_cms;
mod dev_command;
mod dev_pool;
mod dev_triggers;
mod fleet;
mod forward_auth;
mod full;
mod guide;
mod hostile_clients;
mod hostile_provider;
mod house_rules;
mod https;
mod logging;
mod machine;
mod observability;
mod open_files;
mod openapi;
mod operator;
mod other_providers;
mod people;
mod policy_command;
mod real;
mod reauthentication;
mod redis_store;
mod refresh;
mod release;
mod reload;
mod renewal;
mod revocation;
mod service;
mod sessions;
mod several_domains;
mod sign_in;
mod sign_out;
mod stack_command;
mod step_up;
mod store_outage;
mod support;
mod traces;
mod triggers;
mod unix_socket;
mod upgrade;
mod validate;

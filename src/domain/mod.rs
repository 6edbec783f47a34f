//! The nouns: values without I/O, which every other room may use.

pub mod authentication;
pub mod aws;
pub mod backoff;
pub mod callback_key;
pub mod client_registration;
pub mod clock;
pub mod deployment;
pub mod finding;
pub mod host;
pub mod identity;
pub mod machine;
pub mod page;
pub mod page_rules;
pub mod policy;
pub mod principal;
pub mod requirement;
pub mod return_to;
pub mod seal;
pub mod session;
pub mod sign_in;
pub mod store_key;
pub mod subject;
pub mod token;
pub mod transaction;
pub mod untrusted;
pub mod user;

//! What users can do, one file per capability.

mod configuration;

//! `auth-api config from-stack`: the configuration for a user pool that CloudFormation has made.

use super::print;
use crate::config::{self, Problems};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct FromStack {
    /// What `aws cloudformation describe-stacks --stack-name NAME` has printed; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn from_stack(args: &FromStack) -> anyhow::Result<ExitCode> {
    let file = &args.file;
    let json = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("standard input")
    } else {
        std::fs::read_to_string(file).with_context(|| file.display().to_string())
    };
    print(&config::from_stack(&json?).map_err(|found| Problems { within: "the stack", found })?)
}

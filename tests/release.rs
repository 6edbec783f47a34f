//! What a packager takes from the program itself.

use crate::real::component;
use crate::support::process::run;
use std::io::Write;
use std::process::{Command, Stdio};

fn said(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands of `--help`.
fn commands() -> Vec<String> {
    let help = said(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn a_development_build_says_that_it_is_one() {
    assert_eq!(said(&["--version"]), concat!("auth-api ", env!("CARGO_PKG_VERSION"), " (development build)\n"));
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let manual = said(&["man"]);
    assert!(manual.contains("\n.TH auth-api 1 ") && commands().len() > 10, "{manual}");
    for command in commands() {
        assert!(
            manual.contains(&format!("\nauth\\-api\\-{}(1)\n", command.replace('-', "\\-"))),
            "{command} in {manual}"
        );
        let page = said(&["man", &command]);
        assert!(page.contains(&format!("\n.TH auth-api-{command} 1 ")), "{page}");
    }
    assert!(said(&["man", "sessions", "end"]).contains("\\-\\-handle"));
    let folder = tempfile::tempdir().unwrap();
    let unknown = run(folder.path(), &["man", "sesions"]);
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(2) && error.contains("there is no command sesions"), "{error}");
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_every_command() {
    let script =
        said(&["completions", "bash"]) + "\nCOMP_WORDS=(auth-api '')\nCOMP_CWORD=1\n_auth__api auth-api '' auth-api\n";
    let script = script + "printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new(component("bash")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    let offered = String::from_utf8(output.stdout).unwrap();
    for command in commands() {
        assert!(offered.lines().any(|line| line == command), "{command} in {offered}");
    }
}

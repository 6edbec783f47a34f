//! An operator registers a program with `auth-api client new`.

use crate::support::Browser;
use crate::support::process::{run, serve, spawn};
use auth_api::config::{Sources, load};
use std::io::Write;
use std::path::Path;

/// Exit code, standard output and error of `auth-api client new`.
fn new(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = run(folder, &[&["client", "new"], arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The secret and the block in what was printed.
fn printed(output: &str) -> (&str, &str) {
    let secret = output.lines().find_map(|line| line.strip_prefix("client_secret  ")).unwrap();
    (secret, &output[output.find("[[machine.client]]").unwrap()..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_is_all_that_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    let (port, ops) = (service.port(), service.ops.rsplit(':').next().unwrap().parse().unwrap());
    drop(service);
    let ask = |id: &str| {
        let scopes = ["--scope", "cms/write", "--scope", "cms/read"];
        let arguments = [&["--id", id, "--owner", "the \"data\" team\\\n#", "--upstream", "dev"][..], &scopes].concat();
        let (code, output, error) = new(folder.path(), &arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{output}");
        output
    };
    let (first, second) = (ask("nightly"), ask("weekly.report-2"));
    let ((secret, block), (other, file)) = (printed(&first), printed(&second));
    assert_ne!(secret, other);
    assert_eq!((secret.len(), first.matches(secret).count()), (43, 1), "once: {first}");
    assert!(first.contains("client_id      nightly\n") && block.contains("in a file of machine.clients"), "{first}");

    // One in the configuration itself, one in a file beside it.
    let mut toml = std::fs::OpenOptions::new().append(true).open(folder.path().join("auth-api.toml")).unwrap();
    let upstream = "name = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n";
    write!(toml, "[machine]\nclients = \"clients.d\"\n[[machine.upstream]]\n{upstream}{block}").unwrap();
    std::fs::create_dir(folder.path().join("clients.d")).unwrap();
    let file = file.replace("[[machine.client]]", "[[client]]");
    std::fs::write(folder.path().join("clients.d/weekly.toml"), file).unwrap();

    let path = folder.path().join("auth-api.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let clients = load(Sources { file: Some((path, text)), env: vec![] }).unwrap().machine.read_clients().unwrap();
    assert_eq!(clients["nightly"].owner, "the \"data\" team\\\n#");
    let service = spawn(folder.path(), port, ops).expect("it starts with its clients");
    for (id, secret, status) in [("nightly", secret, 200), ("weekly.report-2", other, 200), ("nightly", other, 401)] {
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let answer = Browser::new().post(&format!("{}/token", service.url), &form).await;
        assert_eq!(answer.status, status, "{id}: {answer:?}");
        if status == 200 {
            assert_eq!(answer.json()["scope"], "cms/read cms/write");
        }
    }
}

#[test]
fn what_the_configuration_would_refuse_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(65);
    let good = [("--id", "nightly"), ("--owner", "data team"), ("--scope", "cms/read"), ("--upstream", "dev")];
    for (flag, value, words) in [
        ("--id", "night ly", "letters, digits"),
        ("--id", "nächtlich", "letters, digits"),
        ("--id", &*long, "at most 64"),
        ("--id", "", "text is expected"),
        ("--owner", " ", "text is expected"),
        ("--owner", &*"a".repeat(257), "at most 256"),
        ("--scope", "cms/read cms/write", "white space"),
        ("--scope", "a\"b", "cannot have"),
        ("--scope", "", "once for each scope"),
        ("--upstream", "", "text is expected"),
    ] {
        let pairs = good.map(|(name, right)| if name == flag { [name, value] } else { [name, right] });
        let (code, output, error) = new(folder.path(), &pairs.concat());
        assert_eq!((code, output.as_str()), (1, ""), "{flag} {value}: {error}");
        assert!(error.contains(&format!("\n{flag}\n")) && error.contains(words), "{flag} {value}: {error}");
        let without: Vec<_> = good.iter().filter(|(name, _)| *name != flag).flat_map(|(n, v)| [*n, *v]).collect();
        let (code, output, error) = new(folder.path(), &without);
        assert_eq!((code, output.as_str()), (2, ""), "without {flag}: {error}");
        assert!(error.contains(flag), "without {flag}: {error}");
    }
}

#[test]
fn resources_are_listed_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |resource: &str| {
        let client = ["--id", "nightly", "--owner", "data team", "--scope", "cms/read", "--upstream", "dev"];
        new(folder.path(), &[&client[..], &["--resource", resource]].concat())
    };
    let (code, output, _) = ask("https://api.example.com");
    assert_eq!(code, 0);
    assert!(printed(&output).1.contains("resources = [\"https://api.example.com\"]\n"), "{output}");
    let (code, output, error) = ask("orders");
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(error.contains("--resource") && error.contains("cannot name a resource"), "{error}");
}

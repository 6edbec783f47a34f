//! What a reviewer would say about `src`: who may import whom, and how files are kept.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails; so do the steps it shares")]

mod circles;
mod reading;

use circles::circles;
use reading::{Reading, read};
use std::collections::BTreeMap;
use std::path::Path;

/// A room, what it may import of the house, and what to do with code that wants more.
struct Room {
    path: &'static str,
    may: &'static [&'static str],
    otherwise: &'static str,
}

/// The first line whose path a file is under (or is) counts.
const ROOMS: [Room; 24] = [
    Room {
        path: "domain",
        may: &[],
        otherwise: "nouns know nobody: take what you need as an argument, or put the verb into flow",
    },
    Room { path: "words", may: &[], otherwise: "sentences know nobody: which of them is said when is for web" },
    Room {
        path: "config",
        may: &["domain", "words"],
        otherwise: "configuration is read before anything else exists: let app hand the values to whoever needs them",
    },
    Room {
        path: "telemetry",
        may: &["outbound"],
        otherwise: "count, log and trace plain values: let the caller take its types apart",
    },
    Room {
        path: "audit",
        may: &["domain", "telemetry"],
        otherwise: "it writes records down and knows no flow: hand it an event of plain values",
    },
    Room {
        path: "outbound",
        may: &["domain"],
        otherwise: "it sends requests, whoever makes them: what a response means is for the caller",
    },
    Room {
        path: "postgres",
        may: &["config"],
        otherwise: "it sends statements, whoever made them: what is in the tables is for store and directory",
    },
    Room {
        path: "provider",
        may: &["domain", "config", "telemetry", "outbound"],
        otherwise: "it speaks OpenID Connect and decides nothing: what to do with its answer belongs in flow",
    },
    Room {
        path: "store",
        may: &["domain", "config", "telemetry", "postgres"],
        otherwise: "it keeps records and decides nothing: what to do with them belongs in flow",
    },
    Room {
        path: "directory",
        may: &["domain", "config", "telemetry", "postgres", "outbound"],
        otherwise: "it keeps rows of people and decides nothing: what is told to whom belongs in flow",
    },
    Room {
        path: "flow",
        may: &[
            "domain",
            "config::AccountOffer",
            "config::Config",
            "config::MachineConfig",
            "provider",
            "store",
            "directory",
            "telemetry",
            "audit",
        ],
        otherwise: "a verb knows no HTTP, and of the configuration the finished structs only, which are plain data: \
                    take requests apart in web, and read and judge files in config",
    },
    Room {
        path: "web",
        may: &[
            "domain",
            "config",
            "telemetry",
            "provider",
            "flow",
            "store::OpenedSession",
            "store::Error",
            "directory::ChangePosition",
            "audit",
            "words",
        ],
        otherwise: "web asks flows: what reads or writes sessions belongs in flow, what puts parts together in app",
    },
    Room {
        path: "app",
        may: &[
            "domain",
            "config",
            "telemetry",
            "outbound",
            "postgres",
            "provider",
            "store",
            "directory",
            "flow",
            "web",
            "audit",
        ],
        otherwise: "the composition root is below the command line: hand over what it needs as an argument",
    },
    Room {
        path: "acceptance",
        may: &["config", "domain", "outbound", "provider"],
        otherwise: "it asks a pool and judges with provider: what the service does with an answer belongs in flow",
    },
    Room {
        path: "cli",
        may: &[
            "acceptance",
            "app",
            "audit",
            "config",
            "directory::SyncCounts",
            "domain",
            "telemetry",
            "provider",
            "web",
            "words",
            "dev",
        ],
        otherwise: "a command starts app and prints what comes of it: the work belongs in a room of its own",
    },
    Room { path: "main", may: &["cli"], otherwise: "it only hands over to cli" },
    Room {
        path: "variables",
        may: &["domain"],
        otherwise: "it reads variables, whatever they mean: rules for them belong in the settings of each function",
    },
    Room {
        path: "authorizer",
        may: &["config", "domain", "outbound", "provider", "telemetry", "variables"],
        otherwise: "it runs on AWS Lambda, without the service: what the service knows it asks /validate",
    },
    Room {
        path: "triggers",
        may: &["domain", "outbound", "variables"],
        otherwise: "it runs on AWS Lambda, without the service: what both need is a noun in domain or an edge in outbound",
    },
    Room {
        path: "bin/cognito-triggers",
        may: &["telemetry", "triggers"],
        otherwise: "it reads the environment and hands events over: what is done with them belongs in triggers",
    },
    Room {
        path: "bin/api-gateway-authorizer",
        may: &["authorizer", "domain", "telemetry"],
        otherwise: "it reads the environment and hands events over: what is done with them belongs in authorizer",
    },
    Room {
        path: "dev/pool",
        may: &["dev::pool"],
        otherwise: "the user pool is a stranger in this house: it learns everything over HTTP, like a real one",
    },
    Room {
        path: "dev/cms",
        may: &["dev::cms"],
        otherwise: "the demo site is a stranger in this house: it knows what the outside contract says, and nothing else",
    },
    Room {
        path: "dev",
        may: &["app", "config", "domain", "flow", "store", "telemetry", "triggers"],
        otherwise: "it starts the service as an operator would; what the service itself needs belongs in app",
    },
];

/// Crates that stop at a door: their names, where they may be used, and what to do elsewhere.
const DOORS: [(&[&str], &[&str], &str); 15] = [
    (
        &["axum", "axum_core"],
        &["web", "app", "dev"],
        "answer with a plain type and let a handler in web turn it into a response",
    ),
    (&["tower", "tower_http", "tower_service"], &["web"], "layers belong in web/layers.rs"),
    (
        &["axum_server", "hyper_util"],
        &["app", "web"],
        "listening belongs in web/listen.rs, starting and stopping in app",
    ),
    (&["tower_sessions"], &["web"], "the browser's session is web's; a flow takes and gives ids"),
    (&["openidconnect", "oauth2"], &["provider"], "give provider a method that takes and returns types of domain"),
    (
        &["reqwest"],
        &["outbound", "dev/cms"],
        "requests go through the one client in outbound, those to the provider through provider/http.rs",
    ),
    (&["reqsign_aws_v4", "reqsign_core"], &["outbound/user_pools"], "what is signed goes through UserPools::call"),
    (&["lambda_runtime"], &["bin"], "functions know events, not what runs them"),
    (&["redb"], &["store/redb"], "stay behind SessionStore: a store is one file"),
    (&["redis"], &["store/redis"], "stay behind SessionStore: a store is one folder"),
    (
        &["governor"],
        &["flow/machine", "flow/aws_credentials", "flow/read_directory"],
        "limits belong where the flow that they bound is",
    ),
    (
        &["opentelemetry", "opentelemetry_sdk", "opentelemetry_proto", "prost", "tracing_opentelemetry"],
        &["telemetry/traces"],
        "spans are made with tracing, under the target of telemetry/traces",
    ),
    (&["clap"], &["cli"], "arguments belong in cli"),
    (&["utoipa_axum"], &["web"], "routes belong in web/mod.rs"),
    (&["utoipa"], &["web", "domain", "audit"], "the document is web's; a noun that is serialised may have a schema"),
];

/// Rooms that may name the exceptions of AWS's APIs.
const AWS_ROOMS: [&str; 4] = ["outbound", "provider", "triggers", "dev"];

/// What does I/O, and so is nothing for a noun.
const NO_NOUNS: [&str; 6] = ["tokio", "std::fs", "std::net::TcpStream", "std::process", "std::env", "std::thread"];

const LINES_MAX: usize = 450;
const NO_JOB: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "manager", "managers", "service", "services", "misc"];

/// Names that say nothing of what they name, of types, functions and fields.
const NO_NAMES: [&str; 13] =
    ["asked", "helper", "info", "kept", "known", "manager", "misc", "said", "stuff", "thing", "told", "util", "utils"];

/// Everything there is to say about one file; `path` is relative to `src`.
fn review(path: &str, source: &str) -> Vec<String> {
    let reading = read(path, source);
    let mut remarks = Vec::new();
    let mut say = |line: usize, what: String| remarks.push(format!("src/{path}:{line} {what}"));
    imports(path, &reading, &mut say);
    for (line, word) in &reading.attributes_without_reason {
        say(
            *line,
            format!(
                "silences a lint with a bare `{word}`. Write #[expect(lint, reason = \"…\")], or mend what it says"
            ),
        );
    }
    if !AWS_ROOMS.iter().any(|room| is_in(path, room)) {
        for (at, _) in source.lines().enumerate().filter(|(_, line)| line.contains("Exception")) {
            say(at + 1, "names an exception of AWS. Give provider::Error a method that says what it means".to_owned());
        }
    }
    let names = [&reading.types, &reading.functions, &reading.fields].into_iter().flatten();
    for (line, name) in names {
        if NO_NAMES.contains(&name.to_lowercase().as_str()) {
            say(
                *line,
                format!("calls something `{name}`, which says nothing. A name is a noun that says what the thing is"),
            );
        }
    }
    let lines = source.lines().count();
    if lines > LINES_MAX {
        say(
            lines,
            format!("is line {lines} of one file; {LINES_MAX} is the most. It holds two things: give each a file"),
        );
    }
    for part in path.trim_end_matches(".rs").split('/').filter(|part| NO_JOB.contains(part)) {
        say(1, format!("is in something called `{part}`, which is no job. Name the file after what it does"));
    }
    remarks
}

fn imports(path: &str, reading: &Reading, say: &mut impl FnMut(usize, String)) {
    // lib.rs is the map: it declares every room and uses none.
    let Some(room) = ROOMS.iter().find(|room| is_in(path, room.path)) else {
        // The build script is no part of the program.
        if !matches!(path, "lib.rs" | "build.rs") {
            say(
                1,
                "is in no room. Put it into one, or draw a new room on the map in lib.rs and in this test".to_owned(),
            );
        }
        return;
    };
    let name = room.path;
    for (line, used) in &reading.inside {
        let own = !name.contains('/') && starts_with(used, name);
        // A room may be named where only some of it may be used: what is used of it is seen where it is.
        let may = |allowed: &&str| starts_with(used, allowed) || starts_with(allowed, used);
        if !own && !room.may.iter().any(may) {
            let may = match room.may {
                [] => "nothing of the house".to_owned(),
                all => all.join(", "),
            };
            say(*line, format!("imports crate::{used}. {name} may import {may}: {}", room.otherwise));
        }
    }
    for (line, used) in &reading.outside {
        let door = DOORS.iter().find(|(crates, ..)| crates.iter().any(|name| starts_with(used, name)));
        if let Some((_, doors, otherwise)) = door.filter(|(_, doors, _)| !doors.iter().any(|door| is_in(path, door))) {
            let doors: Vec<String> = doors.iter().map(|door| format!("src/{door}")).collect();
            say(*line, format!("uses {used}, which stops at {}: {otherwise}", doors.join(" and ")));
        }
        if name == "domain" && NO_NOUNS.iter().any(|io| starts_with(used, io)) {
            say(*line, format!("uses {used}. domain does no I/O: put what reads or waits into provider, store or app"));
        }
    }
}

/// Types that share their name with another.
fn namesakes(files: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, source) in files {
        for (line, name) in read(path, source).types {
            places.entry(name).or_default().push(format!("src/{path}:{line}"));
        }
    }
    // Always qualified by their module.
    let exempt = |name: &str| ["Error", "Result"].contains(&name);
    places.retain(|name, places| places.len() > 1 && !exempt(name));
    let say = |(name, places): (&String, &Vec<String>)| {
        format!("{} each define a type `{name}`. A name means one thing: say what each is", places.join(" and "))
    };
    places.iter().map(say).collect()
}

/// Circles of imports between the files of a room.
fn import_circles(files: &[(String, String)]) -> Vec<String> {
    let room = |path: &str| ROOMS.iter().find(|room| is_in(path, room.path)).map(|room| room.path);
    let say = |circle: Vec<String>| {
        format!(
            "src/{} import each other in a circle. Move what they share to a file of its own",
            circle.join(", src/")
        )
    };
    circles(files, room).into_iter().map(say).collect()
}

/// Whether a file is in a room: a folder, a file of that name, or a file named in full.
fn is_in(path: &str, room: &str) -> bool {
    path == room || path.strip_prefix(room).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Whether a path leads to `prefix` or further in.
fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every Rust file under `src`, by its path relative to it.
fn house() -> Vec<(String, String)> {
    fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    files
}

#[test]
fn the_house_is_in_order() {
    let files = house();
    let each = files.iter().flat_map(|(path, source)| review(path, source));
    let remarks: Vec<String> = each.chain(namesakes(&files)).chain(import_circles(&files)).collect();
    assert!(remarks.is_empty(), "\n\n{}\n", remarks.join("\n\n"));
}

#[test]
fn the_whole_house_is_read() {
    let files = house();
    assert!(files.len() >= 70, "only {} files were found", files.len());
    for room in ROOMS {
        assert!(files.iter().any(|(path, _)| is_in(path, room.path)), "no file of {} was found", room.path);
    }
    // Imports that are there by design. If they are not seen, the others are not either.
    let sees = |room: &str, other: &str| {
        let mut files = files.iter().filter(|(path, _)| is_in(path, room));
        files.any(|(path, source)| read(path, source).inside.iter().any(|(_, used)| starts_with(used, other)))
    };
    for (room, other) in [
        ("main", "cli"),
        ("cli", "dev"),
        ("cli", "app"),
        ("app", "web"),
        ("web", "flow"),
        ("web", "store::Error"),
        ("flow", "provider"),
        ("flow", "store"),
        ("provider", "domain"),
        ("store", "domain"),
        ("dev/pool", "dev::pool"),
        ("dev/cms", "dev::cms"),
    ] {
        assert!(sees(room, other), "{room} is not seen to import crate::{other}");
    }
}

#[test]
fn a_broken_rule_is_found_and_explained() {
    let broken = [
        (
            "domain/seal.rs",
            "//! x\nuse crate::flow::Error;",
            ":2 imports crate::flow::Error. domain may import nothing",
        ),
        (
            "domain/seal.rs",
            "use axum::http::HeaderMap;",
            "uses axum::http::HeaderMap, which stops at src/web and src/app",
        ),
        ("domain/seal.rs", "fn f() { tokio::spawn(async {}); }", "domain does no I/O"),
        ("config/load.rs", "use super::super::store::open;", "imports crate::store::open. config may"),
        ("telemetry/mod.rs", "use crate::{config::Config, domain as d};", "imports crate::config::Config"),
        ("telemetry/mod.rs", "use crate::{config::Config, domain as d};", "imports crate::domain"),
        ("provider/mod.rs", "fn f(x: &crate::store::OpenedSession) {}", "imports crate::store::OpenedSession"),
        ("provider/mod.rs", "mod a { mod b { use super::super::super::flow; } }", "imports crate::flow"),
        ("store/mod.rs", "pub use crate::provider::Error;", "what to do with them belongs in flow"),
        ("store/memory.rs", "use redb::Database;", "stops at src/store/redb"),
        ("store/mod.rs", "mod redb;\nuse ::redb::Database;", ":2 uses redb::Database"),
        ("store/sessions.rs", "use redis::Cmd;", "stops at src/store/redis"),
        ("flow/refresh.rs", "use {std::fmt, crate::{domain::{clock, seal}, web::{self}}};", "imports crate::web"),
        ("flow/refresh.rs", "use crate::config::{Config, load};", "imports crate::config::load"),
        ("flow/refresh.rs", "type R = Result<<T as crate::web::Web>::X, E>;", "imports crate::web::Web"),
        ("flow/refresh.rs", "extern crate reqwest as r;", "uses reqwest"),
        (
            "web/api.rs",
            "use crate::store::{self, OpenedSession}; fn f(s: &dyn store::SessionStore) {}",
            "crate::store::SessionStore",
        ),
        ("web/api.rs", "use crate::store::*;", "imports crate::store::*"),
        ("web/api.rs", "use crate::app::App;", "in app"),
        ("web/api.rs", "use openidconnect as o;", "give provider a method"),
        ("web/api.rs", "#[cfg(feature = \"dev\")] use crate::dev::environment;", "imports crate::dev::environment"),
        ("app.rs", "use crate::cli::bind;", "imports crate::cli::bind"),
        ("main.rs", "fn main() { auth_api::app::x() }", "imports crate::app::x"),
        ("dev/pool/keys.rs", "use crate::domain::seal;", "a stranger in this house"),
        ("dev/pool/keys.rs", "use super::super::cms::Cms;", "imports crate::dev::cms::Cms"),
        ("dev/cms/site.rs", "use crate::dev::pool::UserPool;", "imports crate::dev::pool::UserPool"),
        ("dev/pool/keys.rs", "use reqwest::Client;", "the one client"),
        ("dev/environment.rs", "use crate::provider::Provider;", "as an operator would"),
        ("cellar/wine.rs", "", "is in no room"),
        ("web/helpers.rs", "", "something called `helpers`"),
        ("flow/common/x.rs", "", "something called `common`"),
        ("flow/x.rs", "#[allow(dead_code)] fn f() {}", "a bare `allow`"),
        ("flow/x.rs", "#![expect(unused,\n clippy::panic)]", "a bare `expect`"),
        ("flow/x.rs", "#[cfg_attr(test, allow(unused))] fn f() {}", "a bare `allow`"),
        ("domain/seal.rs", "fn f() { println!(\"{}\", crate::flow::x()); }", "imports crate::flow::x"),
        ("flow/x.rs", "const C: &str = \"NotAuthorizedException\";", "names an exception of AWS"),
        ("flow/x.rs", "trait T { fn told(&self); }", "calls something `told`"),
        ("flow/x.rs", "enum E { A { info: u8 } }", "calls something `info`"),
        ("flow/x.rs", "type Stuff = u8;", "calls something `Stuff`"),
    ];
    for (path, source, remark) in broken {
        let remarks = review(path, source);
        assert!(remarks.iter().any(|r| r.contains(remark)), "{path}: {source}\nsaid: {remarks:#?}\nnot: {remark}");
        assert!(remarks.iter().all(|r| r.starts_with(&format!("src/{path}:"))), "{remarks:#?}");
    }
    let long = "fn f() {}\n".repeat(LINES_MAX + 1);
    assert!(review("flow/x.rs", &long).concat().contains("holds two things"));

    let twice = house_of(&[("flow/a.rs", "struct Name;"), ("web/b.rs", "mod inner { enum Name {} }")]);
    assert!(namesakes(&twice)[0].starts_with("src/flow/a.rs:1 and src/web/b.rs:1 each define a type `Name`"));
    let circle = house_of(&[
        ("flow/mod.rs", "mod a; mod b; mod c; pub use c::C;"),
        ("flow/a.rs", "use super::b::B;"),
        ("flow/b.rs", "use super::C;"),
        ("flow/c.rs", "fn f() { crate::flow::a::g(); }"),
    ]);
    let remark = "src/flow/a.rs, src/flow/b.rs, src/flow/c.rs import each other";
    assert!(import_circles(&circle).concat().starts_with(remark), "{:?}", import_circles(&circle));
}

fn house_of(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, source)| ((*path).to_owned(), (*source).to_owned())).collect()
}

#[test]
fn what_only_looks_like_a_broken_rule_passes() {
    let fine = [
        ("domain/seal.rs", "// use crate::flow;\n/* use axum::Router; /* crate::web */ */ fn f() {}"),
        ("domain/seal.rs", "const S: &str = \"use crate::flow; \\\" axum::x\"; const C: char = '\"';"),
        ("domain/seal.rs", "const S: &str = r#\"crate::flow::x \" axum::y\"#; fn f<'a>(x: &'a str) {}"),
        ("domain/seal.rs", "mod tests { use super::*; use super::super::clock::Clock; }"),
        ("domain/seal.rs", "pub(crate) fn f() -> impl Sized + use<> {} fn g(axum: u8) -> u8 { axum }"),
        ("store/mod.rs", "mod redb; fn f() { redb::Redb::open(); }"),
        ("store/redb.rs", "use redb::Database;"),
        ("web/session_layer.rs", "use crate::store::{self, OpenedSession}; fn f(e: store::Error) {}"),
        ("web/session_layer.rs", "use tower_sessions::SessionStore;"),
        ("flow/mod.rs", "mod axum; use axum::X;"),
        ("flow/x.rs", "#[expect(unused, reason = \"so\")] fn f() { Some(1).expect(\"x\"); }"),
        ("dev/environment.rs", "use super::cms::Cms; use super::pool::{UserPool}; use crate::app::App;"),
        ("cli.rs", "fn f() { crate::dev::run(); }"),
        ("lib.rs", "pub mod web; pub mod dev;"),
    ];
    for (path, source) in fine {
        assert_eq!(review(path, source), Vec::<String>::new(), "{path}: {source}");
    }
    let errors =
        house_of(&[("flow/a.rs", "enum Error {}"), ("web/b.rs", "use crate::flow::a::Error as E; struct Error;")]);
    assert_eq!(namesakes(&errors), Vec::<String>::new());
    let pair = house_of(&[
        ("flow/mod.rs", "mod a; pub use a::A; pub struct F;"),
        ("flow/a.rs", "use super::F; use crate::web::W;"),
        ("web/w.rs", "use crate::flow::A; struct W;"),
    ]);
    assert_eq!(import_circles(&pair), Vec::<String>::new());
}

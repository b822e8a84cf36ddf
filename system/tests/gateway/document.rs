//! The document that the gateway serves: whether it describes every route, and whether what is
//! answered is what it says.

use crate::shop::Shop;
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use system::config::Config;

/// Makes requests up from a document, and judges the answers by it.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// How long it does so with each account, s.
const TIME_S: &str = "50";
/// Most requests of one operation in one of its phases.
const EXAMPLES: &str = "60";
/// Of two runs with one seed the requests are the same, but for what they are told.
const SEED: &str = "20261127";
/// What it must find: faults, statuses and bodies that the document does not have, answers that do not
/// say what they are, and routes that need no token or header although they should. A 503 is none of
/// these: a sale whose stock is changed opens again, and whoever buys meanwhile is told to come back.
const SETTINGS: &str = r#"
warnings = false
continue-on-failure = true
request-timeout = 25

[generation]
database = "none"

[checks]
enabled = false
not_a_server_error = { enabled = true, expected-statuses = ["2xx", "3xx", "4xx", "503"] }
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_headers_conformance.enabled = true
response_schema_conformance.enabled = true
unsupported_method.enabled = true
allow_header_conformance.enabled = true
missing_required_header.enabled = true
ignored_auth.enabled = true
"#;

/// The statuses of an operation that are refusals, each with the one body that all of them have.
fn refusals<'a>(document: &Value, route: &'a Value) -> BTreeSet<&'a str> {
    let responses = route["responses"].as_object().expect("responses");
    let refusals = responses.iter().filter(|(status, _)| *status != "200");
    let refusals = refusals.map(|(status, told)| {
        assert!(status.parse::<u16>().is_ok(), "{status} is no status");
        let body = told["content"]["application/json"]["schema"]["$ref"].as_str();
        let name = body.and_then(|it| it.strip_prefix("#/components/schemas/"));
        let schema = &document["components"]["schemas"][name.expect("a schema")];
        let properties = schema["properties"].as_object().expect("properties");
        assert!(properties.contains_key("code") && properties.contains_key("message"));
        &**status
    });
    refusals.collect()
}

/// Needs no token, and may be told that a password is wrong.
fn is_login(path: &str) -> bool {
    path.ends_with("/login")
}

#[tokio::test]
async fn the_document_describes_every_route_and_the_page_shows_it() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let document = shop.get("/openapi.json", "").await;
            assert_eq!(document.status, 200);
            let paths = document.body["paths"].as_object().expect("paths");
            let mut described = 0;
            for (path, methods) in paths {
                for (method, route) in methods.as_object().expect("methods") {
                    described += 1;
                    assert!(
                        route["summary"].is_string(),
                        "{method} {path} says what it does"
                    );
                    let needs_token = !route["security"].is_null();
                    let refusals = refusals(&document.body, route);
                    let expected = ["400", "414", "429", "431", "500", "503"];
                    assert!(expected.iter().all(|it| refusals.contains(it)), "{path}");
                    assert_eq!(
                        refusals.contains("401"),
                        needs_token || is_login(path),
                        "{path}"
                    );
                    let takes_body = !route["requestBody"].is_null();
                    assert_eq!(refusals.contains("413"), takes_body, "{path}");
                    let method = Method::from_bytes(method.to_uppercase().as_bytes());
                    let request =
                        shop.request(method.expect("a method"), &path.replace("{id}", "1"), "{}");
                    let told = shop.send(request, "").await;
                    let is_there = !told.message().contains("nothing here") && told.status != 405;
                    assert!(is_there, "{path}: {told:?}");
                    // Refreshing has its token in the same place, and needs no valid one.
                    assert_eq!(told.status == 401, needs_token, "{path}: {told:?}");
                }
            }
            assert!(described > 15, "{described}");
            let of_others = &document.body["paths"]["/api/v1/orders/my"]["get"];
            assert!(refusals(&document.body, of_others).contains("404"));
            let page = shop.get("/docs", "").await;
            assert_eq!(page.status, 200);
            assert!(page.body.as_str().expect("HTML").contains("/openapi.json"));
            shop.get("/health", "").await.expect(200);
        },
    )
    .await;
}

/// Runs it to its end, which is a good one.
fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// Makes a Python of its own in `folder`.
fn install(python: &Path, folder: &Path) -> PathBuf {
    run(Command::new(python).args(["-m", "venv"]).arg(folder));
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", SCHEMATHESIS]));
    folder.join("bin/schemathesis")
}

/// Asks the gateway at `url`, which has so many operations, with the token of one account.
fn make_up((schemathesis, folder): (&Path, &Path), (url, operations): (&str, usize), token: &str) {
    let output = run(Command::new(schemathesis)
        // Where its settings are, and where it leaves its notes.
        .current_dir(folder)
        .args(["run", &format!("{url}/openapi.json"), "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--max-time", TIME_S, "--max-examples", EXAMPLES])
        .args(["--seed", SEED]));
    let said = String::from_utf8_lossy(&output.stdout);
    // What it skips it does not judge.
    let tested = format!("Tested: {operations}\n");
    assert!(said.contains(&tested), "{tested}: {said}");
}

#[tokio::test]
#[ignore = "nightly: needs Python and PyPI, and asks for two minutes"]
async fn whatever_is_asked_is_answered_as_the_document_says() {
    let Some(python) = servers::programs::program(&["python3"]) else {
        return servers::ignored("python3 is missing, and Schemathesis runs on it");
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS).expect("written");
    let environment = folder.path().join("python");
    let installing = tokio::task::spawn_blocking(move || install(&python, &environment));
    let schemathesis = installing.await.expect("installed");
    let change = |config: &mut Config| config.gateway.threads = 1;
    Shop::open(change, async |shop: &Shop| {
        let document = shop.get("/openapi.json", "").await;
        let paths = document.body["paths"].as_object().expect("paths");
        let methods = paths.values().filter_map(Value::as_object);
        let operations = methods.map(serde_json::Map::len).sum();
        for account in ["admin", "testuser1"] {
            let token = shop.login(account).await;
            let url = format!("http://{}", shop.gateway);
            let (schemathesis, folder) = (schemathesis.clone(), folder.path().to_owned());
            let asking = tokio::task::spawn_blocking(move || {
                make_up((&schemathesis, &folder), (&url, operations), &token);
            });
            asking.await.expect("nothing is wrong");
        }
        assert!(shop.counted("seckill_gateway_requests_total{status=\"200\"}") > 100.0);
    })
    .await;
}

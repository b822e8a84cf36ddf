//! What `docker-compose.yml` and `deploy/` configure is there: every file and every variable is read as
//! a role would read it, and nothing in it is unknown or out of its range.

use super::{Config, upstreams};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const COMPOSE: &str = "docker-compose.yml";
const MANIFESTS: &str = "deploy/kubernetes";
/// What the variables of roles begin with.
const PREFIX: &str = "SECKILL__";
/// What stands for the address and for the name of a pod in its manifest, and what is put there.
const OF_PODS: [(&str, &str); 2] = [
    ("$(POD_IP)", "10.1.2.3"),
    ("$(SECKILL__INCARNATION__LABEL)", "seckill-0"),
];
const KEY_OF_TOKENS: &str = "0123456789abcdef0123456789abcdef";
/// As `deploy/secrets.sh` writes it.
const SECRETS: &str = "[database]\nurl = \"mysql://seckill:secret@mariadb:3306/seckill\"\n\
    [redis]\nurl = \"redis://:secret@redis:6379/\"\n\
    [mq]\nurl = \"amqp://seckill:secret@rabbitmq:5672/seckill\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(MANIFESTS)).expect("a folder");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    found.sort();
    found
}

/// The default where `value` is `${NAME:-default}`, without quotes.
fn plain(value: &str) -> String {
    let value = value.trim().trim_matches('"');
    match value
        .strip_prefix("${")
        .and_then(|rest| rest.split_once(":-"))
    {
        Some((_, default)) => default.trim_end_matches('}').to_owned(),
        None => OF_PODS.iter().fold(value.to_owned(), |value, (from, to)| {
            value.replace(from, to)
        }),
    }
}

/// Every variable with every value: `NAME: value` of compose and of a ConfigMap, and
/// `- name: NAME` with `value:` on the line below.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.starts_with(PREFIX) {
            found.push((name.to_owned(), plain(value)));
        } else if name == "- name" && value.trim().starts_with(PREFIX) {
            let below = lines
                .get(index + 1)
                .and_then(|it| it.strip_prefix("value:"));
            // What comes from the pod itself has no value here.
            found.push((value.trim().to_owned(), below.map_or("a".to_owned(), plain)));
        }
    }
    found
}

/// The file `name` inside a ConfigMap.
fn embedded(text: &str, name: &str) -> String {
    let start = format!("  {name}: |\n");
    let (_, rest) = text.split_once(&start).expect(name);
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

/// What a role makes of these files and variables.
fn load(files: &[&Path], variables: &[(String, String)]) -> anyhow::Result<Config> {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let variables: HashMap<_, _> = variables.iter().cloned().collect();
    let mut config = Config::merged(Some(&names.join(":")), Some(variables))?;
    config.jwt.read_secret()?;
    config.validate()?;
    Ok(config)
}

/// Secrets in a folder, and `variables` with the path of the key that is there.
fn with_secrets(
    variables: Vec<(String, String)>,
) -> (tempfile::TempDir, PathBuf, Vec<(String, String)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let [secrets, key] = ["seckill.toml", "jwt_key"].map(|name| folder.path().join(name));
    let at_key = format!("{SECRETS}[jwt]\nsecret_file = {key:?}\n");
    std::fs::write(&secrets, at_key).expect("written");
    std::fs::write(&key, KEY_OF_TOKENS).expect("written");
    let at = |(name, value): (String, String)| match name.ends_with("__SECRET_FILE") {
        true => (name, key.display().to_string()),
        false => (name, value),
    };
    let variables = variables.into_iter().map(at).collect();
    (folder, secrets, variables)
}

#[test]
fn every_variable_of_compose_is_a_setting() {
    let found = variables(&read(&root().join(COMPOSE)));
    assert!(found.len() > 15, "{found:?}");
    let (_folder, secrets, found) = with_secrets(found);
    let config = load(&[&secrets], &found).expect("all of them");
    assert_eq!(config.order.listen, "0.0.0.0:50054");
    for variable in found {
        let alone = [variable];
        load(&[&secrets], &alone).unwrap_or_else(|error| panic!("{alone:?}: {error:#}"));
    }
}

#[test]
fn every_variable_of_the_manifests_is_a_setting() {
    let found: Vec<_> = manifests()
        .iter()
        .flat_map(|path| variables(&read(path)))
        .collect();
    assert!(found.len() > 15, "{found:?}");
    let (_folder, secrets, found) = with_secrets(found);
    let config = load(&[&secrets], &found).expect("all of them");
    assert_eq!(config.seckill.listen, "10.1.2.3:50053");
    assert_eq!(config.seckill.advertised, "seckill-0.seckill:50053");
    for variable in found {
        let alone = [variable];
        load(&[&secrets], &alone).unwrap_or_else(|error| panic!("{alone:?}: {error:#}"));
    }
}

#[test]
fn a_variable_that_is_no_setting_is_found_by_the_same_search() {
    let [of_compose, of_a_pod] = [
        "      SECKILL__SECKILL__LISTENN: 0.0.0.0:1\n",
        "            - name: SECKILL__SECKILL__LISTENN\n              value: $(POD_IP):1\n",
    ]
    .map(variables);
    let (_folder, secrets, _) = with_secrets(Vec::new());
    for found in [of_compose, of_a_pod] {
        assert_eq!(found.len(), 1);
        let error = load(&[&secrets], &found).expect_err("unknown");
        assert!(format!("{error:#}").contains("listenn"), "{error:#}");
    }
}

#[test]
fn the_gateways_of_compose_and_kubernetes_find_every_service_by_the_name_it_gives_itself() {
    let (folder, secrets, _) = with_secrets(Vec::new());
    let of_pods = folder.path().join("gateway.toml");
    let config_map = read(&root().join(MANIFESTS).join("config.yaml"));
    std::fs::write(&of_pods, embedded(&config_map, "gateway.toml")).expect("written");
    let advertised = variables(&read(&root().join(COMPOSE)))
        .into_iter()
        .filter(|(name, _)| name == "SECKILL__SECKILL__ADVERTISED")
        .map(|(_, value)| value)
        .collect::<Vec<_>>();
    let pods = ["seckill-0.seckill:50053", "seckill-1.seckill:50053"].map(str::to_owned);
    for (file, expected) in [
        (root().join("deploy/gateway.toml"), advertised),
        (of_pods, pods.to_vec()),
    ] {
        let config = load(&[&file, &secrets], &[]).expect("valid");
        let found = upstreams(&config.gateway.upstreams.seckill).expect("valid");
        let found: Vec<_> = found
            .into_iter()
            .map(|instance| instance.authority)
            .collect();
        assert_eq!(found, expected, "{}", file.display());
        assert_eq!(config.gateway.listen, "0.0.0.0:8080");
        assert!(!config.gateway.trusted_proxies.is_empty());
        assert!(
            config.redis.url.contains("redis:6379"),
            "the secrets are read, too"
        );
    }
}

//! The section of the HTTP gateway.

use anyhow::{Context, bail, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Instances of one service, and origins, that a list may have.
const LIST_MAX: usize = 256;

/// The HTTP gateway.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Address of the HTTP listener.
    pub listen: String,
    /// Serving threads, each with its own runtime, listener and connections to services; 0 means half
    /// the cores, at least one.
    pub threads: usize,
    /// Longest wait for the answer of a service, ms.
    pub timeout_ms: u64,
    /// Longest wait for an order's row that a client may ask for, ms.
    pub wait_max_ms: u64,
    /// Requests under way at the same time, over all serving threads; more are turned away.
    pub max_in_flight: usize,
    /// Clients connected at the same time, over all serving threads; more are closed at once. 0 means
    /// as many as the limit on open files leaves room for.
    pub max_connections: usize,
    /// Clients connected at the same time from one address; 0: no bound.
    pub connections_per_address: usize,
    /// Longest time for the head of a request, ms; a connection without a request is closed after it.
    pub header_timeout_ms: u64,
    /// Longest time for the body of a request, ms.
    pub body_timeout_ms: u64,
    /// Proxies whose X-Forwarded-For is believed: addresses or networks, separated by commas.
    #[serde(deserialize_with = "comma_separated")]
    pub trusted_proxies: String,
    /// Origins of pages that may ask from a browser, separated by commas; * is any.
    #[serde(deserialize_with = "comma_separated")]
    pub cors_origins: String,
    /// Where the services are.
    pub upstreams: UpstreamsConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            threads: 0,
            timeout_ms: 3_000,
            wait_max_ms: 10_000,
            max_in_flight: 10_000,
            max_connections: 0,
            connections_per_address: 0,
            header_timeout_ms: 10_000,
            body_timeout_ms: 5_000,
            trusted_proxies: String::new(),
            cors_origins: String::new(),
            upstreams: UpstreamsConfig::default(),
        }
    }
}

impl GatewayConfig {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        for (name, addresses) in self.upstreams.all() {
            upstreams(addresses).with_context(|| format!("gateway.upstreams.{name}"))?;
        }
        Ok(())
    }
}

/// Where the services are: for each `http://host:port`, separated by commas if there are several. Behind
/// an address may stand `;weight=N` and `;version=NAME`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamsConfig {
    /// The auth service.
    #[serde(deserialize_with = "comma_separated")]
    pub auth: String,
    /// The user service.
    #[serde(deserialize_with = "comma_separated")]
    pub user: String,
    /// The product service.
    #[serde(deserialize_with = "comma_separated")]
    pub product: String,
    /// The seckill service.
    #[serde(deserialize_with = "comma_separated")]
    pub seckill: String,
    /// The order service.
    #[serde(deserialize_with = "comma_separated")]
    pub order: String,
}

impl Default for UpstreamsConfig {
    fn default() -> Self {
        Self {
            auth: "http://127.0.0.1:50051".to_owned(),
            user: "http://127.0.0.1:50055".to_owned(),
            product: "http://127.0.0.1:50052".to_owned(),
            seckill: "http://127.0.0.1:50053".to_owned(),
            order: "http://127.0.0.1:50054".to_owned(),
        }
    }
}

impl UpstreamsConfig {
    /// Each service's instances, by its name.
    pub fn all(&self) -> [(&'static str, &str); 5] {
        [
            ("auth", &self.auth),
            ("user", &self.user),
            ("product", &self.product),
            ("seckill", &self.seckill),
            ("order", &self.order),
        ]
    }
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamAddress {
    /// `http://host:port`
    pub url: String,
    /// `host:port`
    pub authority: String,
    /// Its share of the buyers, in proportion to those of the others.
    pub weight: u32,
    /// What its version is called; empty: it has no name.
    pub version: String,
}

impl UpstreamAddress {
    /// `host:port` without a login, for whoever may read metrics.
    pub fn target(&self) -> &str {
        let login = self.authority.rsplit_once('@');
        login.map_or(&self.authority, |(_, target)| target)
    }
}

/// The instances that are written here, at least one.
pub fn upstreams(list: &str) -> anyhow::Result<Vec<UpstreamAddress>> {
    let found = items(list).map(upstream).collect::<Result<Vec<_>, _>>()?;
    ensure!(!found.is_empty(), "at least one address is needed");
    ensure!(found.len() <= LIST_MAX, "more than {LIST_MAX} addresses");
    ensure!(
        found.iter().any(|instance| instance.weight > 0),
        "the weight of at least one address must be more than 0"
    );
    for (index, instance) in found.iter().enumerate() {
        let is_twice = |other: &UpstreamAddress| other.authority == instance.authority;
        ensure!(
            !found[..index].iter().any(is_twice),
            "{} stands here twice",
            instance.url
        );
    }
    Ok(found)
}

/// What a list holds between its commas.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    let items = list.split(',').map(str::trim);
    items.filter(|item| !item.is_empty())
}

fn upstream(item: &str) -> anyhow::Result<UpstreamAddress> {
    let mut parts = item.split(';').map(str::trim);
    let url = parts.next().unwrap_or_default();
    let uri: http::Uri = url
        .parse()
        .with_context(|| format!("{url:?} is no address such as http://127.0.0.1:50053"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().filter(|it| it.port_u16().is_some());
    let (Some(authority), "http" | "https", "" | "/") = (authority, scheme, uri.path()) else {
        bail!("{url:?} is no address such as http://127.0.0.1:50053");
    };
    let mut instance = UpstreamAddress {
        url: url.trim_end_matches('/').to_owned(),
        authority: authority.to_string(),
        weight: 1,
        version: String::new(),
    };
    for part in parts {
        match part.split_once('=') {
            Some(("weight", weight)) => {
                let weight: u32 = weight
                    .parse()
                    .ok()
                    .filter(|it| *it <= 1_000_000)
                    .with_context(|| {
                        format!("weight={weight} is out of range, allowed are 0 to 1000000")
                    })?;
                instance.weight = weight;
            }
            Some(("version", version)) if !version.is_empty() => {
                instance.version = version.to_owned();
            }
            _ => bail!("{part:?} behind {url} is unknown; known: weight=N, version=NAME"),
        }
    }
    Ok(instance)
}

/// One text, or a list of texts.
fn comma_separated<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(from)? {
        Written::One(text) => text,
        Written::Many(texts) => texts.join(","),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_read_with_their_weights_and_versions() {
        let list = "http://a:1;weight=9, http://b:2/;version=canary,";
        let found = upstreams(list).expect("good");
        let shown = |it: &UpstreamAddress| {
            let (url, authority) = (it.url.clone(), it.authority.clone());
            (url, authority, it.weight, it.version.clone())
        };
        let text = str::to_owned;
        assert_eq!(
            found.iter().map(shown).collect::<Vec<_>>(),
            [
                (text("http://a:1"), text("a:1"), 9, text("")),
                (text("http://b:2"), text("b:2"), 1, text("canary")),
            ]
        );
    }

    #[test]
    fn what_is_no_instance_is_refused_with_what_is_wrong_with_it() {
        for (list, wrong) in [
            ("", "at least one address is needed"),
            ("a:1", "\"a:1\" is no address"),
            ("http://a", "\"http://a\" is no address"),
            ("ftp://a:1", "\"ftp://a:1\" is no address"),
            ("http://a:1/path", "is no address"),
            ("http://a:1;weight=-1", "weight=-1 is out of range"),
            ("http://a:1;colour=red", "known: weight=N, version=NAME"),
            ("http://a:1;version=", "known: weight=N, version=NAME"),
            ("http://a:1;weight=0", "must be more than 0"),
            ("http://a:1,http://a:1/", "stands here twice"),
        ] {
            let refused = upstreams(list).expect_err(list).to_string();
            assert!(refused.contains(wrong), "{list}: {refused}");
        }
    }

    #[test]
    fn a_list_is_one_text_or_several() {
        let read = |text: &str| {
            let config: GatewayConfig = toml::from_str(text).expect("valid");
            config.upstreams.order
        };
        let written = r#"upstreams.order = ["http://a:1", "http://b:2"]"#;
        assert_eq!(read(written), "http://a:1,http://b:2");
        assert_eq!(read(r#"upstreams.order = "http://a:1""#), "http://a:1");
    }
}

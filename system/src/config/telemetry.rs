//! The section about traces.

use anyhow::ensure;
use database::masked;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Traces of requests, for a collector of OpenTelemetry.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where traces are sent by OTLP over gRPC, such as `http://127.0.0.1:4317`; empty: nothing is
    /// traced.
    pub otlp_endpoint: String,
    /// Share of the requests that are traced; of those whose caller has decided, the caller's decision
    /// counts.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            sample_ratio: 0.01,
        }
    }
}

impl TelemetryConfig {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        let address = self.otlp_endpoint.as_str();
        ensure!(
            address.is_empty() || is_address(address),
            "telemetry.otlp_endpoint: {:?} is no address such as http://127.0.0.1:4317 or https://collector:4317",
            masked(address)
        );
        Ok(())
    }
}

/// Whether it is a scheme, a host and a port, and nothing else.
fn is_address(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let has_port = uri
        .authority()
        .is_some_and(|it| it.port_u16().is_some() && !it.as_str().contains('@'));
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    has_port && is_known && uri.path() == "/" && uri.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_by_its_key_and_without_its_password() {
        let at = |address: &str| {
            let otlp_endpoint = address.to_owned();
            let config = TelemetryConfig {
                otlp_endpoint,
                ..TelemetryConfig::default()
            };
            config.validate().map_err(|error| error.to_string())
        };
        for good in [
            "",
            "http://127.0.0.1:4317",
            "https://collector:4317/",
            "http://[::1]:1",
        ] {
            at(good).expect(good);
        }
        for odd in [
            "collector:4317",
            "http://collector",
            "grpc://collector:4317",
            "http://collector:4317/v1/traces",
            "http://collector:4317?a=b",
            "http://shop:sesame@collector:4317",
        ] {
            let refused = at(odd).expect_err(odd);
            assert!(
                refused.starts_with("telemetry.otlp_endpoint: "),
                "{refused}"
            );
            assert!(!refused.contains("sesame"), "{refused}");
        }
    }
}

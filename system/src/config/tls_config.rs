//! The section about certificates.

use anyhow::ensure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Certificates of what this process serves, and whom it believes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// A file with the certificates of the listeners of services, PEM, their own first; empty: they
    /// are served without TLS.
    pub cert_file: String,
    /// A file with the key of the first of them, PEM.
    pub key_file: String,
    /// A file with the certificates, PEM, that those of `https://` addresses are held against; empty:
    /// what this machine trusts.
    pub ca_file: String,
}

impl TlsConfig {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(
            self.cert_file.is_empty() == self.key_file.is_empty(),
            "tls.cert_file and tls.key_file: one of them is set, and a certificate and its key are needed"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_refused_and_the_other_way_round() {
        let mut tls = TlsConfig::default();
        tls.validate().expect("without TLS");
        tls.key_file = "key.pem".to_owned();
        let refused = tls.validate().expect_err("half of it").to_string();
        assert!(
            refused.starts_with("tls.cert_file and tls.key_file"),
            "{refused}"
        );
        tls.cert_file = "cert.pem".to_owned();
        tls.validate().expect("both");
        tls.key_file.clear();
        tls.validate().expect_err("half of it");
    }
}

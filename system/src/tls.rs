//! TLS with rustls and ring: accepted sockets where `tls.cert_file` names a certificate, and clients
//! of `https://` addresses.

mod socket;
#[cfg(test)]
mod tests;

pub use socket::Socket;

use crate::config::TlsConfig;
use anyhow::{Context, ensure};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// What gRPC speaks, as TLS names it.
pub const HTTP_2: &[u8] = b"h2";

/// How the sockets of a listener are wrapped: in TLS, or not at all. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wrapping(Option<TlsAcceptor>);

impl std::fmt::Debug for Wrapping {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_tls = self.0.is_some();
        f.debug_struct("Wrapping").field("is_tls", &is_tls).finish()
    }
}

impl Wrapping {
    /// In TLS if `config` names a certificate; `protocols` are offered by ALPN, best first. Files
    /// are read now, and once: a new certificate is for the next start.
    pub fn of(config: &TlsConfig, protocols: &[&[u8]]) -> anyhow::Result<Self> {
        if config.cert_file.is_empty() {
            return Ok(Self::default());
        }
        let file = &config.cert_file;
        let unreadable = || format!("tls.cert_file: cannot read certificates from {file}");
        let chain = CertificateDer::pem_file_iter(file).with_context(unreadable)?;
        let chain = chain
            .collect::<Result<Vec<_>, _>>()
            .with_context(unreadable)?;
        ensure!(
            !chain.is_empty(),
            "tls.cert_file: no certificate is in {file}"
        );
        let key = PrivateKeyDer::from_pem_file(&config.key_file)
            .with_context(|| format!("tls.key_file: cannot read a key from {}", config.key_file))?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS cannot be used")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("tls.cert_file and tls.key_file do not go together")?;
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self(Some(TlsAcceptor::from(Arc::new(server)))))
    }

    /// An accepted socket. The handshake takes place when it is first read or written, so whoever
    /// limits the wait for a client's first bytes limits that, too.
    pub fn wrap(&self, stream: TcpStream) -> Socket {
        match &self.0 {
            None => Socket::Plain(stream),
            Some(acceptor) => Socket::greeting(acceptor.accept(stream)),
        }
    }
}

/// Where a gRPC service is, `http://host:port` or `https://host:port`; `key` is the setting that says
/// so. Over TLS its certificate is held against `tls.ca_file`, or against what this machine trusts.
pub fn endpoint(key: &str, url: &str, config: &TlsConfig) -> anyhow::Result<Endpoint> {
    let is_wrong =
        || format!("{key}: {url:?} is not of the form http://host:port or https://host:port");
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(is_wrong)?;
    match endpoint.uri().scheme_str() {
        Some("http") => return Ok(endpoint),
        scheme => ensure!(scheme == Some("https"), is_wrong()),
    }
    let trusted = match config.ca_file.as_str() {
        "" => ClientTlsConfig::new().with_native_roots(),
        file => {
            let pem =
                std::fs::read(file).with_context(|| format!("tls.ca_file: cannot read {file}"))?;
            let count = CertificateDer::pem_slice_iter(&pem).filter(Result::is_ok);
            ensure!(
                count.count() > 0,
                "tls.ca_file: no certificate is in {file}"
            );
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
    };
    endpoint
        .tls_config(trusted)
        .with_context(|| format!("{key}: TLS cannot be used"))
}

//! Certificates made here: who is answered, and who is refused.

use super::*;
use crate::config::Config;
use crate::grpc_server;
use crate::listener::Listener;
use crate::shutdown::Shutdown;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Status;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// What every HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An authority in a folder.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Each has a name of its own: clients look for an authority by its name first.
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where its certificate is, for clients.
    fn trusted(&self) -> TlsConfig {
        TlsConfig {
            ca_file: text(&self.path("ca.pem")),
            ..TlsConfig::default()
        }
    }

    /// A certificate of 127.0.0.1, and its key.
    fn issue(&self) -> TlsConfig {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path("cert.pem"), certificate.pem()).expect("written");
        std::fs::write(self.path("key.pem"), key.serialize_pem()).expect("written");
        TlsConfig {
            cert_file: text(&self.path("cert.pem")),
            key_file: text(&self.path("key.pem")),
            ca_file: String::new(),
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `host:port` of a service with this certificate, for as long as the test runs.
fn serve(tls: TlsConfig) -> String {
    let mut config = Config {
        tls,
        ..Config::default()
    };
    config.seckill.first_bytes_timeout_ms = 500;
    let listener = Listener::bind("127.0.0.1:0", 1).expect("a port");
    let address = listener.address().to_string();
    tokio::spawn(async move {
        let (_stop, asked) = Shutdown::channel();
        let service = ("nothing.Service", Routes::default());
        grpc_server::serve(&config, listener, service, &asked).await
    });
    address
}

/// Whether the service at `url` lives.
async fn ask(url: &str, tls: &TlsConfig) -> Result<(), Status> {
    let endpoint = endpoint("upstream", url, tls).expect("an address");
    let mut client = HealthClient::new(endpoint.timeout(PATIENCE).connect_lazy());
    let service = "liveness".to_owned();
    client.check(HealthCheckRequest { service }).await.map(drop)
}

/// Everything that is behind an error, in words.
fn reasons(error: &dyn Error) -> String {
    let next = error.source().map(reasons).unwrap_or_default();
    format!("{error}: {next}")
}

#[tokio::test]
async fn a_service_with_a_certificate_answers_whoever_trusts_it() {
    let authority = Authority::new("ours");
    let address = serve(authority.issue());
    let url = format!("https://{address}");
    ask(&url, &authority.trusted()).await.expect("an answer");
    // Of an authority that nobody has heard of.
    let wrong = ask(&url, &Authority::new("another").trusted()).await;
    let wrong = reasons(&wrong.expect_err("not trusted"));
    assert!(
        wrong.contains("invalid peer certificate: UnknownIssuer"),
        "{wrong}"
    );
    // Nor does this machine trust it.
    let unknown = ask(&url, &TlsConfig::default()).await;
    unknown.expect_err("not trusted");
    // Under another name than its certificate's.
    let port = address.rsplit(':').next().expect("a port");
    let other = ask(&format!("https://localhost:{port}"), &authority.trusted()).await;
    let other = reasons(&other.expect_err("another name"));
    assert!(other.contains("not valid for name"), "{other}");
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_spoken_and_the_other_way_round() {
    let authority = Authority::new("ours");
    let address = serve(authority.issue());
    let plain = ask(&format!("http://{address}"), &TlsConfig::default()).await;
    plain.expect_err("plain text");
    let mut stream = TcpStream::connect(&address).await.expect("accepted");
    stream.write_all(PREFACE).await.expect("sent");
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _ = read.expect("closed");
    // At most an alert, which is no HTTP/2.
    assert!(said.is_empty() || said[0] == 21, "{said:?}");
    let address = serve(TlsConfig::default());
    let url = format!("http://{address}");
    ask(&url, &TlsConfig::default()).await.expect("plain");
    let tls = ask(&format!("https://{address}"), &authority.trusted()).await;
    tls.expect_err("it speaks no TLS");
}

#[tokio::test]
async fn whoever_stops_in_the_middle_of_the_handshake_is_closed_and_holds_nobody_up() {
    let authority = Authority::new("ours");
    let address = serve(authority.issue());
    let mut silent = TcpStream::connect(&address).await.expect("accepted");
    // The beginning of a handshake of 512 bytes.
    silent
        .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252])
        .await
        .expect("sent");
    let url = format!("https://{address}");
    ask(&url, &authority.trusted()).await.expect("an answer");
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    let _ = read.expect("closed");
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_their_key() {
    let refused = |tls: &TlsConfig| {
        let refused = Wrapping::of(tls, &[HTTP_2]);
        format!("{:#}", refused.expect_err("must be refused"))
    };
    let authority = Authority::new("ours");
    let good = authority.issue();
    assert!(format!("{:?}", Wrapping::of(&good, &[HTTP_2])).contains("is_tls: true"));
    let missing = TlsConfig {
        cert_file: "/nowhere/cert.pem".to_owned(),
        ..good.clone()
    };
    assert!(refused(&missing).starts_with("tls.cert_file: cannot read certificates from /nowhere"));
    let swapped = TlsConfig {
        cert_file: good.key_file.clone(),
        ..good.clone()
    };
    assert!(refused(&swapped).starts_with("tls.cert_file: no certificate is in "));
    let no_key = TlsConfig {
        key_file: good.cert_file.clone(),
        ..good.clone()
    };
    assert!(refused(&no_key).starts_with("tls.key_file: cannot read a key from "));
    let other = Authority::new("another");
    let foreign = TlsConfig {
        key_file: other.issue().key_file,
        ..good.clone()
    };
    assert!(refused(&foreign).starts_with("tls.cert_file and tls.key_file do not go together"));
    let of = |url: &str, ca_file: &str| {
        let tls = TlsConfig {
            ca_file: ca_file.to_owned(),
            ..TlsConfig::default()
        };
        let refused = endpoint("order.seckill_url", url, &tls);
        format!("{:#}", refused.expect_err("must be refused"))
    };
    assert!(of("ftp://h", "").starts_with("order.seckill_url: \"ftp://h\" is not of the form"));
    assert!(of("no address", "").starts_with("order.seckill_url: \"no address\" is not"));
    assert!(of("https://h", "/nowhere/ca.pem").starts_with("tls.ca_file: cannot read /nowhere"));
    assert!(of("https://h", &good.key_file).starts_with("tls.ca_file: no certificate is in "));
}

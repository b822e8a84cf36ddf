//! Roles as processes whose servers speak nothing but TLS: they are used where their certificates are
//! trusted, and refused with the reason where they are not.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use servers::{DatabaseServer, RabbitMqServer, RedisServer};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority with a certificate for 127.0.0.1, in a folder.
struct Authority(TempDir);

impl Authority {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        for (file, pem) in [
            ("ca.pem", issuer.pem()),
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(file), pem).expect("written");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Takes TLS off what comes in, and passes it on to `server`; for a server that is not told about
/// certificates here.
async fn unwrapping(authority: &Authority, server: SocketAddr) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(authority.path("cert.pem")).expect("readable");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(authority.path("key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they go together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

/// The three servers, and the addresses at which they speak TLS.
struct Servers {
    _database: DatabaseServer,
    redis: RedisServer,
    _rabbit: RabbitMqServer,
    urls: [(&'static str, String); 3],
}

impl Servers {
    async fn start(authority: &Authority) -> Option<Self> {
        let (database, redis, rabbit) = tokio::join!(
            DatabaseServer::start(),
            RedisServer::start(),
            RabbitMqServer::start()
        );
        let (database, redis, rabbit) = (database?, redis?, rabbit?);
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|file| authority.path(file));
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let options = [option("ssl-cert", &cert), option("ssl-key", &key)];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        database.restart_with(&options).await.expect("it restarts");
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        for (setting, value) in [
            ("tls-cert-file", cert.display().to_string()),
            ("tls-key-file", key.display().to_string()),
            ("tls-ca-cert-file", ca.display().to_string()),
            ("tls-auth-clients", "no".to_owned()),
            ("tls-port", port.to_string()),
        ] {
            let line = format!("CONFIG SET {setting} {value}");
            redis.command(&line).await.expect("it takes TLS");
        }
        let plain = database.create_database().await;
        let amqp = rabbit.url();
        let (login, host) = amqp.split_once('@').expect("a login");
        let (host, path) = host.split_once('/').expect("a path");
        let wrapped = unwrapping(authority, host.parse().expect("ip:port")).await;
        let login = login.trim_start_matches("amqp://");
        let urls = [
            (
                "SECKILL__DATABASE__URL",
                format!("{plain}?ssl-mode=VERIFY_CA"),
            ),
            ("SECKILL__REDIS__URL", format!("rediss://127.0.0.1:{port}/")),
            (
                "SECKILL__MQ__URL",
                format!("amqps://{login}@{wrapped}/{path}"),
            ),
        ];
        Some(Self {
            _database: database,
            redis,
            _rabbit: rabbit,
            urls,
        })
    }

    /// A role that trusts `authority` and nobody else.
    fn role(&self, role: &str, engine: &str, authority: &Authority) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seckill"));
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("SECKILL__")) {
            command.env_remove(key);
        }
        command
            .arg(role)
            .env_remove("CONFIG_PATH")
            .env_remove("SSL_CERT_DIR")
            .env("SSL_CERT_FILE", authority.path("ca.pem"))
            .env("SECKILL__SECKILL__ENGINE", engine)
            .env("SECKILL__SECKILL__LISTEN", "127.0.0.1:0")
            .env("SECKILL__DATABASE__ACQUIRE_TIMEOUT_MS", "2000")
            .envs(self.urls.iter().map(|(key, url)| (key, url)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it is ready; a role that ends instead says why.
fn ready(mut command: Command) -> Running {
    let mut running = Running(command.spawn().expect("it starts"));
    let stdout = running.0.stdout.take().expect("piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("read");
    if !line.contains("\"ready\":true") {
        let mut said = String::new();
        let _ = running.0.kill();
        let mut stderr = running.0.stderr.take().expect("piped");
        let _ = stderr.read_to_string(&mut said);
        panic!("not ready: {line} {said}");
    }
    running
}

/// Why it did not start.
fn refused(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.starts_with("error: "));
    line.unwrap_or_else(|| panic!("no error in {said}"))
        .to_owned()
}

#[ignore = "nightly: it starts three servers and ten roles"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_under_tls_are_used_if_they_are_trusted_and_refused_with_the_reason_if_not() {
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    let Some(mut servers) = Servers::start(&ours).await else {
        return;
    };
    let run = |mut command: Command| command.output().expect("it starts");
    let migrated = run(servers.role("migrate", "lua-single-key", &ours));
    assert!(migrated.status.success(), "{migrated:?}");
    // From now on Redis speaks nothing else.
    servers
        .redis
        .command("CONFIG SET port 0")
        .await
        .expect("set");
    for engine in ["lua-single-key", "sharded-slots"] {
        let _consumer = ready(servers.role("create-consumer", engine, &ours));
        let _seckill = ready(servers.role("seckill", engine, &ours));
    }
    // Nobody trusts them here: the database is the first to be noticed, then each of the others.
    let distrusted = |refused: String, what: &str| {
        let parts = [what, "invalid peer certificate: UnknownIssuer"];
        let is_told = parts.iter().all(|part| refused.contains(part));
        assert!(is_told, "{refused}");
    };
    let migrated = run(servers.role("migrate", "lua-single-key", &another));
    distrusted(refused(migrated), "database");
    let trusting = format!("&ssl-ca={}", ours.path("ca.pem").display());
    servers.urls[0].1.push_str(&trusting);
    let seckill = run(servers.role("seckill", "lua-single-key", &another));
    distrusted(refused(seckill), "redis");
    // This client's library keeps the reason to itself.
    let slots = refused(run(servers.role("seckill", "sharded-slots", &another)));
    assert!(slots.contains("checking the redis server"), "{slots}");
    let consumer = run(servers.role("create-consumer", "lua-single-key", &another));
    distrusted(refused(consumer), "RabbitMQ at amqps://guest:***@");
}

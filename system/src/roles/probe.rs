//! `seckill health`: whether a role works, asked as a balancer would ask it. It reads no configuration
//! and starts nothing.

use anyhow::{Context, bail, ensure};
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longest status line that is read, bytes.
const STATUS_LINE_BYTES_MAX: u64 = 1_024;

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port` of a gRPC service.
    Grpc(String),
    /// `host:port` and path of an HTTP service.
    Http(String, String),
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wanted = "it takes grpc://HOST:PORT or http://HOST:PORT/PATH";
        let uri: Uri = text.parse().with_context(|| wanted)?;
        let authority = uri.authority().with_context(|| wanted)?;
        ensure!(
            authority.port().is_some() && !authority.as_str().contains('@'),
            wanted
        );
        let to = authority.as_str().to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match uri.scheme_str() {
            Some("grpc") => {
                ensure!(path == "/", wanted);
                Ok(Self::Grpc(to))
            }
            Some("http") => Ok(Self::Http(to, path.to_owned())),
            _ => bail!(wanted),
        }
    }
}

/// Asks `address`, which has `limit` to answer; `service` is the name that gRPC is asked for.
///
/// # Errors
/// When there is no answer in time, or when it is that the service does not work.
pub async fn check(address: &Address, service: &str, limit: Duration) -> anyhow::Result<()> {
    let asked = async {
        match address {
            Address::Grpc(to) => grpc(to, service).await,
            Address::Http(to, path) => http(to, path).await,
        }
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_) => bail!("no answer within {} ms", limit.as_millis()),
    }
}

async fn grpc(to: &str, service: &str) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{to}"))?
        .connect()
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| anyhow::anyhow!("{service}: {}", status.message()))?;
    let status = answer.into_inner().status();
    ensure!(
        status == ServingStatus::Serving,
        "{service} is {}",
        status.as_str_name()
    );
    Ok(())
}

/// Reads no more than the status line: what else is said is for people.
async fn http(to: &str, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to)
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(STATUS_LINE_BYTES_MAX));
    reader.read_line(&mut line).await?;
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1)?.trim_end().parse::<u16>().ok())
        .with_context(|| format!("{to} does not speak HTTP"))?;
    ensure!((200..300).contains(&status), "{path} answers {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Answers one connection with `reply` and closes it; `host:port`.
    async fn server(reply: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let _ = stream.read(&mut [0; 1_024]).await;
            let _ = stream.write_all(reply.as_bytes()).await;
        });
        address
    }

    #[tokio::test]
    async fn an_http_service_works_when_its_status_is_200_to_299() {
        for (reply, works) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 204 \r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\n\r\n", false),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("SSH-2.0-OpenSSH\r\n", false),
            ("", false),
        ] {
            let address = Address::Http(server(reply).await, "/readyz".to_owned());
            let answer = check(&address, "", LIMIT).await;
            assert_eq!(answer.is_ok(), works, "{reply:?}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_grpc_service_works_when_it_is_serving() {
        let (reporter, service) = tonic_health::server::health_reporter();
        use tonic_health::ServingStatus::{NotServing, Serving};
        reporter.set_service_status("readiness", Serving).await;
        reporter.set_service_status("tired", NotServing).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Grpc(listener.local_addr().expect("bound").to_string());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let served = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming);
        tokio::spawn(served);
        check(&address, "readiness", LIMIT)
            .await
            .expect("it serves");
        for name in ["tired", "unknown"] {
            let error = check(&address, name, LIMIT).await.expect_err("it does not");
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_or_says_nothing_does_not_work() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = silent.local_addr().expect("bound").to_string();
        let short = Duration::from_millis(50);
        for address in [
            Address::Grpc(to.clone()),
            Address::Http(to.clone(), "/".to_owned()),
        ] {
            let error = check(&address, "readiness", short)
                .await
                .expect_err("silent");
            assert_eq!(error.to_string(), "no answer within 50 ms");
        }
        drop(silent);
        let error = check(&Address::Grpc(to), "readiness", LIMIT).await;
        assert!(
            error
                .expect_err("gone")
                .to_string()
                .contains("cannot connect")
        );
    }

    #[test]
    fn an_address_names_a_protocol_and_a_port() {
        let parsed = |text: &str| text.parse::<Address>();
        assert_eq!(
            parsed("grpc://127.0.0.1:50053").expect("good"),
            Address::Grpc("127.0.0.1:50053".to_owned())
        );
        assert_eq!(
            parsed("http://[::1]:9100/readyz").expect("good"),
            Address::Http("[::1]:9100".to_owned(), "/readyz".to_owned())
        );
        for bad in [
            "",
            "127.0.0.1:50053",
            "https://a:1/",
            "grpc://a",
            "grpc://a:1/path",
            "http://user:password@a:1/",
        ] {
            let error = parsed(bad).expect_err(bad).to_string();
            assert!(error.contains("grpc://HOST:PORT"), "{bad}: {error}");
        }
    }
}

//! Clients that take their time: each is given what it may have, then its connection is closed, and
//! everybody else is served meanwhile.

use crate::shop::{PATIENCE, Shop};
use http::header::CONNECTION;
use http::{HeaderValue, Method};
use std::time::Duration;
use system::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Pause between two bytes of a slow client: it is never silent for as long as a limit.
const PACE: Duration = Duration::from_millis(20);
/// A socket that takes nothing for so long is full.
const FULL: Duration = Duration::from_secs(1);
/// More than all buffers on the way of one connection hold.
const BUFFERS_BYTES_MAX: usize = 64 * 1024 * 1024;

const LOGIN: &str = "POST /api/v1/auth/login HTTP/1.1\r\nhost: shop\r\n\
    content-type: application/json\r\n";

fn impatient(config: &mut Config) {
    config.gateway.header_timeout_ms = 400;
    config.gateway.body_timeout_ms = 400;
}

async fn connect(shop: &Shop) -> TcpStream {
    let connected = TcpStream::connect(shop.gateway).await;
    connected.expect("connected")
}

/// Sends `begin` at once and then `more`, over and over, a byte at a time; what was answered until the
/// connection was closed.
async fn trickle(shop: &Shop, begin: &str, more: &str) -> String {
    let (mut reader, mut writer) = connect(shop).await.into_split();
    writer.write_all(begin.as_bytes()).await.expect("written");
    let writing = async {
        for byte in more.bytes().cycle() {
            tokio::time::sleep(PACE).await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let reading = async {
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut answer).await;
    };
    let ended = async {
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
    };
    let ended = timeout(PATIENCE, ended).await;
    ended.expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// On a connection of their own: one that was kept may be closed, for its silence, just when it is
/// used again.
async fn is_served(shop: &Shop) {
    let mut request = shop.request(Method::GET, "/health", "");
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    shop.send(request, "").await.expect(200);
}

#[tokio::test]
async fn a_head_has_to_be_there_in_time_however_it_trickles_in() {
    Shop::open(impatient, async |shop: &Shop| {
        let begun = [
            ("nothing of it", "", "\r\n"),
            ("its first line", "", "GET /health HTTP/1.1xxxx"),
            (
                "a header at a time",
                "GET /health HTTP/1.1\r\n",
                "x-slow: 1\r\n",
            ),
            ("one header", "GET /health HTTP/1.1\r\nx-slow: ", "xxxxxxxx"),
            ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nS", ""),
        ];
        for (what, begin, more) in begun {
            let answer = trickle(shop, begin, more).await;
            assert_eq!(answer, "", "{what}");
            is_served(shop).await;
        }
        let late = "seckill_gateway_turned_away_total{limit=\"header_timeout\"}";
        assert_eq!(shop.counted(late), 4.0, "all but the one of HTTP/2");
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_not_kept_for_a_client_that_asks_nothing_more() {
    Shop::open(impatient, async |shop: &Shop| {
        let request = "GET /health HTTP/1.1\r\nhost: shop\r\n\r\n";
        let answer = trickle(shop, request, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_body_has_to_be_there_in_time_and_who_is_late_is_told() {
    Shop::open(impatient, async |shop: &Shop| {
        for (begin, more) in [
            (format!("{LOGIN}content-length: 100\r\n\r\n{{"), ""),
            (format!("{LOGIN}content-length: 4000\r\n\r\n{{"), " "),
            (format!("{LOGIN}transfer-encoding: chunked\r\n\r\n"), ""),
            (
                format!("{LOGIN}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"),
                "1\r\n \r\n",
            ),
        ] {
            let answer = trickle(shop, &begin, more).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{begin}: {answer}");
            assert!(answer.contains(r#"{"code":408,"message":"#), "{answer}");
            is_served(shop).await;
        }
    })
    .await;
}

/// Asks for much, and reads nothing of it, until nothing more is taken.
async fn gorge(shop: &Shop) -> TcpStream {
    let mut connection = connect(shop).await;
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    while let Ok(written) = timeout(FULL, connection.write(requests.as_bytes())).await {
        sent += written.expect("written");
        assert!(
            sent < BUFFERS_BYTES_MAX,
            "it takes everything: {sent} bytes"
        );
    }
    connection
}

#[tokio::test]
async fn of_a_client_that_does_not_read_no_more_is_taken_than_buffers_hold() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let greedy = [gorge(shop).await, gorge(shop).await];
            is_served(shop).await;
            drop(greedy);
        },
    )
    .await;
}

#[tokio::test]
#[ignore = "nightly: a client has 20 s to read something"]
async fn a_client_that_never_reads_is_given_up() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let mut greedy = gorge(shop).await;
            // The end shows only when something is sent; one byte more is never a request.
            let ended = async {
                loop {
                    match timeout(FULL, greedy.write(b"\r")).await {
                        Ok(Err(_)) => break,
                        Ok(Ok(_)) | Err(_) => tokio::time::sleep(PACE).await,
                    }
                }
            };
            let ended = timeout(PATIENCE * 4, ended).await;
            ended.expect("the connection is closed in time");
        },
    )
    .await;
}

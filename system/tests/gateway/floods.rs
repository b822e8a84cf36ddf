//! More than a client should send: streams, resets, heads and bodies, written by hand because no
//! library would. Whoever does it is refused or cut off; everybody else is served.

use crate::shop::{PATIENCE, Shop};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const REFUSED: [u8; 4] = [0, 0, 0, 7];
/// Streams of one connection that are served at the same time.
const STREAMS_MAX: usize = 128;

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// A field that nobody remembers, with a name of its own.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        field.push(length.expect("short"));
        field.extend(text.bytes());
    }
    field
}

/// `POST`, or `GET`, and `path`.
fn head(is_post: bool, path: &str) -> Vec<u8> {
    let mut head = vec![if is_post { 0x83 } else { 0x82 }, 0x86];
    head.extend(field(":path", path));
    head.extend(field(":authority", "shop"));
    head.extend(field("content-type", "application/json"));
    head
}

/// What became of what was sent.
#[derive(Debug, Default)]
struct Outcome {
    /// Streams that were answered.
    answered: usize,
    /// Streams that were refused before anybody looked at them.
    refused: usize,
    /// The connection was ended.
    has_ended: bool,
}

/// Speaks HTTP/2 and sends `frames`, until so many streams have an outcome, or none can.
async fn send(gateway: SocketAddr, frames: Vec<u8>, streams: usize) -> Outcome {
    let connection = TcpStream::connect(gateway).await.expect("connected");
    let (mut reader, mut writer) = connection.into_split();
    let mut sent = PREFACE.to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend(frame(SETTINGS, ACKNOWLEDGED, 0, &[]));
    sent.extend(frames);
    // It fails if the connection is ended meanwhile, which shows below.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&sent).await;
        writer
    });
    let mut outcome = Outcome::default();
    let reading = async {
        while outcome.answered + outcome.refused < streams {
            let mut start = [0; 9];
            if reader.read_exact(&mut start).await.is_err() {
                outcome.has_ended = true;
                return;
            }
            let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
            let mut body = vec![0; usize::try_from(length).expect("small")];
            let read = reader.read_exact(&mut body).await;
            match start[3] {
                _ if read.is_err() => outcome.has_ended = true,
                GO_AWAY => outcome.has_ended = true,
                HEADERS => outcome.answered += 1,
                RST_STREAM if body == REFUSED => outcome.refused += 1,
                _ => {}
            }
            if outcome.has_ended {
                return;
            }
        }
    };
    let read = timeout(PATIENCE, reading).await;
    assert!(read.is_ok(), "no outcome in time: {outcome:?}");
    writing.abort();
    outcome
}

fn ids(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

#[tokio::test]
async fn who_opens_streams_and_resets_them_at_once_is_cut_off() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let head = head(false, "/health");
            let pairs = ids(5_000).flat_map(|id| {
                let mut pair = frame(HEADERS, END_HEADERS | END_STREAM, id, &head);
                pair.extend(frame(RST_STREAM, 0, id, &CANCEL));
                pair
            });
            let outcome = send(shop.gateway, pairs.collect(), 5_000).await;
            assert!(outcome.has_ended, "{outcome:?}");
            shop.get("/health", "").await.expect(200);
        },
    )
    .await;
}

#[tokio::test]
async fn of_many_streams_with_unfinished_bodies_few_are_served_at_once() {
    Shop::open(
        // Nothing ends by itself while the test runs.
        |config| config.gateway.body_timeout_ms = 600_000,
        async |shop: &Shop| {
            let head = head(true, "/api/v1/auth/login");
            let streams = 1_000;
            let open = ids(streams).flat_map(|id| frame(HEADERS, END_HEADERS, id, &head));
            let surplus = streams - STREAMS_MAX;
            let outcome = send(shop.gateway, open.collect(), surplus).await;
            assert!(
                outcome.has_ended || outcome.refused == surplus,
                "{outcome:?}"
            );
            assert_eq!(outcome.answered, 0);
            shop.get("/health", "").await.expect(200);
        },
    )
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off_and_a_large_one_refused() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let mut endless = frame(HEADERS, END_STREAM, 1, &head(false, "/health"));
            let more = frame(CONTINUATION, 0, 1, &field("x-more", &"x".repeat(100)));
            endless.extend(more.repeat(10_000));
            let outcome = send(shop.gateway, endless, 1).await;
            assert!(outcome.has_ended, "{outcome:?}");

            let mut large = head(false, "/health");
            for _ in 0..100 {
                large.extend(field("x-more", &"x".repeat(100)));
            }
            let mut split = frame(HEADERS, END_STREAM, 1, &large[..10_000]);
            split.extend(frame(CONTINUATION, END_HEADERS, 1, &large[10_000..]));
            let small = frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &head(false, "/health"),
            );
            for head in [split, small] {
                let outcome = send(shop.gateway, head, 1).await;
                assert_eq!((outcome.answered, outcome.has_ended), (1, false));
            }
            shop.get("/health", "").await.expect(200);
        },
    )
    .await;
}

/// What is answered to these bytes until the connection is closed.
async fn raw(shop: &Shop, bytes: Vec<u8>) -> String {
    let connection = TcpStream::connect(shop.gateway).await.expect("connected");
    let (mut reader, mut writer) = connection.into_split();
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, reader.read_to_end(&mut answer)).await;
    // A reset behind an answer that is there is an end, too.
    let _ = read.expect("the connection is closed in time");
    writing.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_or_can_be_read_in_two_ways_are_refused() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            let get = "GET /health HTTP/1.1\r\nhost: shop\r\n";
            let post = "POST /api/v1/auth/login HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\
                content-type: application/json\r\n";
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
            for (what, status, bytes) in [
                (
                    "too many headers",
                    431,
                    format!("{get}{}\r\n", "a: b\r\n".repeat(100)),
                ),
                (
                    "an endless header",
                    431,
                    format!("{get}a: {}", "x".repeat(100_000)),
                ),
                (
                    "an endless first line",
                    431,
                    format!("GET /{}", "x".repeat(100_000)),
                ),
                (
                    "no HTTP",
                    400,
                    "\u{1}\u{2}\u{3}\u{4} nonsense\r\n\r\n".to_owned(),
                ),
                (
                    "a body that is said to be too large",
                    413,
                    format!("{post}content-length: 1000000\r\n\r\n{}", " ".repeat(8_192)),
                ),
                (
                    "a body of no said length",
                    413,
                    format!(
                        "{post}transfer-encoding: chunked\r\n\r\n{}",
                        chunk.repeat(100)
                    ),
                ),
                (
                    "two lengths",
                    400,
                    format!("{post}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"),
                ),
                (
                    "a negative length",
                    400,
                    format!("{post}content-length: -1\r\n\r\n{{}}"),
                ),
                (
                    "a coding that is not known",
                    400,
                    format!("{post}transfer-encoding: gzip\r\n\r\n{{}}"),
                ),
            ] {
                let answer = raw(shop, bytes.into_bytes()).await;
                let start = format!("HTTP/1.1 {status} ");
                assert!(answer.starts_with(&start), "{what}: {answer:?}");
                let body = format!("\r\n\r\n{{\"code\":{status},\"message\":\"");
                assert!(answer.contains(&body), "{what}: {answer:?}");
                for header in ["\r\nx-request-id: ", "\r\ncontent-type: application/json"] {
                    assert!(answer.contains(header), "{what}: {answer:?}");
                }
                shop.get("/health", "").await.expect(200);
            }
            for (name, times) in [
                ("seckill_gateway_requests_total{status=\"431\"}", 3.0),
                ("seckill_gateway_turned_away_total{limit=\"head\"}", 3.0),
                ("seckill_gateway_requests_total{status=\"400\"}", 4.0),
            ] {
                assert_eq!(shop.counted(name), times, "{name}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn behind_good_requests_of_the_same_client_a_bad_one_is_told_what_is_wrong_too() {
    Shop::open(
        |_| {},
        async |shop: &Shop| {
            for method in ["GET", "HEAD"] {
                let good = format!("{method} /health HTTP/1.1\r\nhost: shop\r\n\r\n");
                let answers = raw(shop, format!("{good}{good}nonsense\r\n\r\n").into()).await;
                assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
                let (_, last) = answers.split_once("HTTP/1.1 400 ").expect("an answer");
                assert!(last.contains("{\"code\":400,\"message\":\""), "{answers}");
            }
        },
    )
    .await;
}

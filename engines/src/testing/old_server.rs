//! Something that answers like a Redis which is too old, as far as an engine gets with it.

use crate::{EngineError, Epoch, Nonce, Opening, SaleId, StockEngine, Term};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const INFO: &str = "# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\n";

/// The first words of the commands that it was sent.
type Seen = Arc<Mutex<Vec<String>>>;

/// One command: a list of bulk strings.
async fn command(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<String>> {
    let mut words = Vec::new();
    let count = number(stream).await?;
    for _ in 0..count {
        let length = number(stream).await?;
        let mut word = vec![0; length + 2];
        stream.read_exact(&mut word).await?;
        word.truncate(length);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(words)
}

/// Of a line `*3` or `$12`.
async fn number(stream: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let digits = line.get(1..).unwrap_or_default().trim();
    digits
        .parse()
        .map_err(|_| std::io::ErrorKind::InvalidData.into())
}

async fn serve(stream: TcpStream, seen: Seen) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = command(&mut stream).await?;
        let word = words[0].to_uppercase();
        let answer = match (word.as_str(), words.len()) {
            // Two sections in one call came with 7.0.
            ("INFO", 0..=2) => format!("${}\r\n{INFO}\r\n", INFO.len()),
            ("INFO", _) => "-ERR syntax error\r\n".to_owned(),
            ("PING", _) => "+PONG\r\n".to_owned(),
            ("CLIENT", 2) => ":1\r\n".to_owned(),
            ("HMGET", fields) => format!("*{}\r\n{}", fields - 2, "$-1\r\n".repeat(fields - 2)),
            ("CLIENT" | "SELECT" | "CONFIG", _) => "+OK\r\n".to_owned(),
            _ => "-NOSCRIPT No matching script.\r\n".to_owned(),
        };
        seen.lock().unwrap().push(word);
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Fails unless the engine that `connect` makes refuses a Redis 6.2.14, when it is asked to check
/// the server and when it is to open a sale, and sends it no script.
///
/// # Panics
/// When it does not.
pub async fn is_refused(connect: impl AsyncFn(String) -> Arc<dyn StockEngine>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let seen = Seen::default();
    let server = {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen)));
            }
        })
    };
    let engine = connect(url).await;
    let opening = Opening {
        term: Term {
            sale: SaleId(1),
            epoch: Epoch(1),
            nonce: Nonce(1),
        },
        granted: 10,
        buyers: Vec::new(),
        publishers: Vec::new(),
    };
    let refusals = [
        engine.check_server(false).await.map(|_| ()),
        engine.check_server(true).await.map(|_| ()),
        engine.open(&opening).await.map(|_| ()),
    ];
    for refused in refusals {
        let Err(EngineError::Config(reason)) = refused else {
            panic!("not refused: {refused:?}");
        };
        let parts = ["redis 6.2.14 is too old", "Redis 7.0 or newer, or Valkey"];
        assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    }
    let seen = seen.lock().unwrap().clone();
    let has_sent = |word: &str| seen.iter().any(|sent| sent == word);
    assert!(!has_sent("SCRIPT") && !has_sent("EVAL"), "{seen:?}");
    server.abort();
}

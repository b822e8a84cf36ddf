//! The socket of one client. hyper answers heads that it cannot read by itself, with a status and no
//! body, before any of our code sees a request; here such an answer gets the body, the id and the
//! count that every other one has.
//!
//! hyper has no setting for it. It writes its answer as a whole, as the last thing on the connection,
//! and without the id that all of ours have, which is how it is known here. On HTTP/2 the answer to
//! too long a head is made of frames, and stays as it is.

use super::super::answer::{Refusal, Refused};
use super::super::counts::Counts;
use super::super::gate::{REQUEST_ID, request_id};
use super::super::guard::limit::Limit;
use crate::tls::Socket;
use http::StatusCode;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What every client of HTTP/2 sends first, and none of HTTP/1.
const HTTP_2_BEGINS: &[u8] = b"PRI";
/// What every answer of HTTP/1 begins with.
const ANSWER_BEGINS: &str = "HTTP/1.";
/// What the head of an answer ends with.
const HEAD_ENDS: &str = "\r\n\r\n";

/// What is seen of the bytes of a connection.
#[derive(Debug, Default)]
pub struct Seen {
    is_in_head: AtomicBool,
}

impl Seen {
    /// Whether something came since the last answer: the beginning of a head, unless it was all read.
    pub fn is_in_head(&self) -> bool {
        self.is_in_head.load(Ordering::Relaxed)
    }
}

/// A socket whose every answer says what is wrong.
#[derive(Debug)]
pub struct ClientSocket {
    socket: Socket,
    counts: Arc<Counts>,
    seen: Arc<Seen>,
    /// `None`: nothing was read yet.
    is_http_2: Option<bool>,
    /// Written in place of what hyper wrote; what of it was not sent yet.
    unsent: Vec<u8>,
}

impl ClientSocket {
    /// Counts what hyper answers.
    pub fn new(socket: Socket, counts: Arc<Counts>) -> Self {
        Self {
            socket,
            counts,
            seen: Arc::default(),
            is_http_2: None,
            unsent: Vec::new(),
        }
    }

    /// What is seen of it, also while somebody else has it.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    fn has_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let is_http_2 = *self
            .is_http_2
            .get_or_insert_with(|| bytes.starts_with(HTTP_2_BEGINS));
        self.seen.is_in_head.store(!is_http_2, Ordering::Relaxed);
    }

    /// What is to be sent of these bytes as they are. If none is, all of them are hyper's answer, and
    /// what is sent in its place waits.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.seen.is_in_head.store(false, Ordering::Relaxed);
        let Some((before, answer)) = (match self.is_http_2 {
            Some(false) => bare_answer(bytes),
            _ => None,
        }) else {
            return bytes;
        };
        if before.is_empty() {
            let refusal = refusal(answer);
            self.counts.bare_answer(refusal.status, refusal.limit);
            self.unsent = with_body(answer, &refusal);
        }
        before
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// The answer that hyper made by itself at the end of these bytes, and what stands before it.
fn bare_answer(bytes: &[u8]) -> Option<(&[u8], &str)> {
    // Most of what is written ends with a body of JSON.
    if !bytes.ends_with(HEAD_ENDS.as_bytes()) {
        return None;
    }
    let is_start = |window: &[u8]| window == ANSWER_BEGINS.as_bytes();
    let start = bytes.windows(ANSWER_BEGINS.len()).rposition(is_start)?;
    let (before, answer) = bytes.split_at(start);
    let answer = std::str::from_utf8(answer).ok()?;
    let is_refusal = answer
        .split(' ')
        .nth(1)
        .is_some_and(|it| it.starts_with('4'));
    let has_id = answer.contains(REQUEST_ID.as_str());
    (is_refusal && !has_id).then_some((before, answer))
}

/// What is wrong, by the status that hyper chose.
fn refusal(answer: &str) -> Refusal {
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
            let text = "the head of the request is too large, or has too many headers";
            Refusal::beyond(Limit::Head, status, text)
        }
        status => Refusal::new(status, "this is no request of HTTP/1.1"),
    }
}

/// Its head with a body, after which nothing more comes.
fn with_body(head: &str, refusal: &Refusal) -> Vec<u8> {
    let told = Refused {
        code: refusal.status.as_u16(),
        message: &refusal.message,
    };
    let body = serde_json::to_string(&told).unwrap_or_default();
    let is_kept = |line: &&str| !line.starts_with("content-length") && !line.is_empty();
    let mut lines: Vec<String> = head
        .split("\r\n")
        .filter(is_kept)
        .map(str::to_owned)
        .collect();
    lines.push("content-type: application/json".to_owned());
    lines.push(format!("content-length: {}", body.len()));
    let id = request_id(None);
    lines.push(format!("{REQUEST_ID}: {}", id.to_str().unwrap_or_default()));
    if !head.contains("\r\nconnection:") {
        lines.push("connection: close".to_owned());
    }
    format!("{}{HEAD_ENDS}{body}", lines.join("\r\n")).into_bytes()
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        this.has_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        match this.take(bytes) {
            [] => Poll::Ready(Ok(bytes.len())),
            sent => Pin::new(&mut this.socket).poll_write(cx, sent),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What hyper answers has no body, and so is alone.
        if let [bytes] = slices {
            return self.poll_write(cx, bytes);
        }
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        this.seen.is_in_head.store(false, Ordering::Relaxed);
        Pin::new(&mut this.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
        date: Fri, 27 Nov 2026 22:00:00 GMT\r\n\r\n";

    #[test]
    fn what_hyper_answers_is_found_behind_what_we_answered_and_nothing_else_is_taken_for_it() {
        let ours = "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n";
        let both = format!("{ours}{BARE}");
        let (before, answer) = bare_answer(both.as_bytes()).expect("it is there");
        assert_eq!((before, answer), (ours.as_bytes(), BARE));
        for other in [
            ours.to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            format!("{BARE}{{}}"),
            "\r\n\r\n".to_owned(),
        ] {
            assert_eq!(bare_answer(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn its_head_is_kept_and_gets_a_body() {
        let refusal = refusal(BARE);
        assert_eq!(refusal.limit, Some(Limit::Head));
        let told = String::from_utf8(with_body(BARE, &refusal)).expect("text");
        let (head, body) = told.split_once(HEAD_ENDS).expect("a body");
        assert!(head.starts_with("HTTP/1.1 431 "), "{told}");
        assert!(head.contains("\r\ndate: Fri, 27 Nov 2026"), "{told}");
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        assert!(
            head.contains(&length) && !head.contains("length: 0"),
            "{told}"
        );
        assert!(body.starts_with(r#"{"code":431,"message":"#), "{told}");
    }
}

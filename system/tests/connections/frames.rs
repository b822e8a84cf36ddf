//! An HTTP/2 client by hand: it sends requests and gives them up exactly when a test says so, which
//! a library would not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// Longest wait for the peer to take or to send something.
const LIMIT: Duration = Duration::from_secs(10);

/// How a stream, or all of them, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The stream was answered.
    Answered,
    /// The connection was ended with this error code and reason.
    GoAway(u32, String),
    /// The connection was closed without a word.
    Closed,
}

/// One connection; requests get the ids 1, 3, 5, …
pub struct Client {
    stream: TcpStream,
    next_id: u32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let mut first = PREFACE.to_vec();
        first.extend(frame(SETTINGS, 0, 0, &[]));
        first.extend(frame(SETTINGS, ACKNOWLEDGED, 0, &[]));
        stream.write_all(&first).expect("written");
        Self { stream, next_id: 1 }
    }

    /// Sends `path` with an empty gRPC message `count` times; returns the ids of the streams.
    pub fn ask(&mut self, path: &str, count: usize) -> Vec<u32> {
        let head = request_head(path, Spelling::Forgotten);
        let ids: Vec<u32> = (0..count).map(|_| self.take_id()).collect();
        let requests = ids.iter().flat_map(|id| {
            let mut request = frame(HEADERS, END_HEADERS, *id, &head);
            request.extend(frame(DATA, END_STREAM, *id, &[0; 5]));
            request
        });
        let requests: Vec<u8> = requests.collect();
        self.stream.write_all(&requests).expect("written");
        ids
    }

    /// Gives requests up.
    pub fn cancel(&mut self, ids: &[u32]) {
        let resets = ids.iter().flat_map(|id| frame(RST_STREAM, 0, *id, &CANCEL));
        let resets: Vec<u8> = resets.collect();
        self.stream.write_all(&resets).expect("written");
    }

    /// Asks and gives up at once, `count` times, in as few bytes as possible.
    pub fn flood(&mut self, path: &str, count: usize) {
        let spelt_out = request_head(path, Spelling::Remembered);
        // The four fields that the peer's table holds now, the latest first.
        let abbreviated = [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];
        let heads =
            std::iter::once(spelt_out.as_slice()).chain(std::iter::repeat(&abbreviated[..]));
        let mut flood = Vec::new();
        for head in heads.take(count) {
            let id = self.take_id();
            flood.extend(frame(HEADERS, END_HEADERS, id, head));
            flood.extend(frame(RST_STREAM, 0, id, &CANCEL));
        }
        self.stream.write_all(&flood).expect("written");
    }

    /// Reads until stream `id` has an answer, or until the connection ends.
    pub fn outcome(&mut self, id: u32) -> Ended {
        loop {
            let mut head = [0; 9];
            if let Err(error) = self.stream.read_exact(&mut head) {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "no answer");
                return Ended::Closed;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut body = vec![0; usize::try_from(length).expect("small")];
            if self.stream.read_exact(&mut body).is_err() {
                return Ended::Closed;
            }
            match head[3] {
                HEADERS if of == id => return Ended::Answered,
                GO_AWAY => {
                    let code = u32::from_be_bytes([body[4], body[5], body[6], body[7]]);
                    return Ended::GoAway(code, String::from_utf8_lossy(&body[8..]).into_owned());
                }
                _ => {}
            }
        }
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        id
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// Whether the peer keeps the fields of a request in its HPACK table.
#[derive(Clone, Copy)]
enum Spelling {
    Forgotten = 0,
    Remembered = 0x40,
}

/// The head of a request, spelt out in full.
fn request_head(path: &str, spelling: Spelling) -> Vec<u8> {
    let text = |text: &str| {
        let mut spelt = vec![u8::try_from(text.len()).expect("short")];
        spelt.extend(text.bytes());
        spelt
    };
    // `:method POST` and `:scheme http` of the static table.
    let spelling = spelling as u8;
    let mut head = vec![0x83, 0x86, spelling | 4];
    head.extend(text(path));
    head.push(spelling | 1);
    head.extend(text("shop"));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        head.push(spelling);
        head.extend(text(name));
        head.extend(text(value));
    }
    head
}

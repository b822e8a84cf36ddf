//! What the driver does for each request but for the sockets: encoding, framing, reading replies,
//! and the log of outcomes. Every byte is the same in each run.

use loadgen::data::{Element, Encoded};
use loadgen::wire::{Ended, Session, Target};
use reports::outcome_log::{self, Operation, Outcome, Record};
use std::path::PathBuf;
use tempfile::TempDir;

/// Requests of one count.
pub const BATCH: usize = 256;
/// Types and flags of the frames that a server sends, RFC 9113.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` from the static table.
const HEAD: &[u8] = b"\x88";
/// `grpc-status: 0`, spelled out.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";
/// The gRPC message of a yes: success, and an order id of nine bytes.
const YES: &[u8] = b"\0\0\0\0\x0c\x08\x01\x18\x81\x80\x80\x80\x80\x80\x80\x80\x40";

/// The buyers of one batch.
pub fn elements(_: ()) -> Vec<Element> {
    let element = |index| Element {
        user_id: 1_000_000 + index as i64,
        product_id: 1,
        quantity: 1 + (index % 2) as i32,
    };
    (0..BATCH).map(element).collect()
}

/// A connection that has the server's settings, and the requests to send.
#[derive(Debug)]
pub struct Ready {
    pub session: Session<usize>,
    encoded: Encoded,
    /// What the server answers.
    replies: Vec<u8>,
    ended: Vec<(usize, Ended)>,
}

/// Ready to send [`BATCH`] requests, after one that has spelled its headers out.
pub fn connected(_: ()) -> Ready {
    let target = Target::new(
        "127.0.0.1:50053",
        "/seckill.SeckillService/ExecuteSeckill",
        2_000,
    );
    let mut session = Session::new(&target.expect("short"));
    let encoded = Encoded::new(elements(()));
    let mut replies = Vec::new();
    frame(&mut replies, SETTINGS, 0, 0, b"");
    session.receive(&replies, &mut |_, _| {}).expect("settings");
    session.send(encoded.message(0), 0);
    replies.clear();
    reply(&mut replies, 1);
    session.receive(&replies, &mut |_, _| {}).expect("a reply");
    replies.clear();
    (0..BATCH).for_each(|index| reply(&mut replies, 3 + 2 * index as u32));
    session.out = Vec::with_capacity(64 * BATCH);
    Ready {
        session,
        encoded,
        replies,
        ended: Vec::with_capacity(BATCH),
    }
}

fn reply(out: &mut Vec<u8>, stream: u32) {
    frame(out, HEADERS, END_HEADERS, stream, HEAD);
    frame(out, DATA, 0, stream, YES);
    frame(out, HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS);
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Ready to read the replies to [`BATCH`] requests.
pub fn sent(_: ()) -> Ready {
    send(connected(()))
}

/// Puts all requests into the bytes to send.
pub fn send(mut ready: Ready) -> Ready {
    for index in 0..BATCH {
        ready.session.send(ready.encoded.message(index), index);
    }
    ready
}

/// Reads all replies.
pub fn receive(mut ready: Ready) -> Ready {
    let ended = &mut ready.ended;
    let read = ready
        .session
        .receive(&ready.replies, &mut |tag, how| ended.push((tag, how)));
    assert_eq!(read, Ok(ready.replies.len()));
    ready
}

/// How many requests have been answered in good order.
pub fn answered(ready: &Ready) -> usize {
    let is_yes = |(_, ended): &&(usize, Ended)| match ended {
        Ended::Replied(reply) => reply.grpc_status == Some(0) && reply.body == YES,
        Ended::NotProcessed | Ended::Reset(_) => false,
    };
    ready.ended.iter().filter(is_yes).count()
}

/// Records and the file for them.
#[derive(Debug)]
pub struct Log {
    records: Vec<Record>,
    path: PathBuf,
    _folder: TempDir,
}

/// Ready to log [`BATCH`] outcomes.
pub fn unlogged(_: ()) -> Log {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = |index| Record {
        operation: Operation::Buy,
        user_id: 1 + index,
        product_id: 1,
        asked_order_id: 0,
        quantity: 1,
        outcome: Outcome::Accepted,
        refusal: None,
        order_id: 1 << 40 | index,
        due_at_unix_us: 1_800_000_000_000_000 + index,
        sent_at_unix_us: Some(1_800_000_000_000_010 + index),
        ended_at_unix_us: 1_800_000_000_005_000 + index,
    };
    Log {
        records: (0..BATCH as i64).map(record).collect(),
        path: folder.path().join("told.log"),
        _folder: folder,
    }
}

/// Ready to read them back.
pub fn logged(_: ()) -> Log {
    write_log(unlogged(()))
}

/// Writes a whole log.
pub fn write_log(log: Log) -> Log {
    let mut writer = outcome_log::Writer::create(&log.path).expect("a file");
    for record in &log.records {
        writer.push(record).expect("written");
    }
    writer.finish().expect("written");
    log
}

/// The number of records in it.
pub fn read_log(log: &Log) -> usize {
    outcome_log::read(&log.path).map_or(0, |records| records.len())
}

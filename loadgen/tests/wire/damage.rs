//! What a real server said, replayed: rewritten in ways that must not matter, cut off, and damaged.
//! Whatever comes, the client never panics, never waits for more than it can hold, never grows
//! without bound, and ends no request twice.

use crate::client::{Client, INBOX_LEN, call_all, target};
use crate::moody_server::{Common, Habits, serve};
use crate::verdict::message;
use loadgen::wire::{Ended, Session};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::sync::Arc;
use std::time::Duration;

const HEADER_LEN: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// More than the answers to all that any case feeds, beside the requests themselves.
const OUT_LEN_MAX: usize = 2 << 20;

#[derive(Clone, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A conversation in which requests 0 to `count` were sent at once.
struct Recording {
    seed: u64,
    count: u32,
    ends: Vec<Option<Ended>>,
    frames: Vec<Frame>,
}

#[derive(Debug, Default)]
struct Outcome {
    ends: Vec<Option<Ended>>,
    error: Option<String>,
}

#[test]
fn rewritten_and_cut_off_replies_mean_the_same() {
    crate::fuzz(Duration::from_secs(2), |seed| same_meaning(seed, 10));
}

#[test]
fn damaged_replies_do_no_harm() {
    crate::fuzz(Duration::from_secs(2), |seed| no_harm(seed, 30));
}

#[test]
#[ignore = "nightly: four minutes of rewritten and damaged replies"]
fn rewritten_and_damaged_replies_for_minutes() {
    crate::fuzz(Duration::from_secs(120), |seed| same_meaning(seed, 100));
    crate::fuzz(Duration::from_secs(120), |seed| no_harm(seed, 300));
}

fn same_meaning(seed: u64, rounds: u32) {
    let recording = record(seed);
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..rounds {
        let bytes = serialized(&rewritten(&recording.frames, &mut random));
        let outcome = replay(&recording, &bytes, &mut random);
        assert_eq!((outcome.error, &outcome.ends), (None, &recording.ends));
        let end = random.random_range(first_frame_len(&bytes)..bytes.len());
        let outcome = replay(&recording, &bytes[..end], &mut random);
        assert_eq!(outcome.error, None);
        for (end, whole) in outcome.ends.iter().zip(&recording.ends) {
            assert!(end.is_none() || end == whole, "{end:?}, {whole:?}");
        }
    }
}

fn no_harm(seed: u64, rounds: u32) {
    let recording = record(seed);
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..rounds {
        let mut frames = recording.frames.clone();
        if random.random_bool(0.5) {
            damage_frames(&mut frames, &mut random);
        }
        let mut bytes = serialized(&frames);
        for _ in 0..random.random_range(0..4) {
            damage_bytes(&mut bytes, &mut random);
        }
        replay(&recording, &bytes, &mut random);
    }
}

fn record(seed: u64) -> Recording {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let count = SmallRng::seed_from_u64(seed).random_range(1..30);
        let (near, far) = tokio::io::duplex(1 << 20);
        let habits = Habits {
            seed,
            connection_seed: seed,
            message_len_max: 100,
            moody: false,
        };
        let common = Arc::new(Common::default());
        common.sent.lock().expect("no panic").extend(0..count);
        let server = tokio::spawn(serve(far, habits, common));
        let mut client = Client::new(near, "localhost:1", None);
        let messages: Vec<_> = (0..count).map(|tag| message(seed, tag, 100)).collect();
        let mut ends = vec![None; count as usize];
        call_all(&mut client, &messages, &mut (0..count).collect(), &mut ends)
            .await
            .expect("a conversation");
        let frames = parsed(&client.received);
        drop(client);
        server.await.expect("the server found no fault");
        Recording {
            seed,
            count,
            ends,
            frames,
        }
    })
}

fn parsed(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while bytes.len() >= first_frame_len(bytes) {
        let (frame, rest) = bytes.split_at(first_frame_len(bytes));
        frames.push(Frame {
            kind: frame[3],
            flags: frame[4],
            stream: u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]),
            payload: frame[HEADER_LEN..].to_vec(),
        });
        bytes = rest;
    }
    frames
}

/// At least that of a frame's header.
fn first_frame_len(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk::<3>().unwrap_or(&[0; 3]);
    HEADER_LEN + u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize
}

fn serialized(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend_from_slice(&(frame.payload.len() as u32).to_be_bytes()[1..]);
        bytes.extend([frame.kind, frame.flags]);
        bytes.extend_from_slice(&frame.stream.to_be_bytes());
        bytes.extend_from_slice(&frame.payload);
    }
    bytes
}

/// Feeds the first frame, sends all requests, and feeds the rest in pieces, as the driver would.
fn replay(recording: &Recording, bytes: &[u8], random: &mut SmallRng) -> Outcome {
    let mut session = Session::new(&target("localhost:1"));
    let mut outcome = Outcome::default();
    outcome.ends.resize(recording.count as usize, None);
    let (mut inbox, mut fed, mut sent) = (Vec::new(), 0, 0);
    while fed < bytes.len() && outcome.error.is_none() {
        assert!(
            inbox.len() < INBOX_LEN,
            "the inbox is full, and nothing is taken"
        );
        let room = (INBOX_LEN - inbox.len()).min(bytes.len() - fed);
        let piece = match random.random_range(0..3) {
            _ if fed == 0 => room.min(first_frame_len(bytes)),
            0 => room,
            1 => random.random_range(1..=room),
            _ => random.random_range(1..=room.min(20)),
        };
        inbox.extend_from_slice(&bytes[fed..fed + piece]);
        fed += piece;
        let ends = &mut outcome.ends;
        let received = session.receive(&inbox, &mut |tag: u32, end| {
            let known = ends[tag as usize].replace(end);
            assert_eq!(known, None, "request {tag} ended twice");
        });
        match received {
            Ok(used) => drop(inbox.drain(..used)),
            Err(error) => outcome.error = Some(error.to_string()),
        }
        while sent < recording.count
            && outcome.error.is_none()
            && session.can_send(message(recording.seed, sent, 100).len())
        {
            session.send(&message(recording.seed, sent, 100), sent);
            sent += 1;
        }
        assert!(session.out.len() < OUT_LEN_MAX);
    }
    let kept: usize = outcome.ends.iter().flatten().map(len_of).sum();
    assert!(kept <= bytes.len() + (64 << 10) * recording.count as usize);
    let open: Vec<u32> = session.into_open().collect();
    for tag in 0..sent {
        let ended = outcome.ends[tag as usize].is_some();
        assert!(ended != open.contains(&tag), "request {tag} is nowhere");
    }
    outcome
}

fn len_of(end: &Ended) -> usize {
    match end {
        Ended::Replied(reply) => reply.body.len() + reply.grpc_message.len(),
        _ => 0,
    }
}

/// The same conversation in other frames, with others between them that mean nothing.
fn rewritten(frames: &[Frame], random: &mut SmallRng) -> Vec<Frame> {
    let mut all = vec![frames[0].clone()];
    for frame in &frames[1..] {
        // Not inside of a header block that already goes over several frames.
        if frame.kind != CONTINUATION && random.random_bool(0.3) {
            all.push(idle_talk(random));
        }
        match frame.kind {
            DATA => split_data(frame, random, &mut all),
            HEADERS if frame.flags & END_HEADERS != 0 => split_headers(frame, random, &mut all),
            _ => all.push(frame.clone()),
        }
    }
    all
}

fn idle_talk(random: &mut SmallRng) -> Frame {
    let any: [u8; 12] = random.random();
    let (kind, flags, stream, payload) = match random.random_range(0..6) {
        0 => (
            random.random_range(16..=255),
            any[0],
            u32::from(any[1]),
            &any[..],
        ),
        1 => (2, 0, 1, &any[..5]),
        2 => (6, any[0] & 1, 0, &any[..8]),
        3 => (4, 1, 0, &[][..]),
        // A setting that nobody knows.
        4 => (4, 0, 0, &[0xfa, 0xce, 1, 2, 3, 4][..]),
        _ => (8, 0, random.random_range(0..2), &[0, 0, 1, 7][..]),
    };
    Frame {
        kind,
        flags,
        stream,
        payload: payload.to_vec(),
    }
}

fn split_data(frame: &Frame, random: &mut SmallRng, all: &mut Vec<Frame>) {
    let at = random.random_range(0..=frame.payload.len());
    let (first, second) = frame.payload.split_at(at);
    for (part, flags) in [(first, frame.flags & !END_STREAM), (second, frame.flags)] {
        let padding: u8 = random.random();
        let mut new = Frame {
            flags,
            payload: part.to_vec(),
            ..*frame
        };
        if part.len() < 16_000 && random.random_bool(0.5) {
            new.flags |= PADDED;
            new.payload.insert(0, padding);
            new.payload
                .resize(new.payload.len() + usize::from(padding), 0);
        }
        all.push(new);
    }
}

fn split_headers(frame: &Frame, random: &mut SmallRng, all: &mut Vec<Frame>) {
    let mut block = frame.payload.clone();
    if random.random_bool(0.3) {
        // The table keeps its 4,096 bytes.
        block.splice(..0, [0x3f, 0xe1, 0x1f]);
    }
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    while !block.is_empty() {
        let length = random.random_range(1..=block.len().min(16_000));
        pieces.push(block.drain(..length).collect());
    }
    let last = pieces.len() - 1;
    for (at, mut payload) in pieces.into_iter().enumerate() {
        let mut flags = if at == last { END_HEADERS } else { 0 };
        let mut kind = CONTINUATION;
        if at == 0 {
            kind = HEADERS;
            flags |= frame.flags & END_STREAM;
            if random.random_bool(0.5) {
                flags |= PRIORITY;
                payload.splice(..0, [0, 0, 0, 0, 16]);
            }
            if random.random_bool(0.5) {
                flags |= PADDED;
                payload.insert(0, 3);
                payload.extend([0; 3]);
            }
        }
        all.push(Frame {
            kind,
            flags,
            stream: frame.stream,
            payload,
        });
    }
}

fn damage_frames(frames: &mut Vec<Frame>, random: &mut SmallRng) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..frames.len());
        let other = random.random_range(0..frames.len());
        match random.random_range(0..7) {
            0 => drop(frames.remove(at)),
            1 => frames.insert(at, frames[other].clone()),
            2 => frames.swap(at, other),
            3 => frames[at].kind = random.random_range(0..12),
            4 => frames[at].flags ^= 1 << random.random_range(0..8),
            5 => frames[at].stream = random.random_range(0..70),
            _ => {
                let length = random.random_range(0..40);
                let payload = (0..length).map(|_| random.random()).collect();
                frames[at].payload = payload;
            }
        }
        if frames.is_empty() {
            frames.push(idle_talk(random));
        }
    }
}

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..50)).min(bytes.len());
    match random.random_range(0..6) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        4 => {
            let noise: Vec<u8> = (at..end).map(|_| random.random()).collect();
            bytes.splice(at..at, noise);
        }
        _ => bytes.truncate(at),
    }
}

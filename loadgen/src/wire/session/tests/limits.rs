//! Windows and tables that the server makes smaller and larger while requests are under way, and
//! long header values.

use super::{OK_TRAILERS, feed, frames, replied, session_with};
use crate::wire::frame::{
    self, CONTINUATION, DATA, FLAG_END_HEADERS, FLAG_END_STREAM, GOAWAY, HEADER_LEN, HEADERS,
    RST_STREAM, SETTINGS,
};
use crate::wire::session::Session;
use crate::wire::{Ended, hpack};

const END: u8 = FLAG_END_HEADERS | FLAG_END_STREAM;
const ACK: (u8, u8, u32, &[u8]) = (SETTINGS, frame::FLAG_ACK, 0, b"");

/// What is ready to be sent, without the header block of a request.
fn sent(session: &mut Session<u32>) -> Vec<u8> {
    let mut out = std::mem::take(&mut session.out);
    if out.get(3) == Some(&HEADERS) {
        let length = usize::from(out[1]) << 8 | usize::from(out[2]);
        out.drain(..HEADER_LEN + length);
    }
    out
}

fn settings(name: u16, value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_settings(&mut bytes, &[(name, value)]);
    bytes
}

fn window(value: u32) -> Vec<u8> {
    settings(frame::SETTING_INITIAL_WINDOW_SIZE, value)
}

fn update(stream: u32, increment: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_window_update(&mut bytes, stream, increment);
    bytes
}

#[test]
fn a_request_without_a_window_waits_and_goes_on_when_it_is_raised() {
    let mut session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 0)]);
    assert!(session.can_send(4), "the first may wait on its stream");
    session.send(b"abcd", 0);
    assert_eq!(sent(&mut session), b"");
    assert!(!session.can_send(1), "but only one");
    feed(&mut session, &update(1, 1)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 1, b"a")]));
    feed(&mut session, &window(2)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[ACK, (DATA, 0, 1, b"bc")]));
    feed(&mut session, &update(1, 9)).expect("valid");
    assert_eq!(
        sent(&mut session),
        frames(&[(DATA, FLAG_END_STREAM, 1, b"d")])
    );
    assert!(session.can_send(2));
    let reply = frames(&[(HEADERS, END, 1, OK_TRAILERS)]);
    assert_eq!(feed(&mut session, &reply), Ok(vec![(0, replied(b""))]));
}

#[test]
fn a_window_lowered_below_what_is_used_is_filled_up_first() {
    let mut session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 4)]);
    session.send(b"abcdefgh", 0);
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 1, b"abcd")]));
    feed(&mut session, &window(1)).expect("valid");
    feed(&mut session, &update(1, 3)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[ACK]), "-3 + 3 = 0");
    feed(&mut session, &update(1, 2)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 1, b"ef")]));
    feed(&mut session, &window(3)).expect("valid");
    assert_eq!(
        sent(&mut session),
        frames(&[ACK, (DATA, FLAG_END_STREAM, 1, b"gh")])
    );
    session.send(b"ijkl", 1);
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 3, b"ijk")]));
}

#[test]
fn the_windows_of_the_connection_and_of_the_stream_both_count() {
    let mut session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 65_535)]);
    for tag in 0..3 {
        session.send(&[0; 16_384], tag);
    }
    session.send(&[0; 16_380], 3);
    session.out.clear();
    session.send(b"abcdef", 4);
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 9, b"abc")]));
    feed(&mut session, &update(9, 10)).expect("valid");
    assert_eq!(sent(&mut session), b"");
    feed(&mut session, &update(0, 1)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[(DATA, 0, 9, b"d")]));
    feed(&mut session, &update(0, 10)).expect("valid");
    assert_eq!(
        sent(&mut session),
        frames(&[(DATA, FLAG_END_STREAM, 9, b"ef")])
    );
    assert!(session.can_send(8));
    let overflow = feed(&mut session, &update(0, 0x7fff_ffff)).expect_err("too much");
    assert!(overflow.contains("window"), "{overflow}");
}

#[test]
fn a_request_that_ends_half_sent_makes_room_for_the_next() {
    let half_sent = || {
        let mut session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 1)]);
        session.send(b"ab", 0);
        session.out.clear();
        session
    };
    let mut session = half_sent();
    let reply = frames(&[(HEADERS, END, 1, OK_TRAILERS)]);
    assert_eq!(feed(&mut session, &reply), Ok(vec![(0, replied(b""))]));
    let reset = frames(&[(RST_STREAM, 0, 1, b"\0\0\0\x08")]);
    assert_eq!(sent(&mut session), reset, "our half is still open");
    assert!(session.can_send(1));
    session.send(b"c", 1);
    assert_eq!(
        sent(&mut session),
        frames(&[(DATA, FLAG_END_STREAM, 3, b"c")])
    );

    let mut session = half_sent();
    let ended = feed(&mut session, &reset);
    assert_eq!(ended, Ok(vec![(0, Ended::Reset(8))]));
    assert!(session.can_send(1) && session.out.is_empty());

    let mut session = half_sent();
    assert_eq!(session.cancel_oldest(), Some(0));
    assert_eq!(sent(&mut session), reset);
    assert!(session.can_send(1));
    feed(&mut session, &update(1, 5)).expect("late, and ignored");
    assert!(session.out.is_empty());

    let mut session = half_sent();
    let ended = feed(&mut session, &frames(&[(GOAWAY, 0, 0, &[0; 8])]));
    assert_eq!(ended, Ok(vec![(0, Ended::NotProcessed)]));
    feed(&mut session, &window(9)).expect("valid");
    assert_eq!(sent(&mut session), frames(&[ACK]));
}

#[test]
fn more_streams_may_be_allowed_later() {
    let mut session = session_with(&[(frame::SETTING_MAX_CONCURRENT_STREAMS, 0)]);
    assert!(!session.can_send(1));
    let more = settings(frame::SETTING_MAX_CONCURRENT_STREAMS, 1);
    feed(&mut session, &more).expect("valid");
    assert!(session.can_send(1));
}

#[test]
fn a_message_over_16_kib_is_never_sent() {
    let session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 1 << 20)]);
    assert!(session.can_send(16_384) && !session.can_send(16_385));
}

#[test]
fn a_table_made_smaller_is_acknowledged_by_the_next_request() {
    let table = |size| settings(frame::SETTING_HEADER_TABLE_SIZE, size);
    let block = |session: &mut Session<u32>| {
        session.out.clear();
        session.send(b"x", 0);
        let end = HEADER_LEN + usize::from(session.out[2]);
        session.out[HEADER_LEN..end].to_vec()
    };
    let mut session = session_with(&[]);
    block(&mut session);
    let steady = block(&mut session);
    // Ours fit into 2,000 bytes: 31 + 127 * 7 + ... is 0x3f 0xb1 0x0f.
    feed(&mut session, &table(2_000)).expect("valid");
    let expected = [&[0x3f, 0xb1, 0x0f], &*steady].concat();
    assert_eq!(block(&mut session), expected);
    assert_eq!(block(&mut session), steady);
    // Of two changes before the next request only the last is told.
    feed(&mut session, &table(1_999)).expect("valid");
    feed(&mut session, &table(1_998)).expect("valid");
    assert_eq!(block(&mut session)[..4], [0x3f, 0xaf, 0x0f, steady[0]]);
    // The smallest counts, even if a larger one follows at once.
    feed(&mut session, &table(0)).expect("valid");
    feed(&mut session, &table(4_096)).expect("valid");
    let spelled_out = block(&mut session);
    assert_eq!(spelled_out[0], 0x20, "the table is declared empty");
    assert_eq!(block(&mut session), spelled_out[1..]);
    let mut session = session_with(&[(frame::SETTING_HEADER_TABLE_SIZE, 8_192)]);
    block(&mut session);
    assert_eq!(block(&mut session), steady, "larger tables are not used");
    let mut session = session_with(&[(frame::SETTING_HEADER_TABLE_SIZE, 2_000)]);
    assert_eq!(block(&mut session)[..3], [0x3f, 0xb1, 0x0f]);
    assert_eq!(block(&mut session), steady);
}

#[test]
fn header_values_may_be_long_plain_or_huffman_coded_and_in_several_frames() {
    for length in [120, 126, 127, 128, 255, 5_000, 16_384] {
        // 'a' is 00011 in Huffman's code, so that eight of them are five bytes.
        let plain = "a".repeat(length);
        let huffman_coded = [0x18, 0xc6, 0x31, 0x8c, 0x63].repeat(length / 8);
        let expected_huffman = "a".repeat(length / 8 * 8);
        for (flag, coded, expected) in [
            (0, plain.as_bytes(), &plain),
            (0x80, &*huffman_coded, &expected_huffman),
        ] {
            let mut block = b"\x88\x00\x0bgrpc-status\x0214\x00\x0cgrpc-message".to_vec();
            hpack::write_integer(&mut block, flag, 7, coded.len());
            block.extend_from_slice(coded);
            let (first, rest) = block.split_at(20);
            let mut all = vec![(HEADERS, FLAG_END_STREAM, 1, first)];
            let pieces: Vec<&[u8]> = rest.chunks(1_000).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let last = at + 1 == pieces.len();
                let flags = if last { FLAG_END_HEADERS } else { 0 };
                all.push((CONTINUATION, flags, 1, piece));
            }
            let mut session = session_with(&[]);
            session.send(b"x", 0);
            let ended = feed(&mut session, &frames(&all)).expect("valid");
            let [(0, Ended::Replied(reply))] = &ended[..] else {
                panic!("{length}: {ended:?}")
            };
            assert_eq!(reply.grpc_status, Some(14));
            assert_eq!(&reply.grpc_message, expected, "{length}");
        }
    }
}

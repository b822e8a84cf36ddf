//! What a server must not do, and what this client leaves out: each is refused by name, and what
//! may be ignored is ignored.

use super::super::STREAM_ID_LAST;
use super::{OK_TRAILERS, feed, frames, replied, session, session_with};
use crate::wire::frame::{
    self, CONTINUATION, DATA, FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED, GOAWAY,
    HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

const END: u8 = FLAG_END_HEADERS | FLAG_END_STREAM;
/// HPACK: `:status: 200`.
const STATUS_200: &[u8] = b"\x88";

type Frame = (u8, u8, u32, &'static [u8]);

/// Feeds frames to a session with request 0 open on stream 1, which must refuse them.
fn refusal(of: &[Frame]) -> String {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    feed(&mut session, &frames(of)).expect_err("must be refused")
}

fn assert_refused(cases: &[(&[Frame], &str)]) {
    for (frames, part) in cases {
        let error = refusal(frames);
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

#[test]
fn frames_of_a_wrong_length_are_refused() {
    let long = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    let error = feed(&mut session_with(&[]), &long).expect_err("too long");
    assert!(error.contains("longer than 16,384 bytes"), "{error}");
    assert_refused(&[
        (&[(PING, 0, 0, b"1")], "PING"),
        (&[(SETTINGS, 0, 0, b"1")], "SETTINGS"),
        (&[(SETTINGS, FLAG_ACK, 0, b"123456")], "SETTINGS"),
        (&[(GOAWAY, 0, 0, b"1")], "GOAWAY"),
        (&[(RST_STREAM, 0, 1, b"1")], "RST_STREAM"),
        (&[(WINDOW_UPDATE, 0, 1, b"1")], "WINDOW_UPDATE"),
        (&[(HEADERS, FLAG_PADDED, 1, b"\x01")], "HEADERS"),
    ]);
}

#[test]
fn frames_of_streams_that_were_never_opened_are_refused() {
    for id in [0, 2, 3] {
        assert_refused(&[
            (&[(HEADERS, END, id, OK_TRAILERS)], "never opened"),
            (&[(HEADERS, 0, id, OK_TRAILERS)], "never opened"),
            (&[(DATA, 0, id, b"x")], "never opened"),
            (&[(RST_STREAM, 0, id, b"\0\0\0\x08")], "never opened"),
        ]);
    }
    assert_refused(&[
        (&[(WINDOW_UPDATE, 0, 3, b"\0\0\0\x01")], "never opened"),
        (&[(SETTINGS, 0, 1, b"")], "SETTINGS"),
        (&[(PING, 0, 1, b"12345678")], "PING"),
        (&[(GOAWAY, 0, 1, b"12345678")], "GOAWAY"),
    ]);
}

#[test]
fn header_blocks_that_break_the_rules_are_refused() {
    assert_refused(&[
        (
            &[(HEADERS, FLAG_END_HEADERS, 1, b"\xff\xff\xff\xff\xff")],
            "header block",
        ),
        (&[(CONTINUATION, 0, 1, b"1")], "CONTINUATION"),
        (
            &[(HEADERS, 0, 1, STATUS_200), (CONTINUATION, 0, 3, b"1")],
            "CONTINUATION",
        ),
        (
            &[(HEADERS, 0, 1, STATUS_200), (CONTINUATION, 0, 1, b"")],
            "CONTINUATION is empty",
        ),
        (
            &[(HEADERS, 0, 1, STATUS_200), (PING, 0, 0, b"12345678")],
            "interrupted",
        ),
        (&[(frame::PUSH_PROMISE, 0, 1, b"1")], "push"),
    ]);
}

#[test]
fn replies_whose_parts_are_out_of_order_are_refused() {
    assert_refused(&[
        (&[(DATA, 0, 1, b"x")], "DATA comes before"),
        (
            &[(HEADERS, FLAG_END_HEADERS, 1, &OK_TRAILERS[1..])],
            "without :status",
        ),
        (
            &[
                (HEADERS, FLAG_END_HEADERS, 1, STATUS_200),
                (HEADERS, FLAG_END_HEADERS, 1, &OK_TRAILERS[1..]),
            ],
            "do not end",
        ),
        (
            &[
                (HEADERS, FLAG_END_HEADERS, 1, STATUS_200),
                (DATA, FLAG_PADDED, 1, b"\x09"),
            ],
            "DATA",
        ),
    ]);
}

#[test]
fn settings_out_of_range_are_refused() {
    assert_refused(&[
        (&[(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")], "window"),
        (&[(SETTINGS, 0, 0, b"\0\x02\0\0\0\x01")], "push"),
        (&[(SETTINGS, 0, 0, b"\0\x05\0\0\x3f\xff")], "frame size"),
        (&[(SETTINGS, 0, 0, b"\0\x05\x01\0\0\0")], "frame size"),
    ]);
}

#[test]
fn window_updates_of_nothing_or_too_much_are_refused() {
    assert_refused(&[
        (&[(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")], "adds nothing"),
        (&[(WINDOW_UPDATE, 0, 1, b"\x80\0\0\0")], "adds nothing"),
        (&[(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")], "window"),
        (&[(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff")], "window"),
    ]);
}

#[test]
fn a_server_of_another_protocol_is_told_apart_at_its_first_bytes() {
    let early_ping = frames(&[(PING, 0, 0, b"12345678")]);
    let early_ack = frames(&[(SETTINGS, FLAG_ACK, 0, b"")]);
    let tls_alert = [0x15, 3, 1, 0, 2, 2, 70];
    for bytes in [
        &b"HTTP/1.1 400"[..],
        b"H",
        &tls_alert,
        &early_ping,
        &early_ack,
    ] {
        let error = feed(&mut session(), bytes).expect_err("not HTTP/2");
        assert!(error.contains("first frame is not SETTINGS"), "{error}");
    }
}

#[test]
fn replies_that_outgrow_their_limit_are_refused_padding_included() {
    for padded in [false, true] {
        let mut session = session_with(&[]);
        session.send(b"x", 0);
        let headers = frames(&[(HEADERS, FLAG_END_HEADERS, 1, STATUS_200)]);
        feed(&mut session, &headers).expect("valid");
        let mut payload = vec![0; 16_384];
        payload[0] = 255;
        let flags = if padded { FLAG_PADDED } else { 0 };
        let bytes = frames(&[(
            DATA,
            flags,
            1,
            if padded { &payload[..256] } else { &payload },
        )]);
        let error = (0..20_000).find_map(|_| {
            let error = feed(&mut session, &bytes).err();
            session.out.clear();
            error
        });
        let error = error.expect("a limit");
        assert!(error.contains("4 MiB"), "{error}");
    }
}

#[test]
fn header_blocks_that_go_on_for_ever_are_refused() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    feed(&mut session, &frames(&[(HEADERS, 0, 1, STATUS_200)])).expect("valid");
    let more = frames(&[(CONTINUATION, 0, 1, b"\x88\x88")]);
    let error = (0..40_000).find_map(|_| feed(&mut session, &more).err());
    assert!(error.expect("a limit").contains("64 KiB"));
}

#[test]
fn a_flood_of_pings_is_answered_as_long_as_the_answers_are_read() {
    let pings = frames(&[(PING, 0, 0, &b"12345678"[..]); 100]);
    let settings = frames(&[(SETTINGS, 0, 0, &b""[..]); 100]);
    let mut session = session_with(&[]);
    for _ in 0..10_000 {
        feed(&mut session, &pings).expect("answered");
        assert_eq!(session.out.len(), 1_700);
        session.out.clear();
    }
    for flood in [&pings, &settings] {
        let mut session = session_with(&[]);
        let error = (0..10_000).find_map(|_| feed(&mut session, flood).err());
        assert!(error.expect("a limit").contains("does not read"));
        assert!(session.out.len() < 2 << 20);
    }
}

#[test]
fn what_means_nothing_here_is_ignored() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    session.send(b"y", 1);
    session.out.clear();
    feed(&mut session, &frames(&[(HEADERS, END, 1, OK_TRAILERS)])).expect("valid");
    let bytes = frames(&[
        // An extension, PRIORITY, an ACK of ours, and late frames of a stream that has ended.
        (0x42, 0xff, 0xffff, b"anything"),
        (2, 0, 1, b"12345"),
        (SETTINGS, FLAG_ACK, 0, b""),
        (PING, FLAG_ACK, 0, b"12345678"),
        (RST_STREAM, 0, 1, b"\0\0\0\0"),
        (WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"),
        (SETTINGS, 0, 0, b"\xab\xcd\0\0\0\x01"),
        (HEADERS, END, 3, OK_TRAILERS),
    ]);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![(1, replied(b""))]));
    assert_eq!(session.out, frames(&[(SETTINGS, FLAG_ACK, 0, b"")]));
}

#[test]
fn padded_frames_and_replies_of_trailers_alone_are_understood() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    session.send(b"y", 1);
    let mut padded = vec![3];
    padded.extend_from_slice(OK_TRAILERS);
    padded.extend_from_slice(&[0; 3]);
    let bytes = frames(&[
        (HEADERS, FLAG_END_HEADERS | FLAG_PADDED, 1, b"\x02\x88\0\0"),
        (DATA, FLAG_PADDED, 1, b"\x04abc\0\0\0\0"),
        (DATA, FLAG_PADDED, 1, b"\0d"),
        (HEADERS, END | FLAG_PADDED, 1, &padded),
        (HEADERS, END, 3, OK_TRAILERS),
    ]);
    let expected = vec![(0, replied(b"abcd")), (1, replied(b""))];
    assert_eq!(feed(&mut session, &bytes), Ok(expected));
}

#[test]
fn informational_headers_are_followed_by_the_reply() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    let bytes = frames(&[
        (HEADERS, FLAG_END_HEADERS, 1, b"\x08\x03103"),
        (HEADERS, FLAG_END_HEADERS, 1, STATUS_200),
        (DATA, 0, 1, b"abc"),
        (HEADERS, END, 1, &OK_TRAILERS[1..]),
    ]);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![(0, replied(b"abc"))]));
}

#[test]
fn a_connection_whose_stream_ids_are_used_up_takes_no_more() {
    let mut session = session_with(&[]);
    session.first_id = STREAM_ID_LAST;
    session.send(b"x", 0);
    assert!(session.is_going_away() && !session.can_send(1));
    let bytes = frames(&[(HEADERS, END, STREAM_ID_LAST, OK_TRAILERS)]);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![(0, replied(b""))]));
    assert!(session.is_going_away());
}

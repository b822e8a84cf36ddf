//! The session against bytes that a server could send, in order and out of it.

mod limits;
mod refusals;

use super::{Ended, Obstacle, Reply, Session, Target};
use crate::wire::frame::{
    self, DATA, FLAG_END_HEADERS, FLAG_END_STREAM, GOAWAY, HEADERS, PING, SETTINGS,
};

/// `:status: 200`, then `grpc-status: 0` spelled out.
const OK_TRAILERS: &[u8] = b"\x88\x00\x0bgrpc-status\x010";

fn session() -> Session<u32> {
    Session::new(&Target::new("localhost:1", "/a.B/C", 20_000).expect("short"))
}

/// A session that has the server's settings and nothing left to send.
fn session_with(settings: &[(u16, u32)]) -> Session<u32> {
    let mut session = session();
    let mut bytes = Vec::new();
    frame::write_settings(&mut bytes, settings);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![]));
    session.out.clear();
    session
}

fn feed(session: &mut Session<u32>, bytes: &[u8]) -> Result<Vec<(u32, Ended)>, String> {
    let mut all = Vec::new();
    let used = session
        .receive(bytes, &mut |tag, ended| all.push((tag, ended)))
        .map_err(|error| error.to_string())?;
    assert_eq!(used, bytes.len(), "whole frames");
    Ok(all)
}

fn frames(of: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, flags, stream, payload) in of {
        frame::write(&mut bytes, *kind, *flags, *stream, payload);
    }
    bytes
}

fn replied(body: &[u8]) -> Ended {
    Ended::Replied(Reply {
        http_status: 200,
        grpc_status: Some(0),
        grpc_message: String::new(),
        body: body.to_vec(),
    })
}

#[test]
fn nothing_is_sent_before_the_servers_settings() {
    assert!(!session().can_send(1));
    assert!(session_with(&[]).can_send(1));
}

#[test]
fn a_reply_may_arrive_in_any_pieces() {
    let bytes = frames(&[
        (HEADERS, FLAG_END_HEADERS, 1, b"\x88"),
        (DATA, 0, 1, b"ab"),
        (DATA, 0, 1, b"c"),
        (HEADERS, FLAG_END_STREAM, 1, &OK_TRAILERS[1..4]),
        (frame::CONTINUATION, FLAG_END_HEADERS, 1, &OK_TRAILERS[4..]),
    ]);
    let mut session = session_with(&[]);
    session.send(b"x", 7);
    let (mut all, mut buffer) = (Vec::new(), Vec::new());
    for byte in bytes {
        buffer.push(byte);
        let used = session
            .receive(&buffer, &mut |tag, ended| all.push((tag, ended)))
            .expect("valid");
        buffer.drain(..used);
    }
    assert_eq!(all, vec![(7, replied(b"abc"))]);
    assert_eq!((session.open(), session.oldest()), (0, None));
}

#[test]
fn replies_out_of_order_find_their_requests() {
    let mut session = session_with(&[]);
    for tag in 0..5 {
        session.send(b"x", tag);
    }
    let end = FLAG_END_HEADERS | FLAG_END_STREAM;
    for (tag, oldest) in [
        (2, Some(0)),
        (0, Some(1)),
        (1, Some(3)),
        (4, Some(3)),
        (3, None),
    ] {
        let bytes = frames(&[(HEADERS, end, 2 * tag + 1, OK_TRAILERS)]);
        assert_eq!(feed(&mut session, &bytes), Ok(vec![(tag, replied(b""))]));
        assert_eq!(session.oldest().copied(), oldest);
    }
}

#[test]
fn the_first_request_spells_its_headers_out_and_later_ones_do_not() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    let first = std::mem::take(&mut session.out).len();
    session.send(b"x", 1);
    assert_eq!(session.out.len(), 9 + 8 + 9 + 1);
    assert!(first > 100);
    let mut small_table = session_with(&[(frame::SETTING_HEADER_TABLE_SIZE, 0)]);
    small_table.send(b"x", 0);
    assert_eq!(small_table.out[9], 0x20, "the table is declared empty");
    let first = std::mem::take(&mut small_table.out).len();
    small_table.send(b"x", 1);
    assert_eq!(small_table.out.len(), first - 1);
}

#[test]
fn the_servers_limits_are_kept() {
    let mut session = session_with(&[
        (frame::SETTING_MAX_CONCURRENT_STREAMS, 2),
        (frame::SETTING_INITIAL_WINDOW_SIZE, 10),
    ]);
    session.send(b"0123456789", 0);
    assert!(session.out.ends_with(b"0123456789") && session.can_send(1));
    session.send(b"0123456789a", 1);
    assert!(session.out.ends_with(b"0123456789") && !session.can_send(1));
    feed(
        &mut session,
        &frames(&[(frame::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])]),
    )
    .expect("valid");
    assert!(session.out.ends_with(b"a") && !session.can_send(1));
    feed(
        &mut session,
        &frames(&[(HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 1, OK_TRAILERS)]),
    )
    .expect("valid");
    assert!(session.can_send(1));
    let mut session = session_with(&[]);
    for tag in 0..65_535 {
        session.send(b"x", tag);
    }
    session.send(b"y", 65_535);
    assert!(session.out.ends_with(session.block.next()) && !session.can_send(1));
    feed(
        &mut session,
        &frames(&[(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 2])]),
    )
    .expect("valid");
    assert!(session.out.ends_with(b"y") && session.can_send(1));
}

#[test]
fn a_goaway_returns_what_was_not_looked_at_and_keeps_the_rest() {
    let mut session = session_with(&[]);
    for tag in 0..4 {
        session.send(b"x", tag);
    }
    let ended = feed(
        &mut session,
        &frames(&[(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0])]),
    );
    assert_eq!(
        ended,
        Ok(vec![(3, Ended::NotProcessed), (2, Ended::NotProcessed)])
    );
    assert!(session.is_going_away() && !session.can_send(1) && session.open() == 2);
    let bytes = frames(&[(HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 3, OK_TRAILERS)]);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![(1, replied(b""))]));
    assert_eq!(session.into_open().collect::<Vec<_>>(), [0]);
}

#[test]
fn a_cancelled_request_is_reset_and_its_late_reply_is_ignored_but_decoded() {
    let mut session = session_with(&[]);
    session.send(b"x", 0);
    session.send(b"x", 1);
    session.out.clear();
    assert_eq!(session.cancel_oldest(), Some(0));
    assert_eq!(
        session.out,
        frames(&[(frame::RST_STREAM, 0, 1, &[0, 0, 0, 8])])
    );
    let end = FLAG_END_HEADERS | FLAG_END_STREAM;
    let indexed = b"\x88\x40\x0bgrpc-status\x010";
    let bytes = frames(&[(HEADERS, end, 1, indexed), (HEADERS, end, 3, b"\x88\xbe")]);
    assert_eq!(feed(&mut session, &bytes), Ok(vec![(1, replied(b""))]));
}

#[test]
fn pings_and_settings_are_acknowledged() {
    let mut session = session_with(&[]);
    feed(
        &mut session,
        &frames(&[(PING, 0, 0, b"12345678"), (SETTINGS, 0, 0, b"")]),
    )
    .expect("valid");
    assert_eq!(
        session.out,
        frames(&[(PING, 1, 0, b"12345678"), (SETTINGS, 1, 0, b"")])
    );
}

#[test]
fn the_code_and_the_debug_data_of_a_goaway_are_shown() {
    let mut session = session_with(&[]);
    assert_eq!(session.why_going_away(), None);
    assert_eq!(session.why_lost("end of file"), "end of file");
    feed(&mut session, &frames(&[(GOAWAY, 0, 0, &[0; 8])])).expect("valid");
    assert_eq!(session.why_going_away(), Some("GOAWAY NO_ERROR"));
    let payload = [&[0, 0, 0, 0, 0, 0, 0, 11][..], b"too_many_pings\n\xff"].concat();
    feed(&mut session, &frames(&[(GOAWAY, 0, 0, &payload)])).expect("valid");
    let why = "end of file after GOAWAY ENHANCE_YOUR_CALM \"too_many_pings\\n\u{fffd}\"";
    assert_eq!(session.why_lost("end of file"), why);
    let payload = [&[0, 0, 0, 0, 9, 9, 9, 9][..], &[b'x'; 5_000]].concat();
    feed(&mut session, &frames(&[(GOAWAY, 0, 0, &payload)])).expect("valid");
    let why = session.why_going_away().expect("going away");
    assert!(why.starts_with("GOAWAY an error without a name \"xxx") && why.len() < 300);
}

#[test]
fn what_keeps_a_request_from_being_sent_is_named() {
    assert_eq!(session().obstacle(1), Some(Obstacle::NoSettings));
    let none = session_with(&[(frame::SETTING_MAX_CONCURRENT_STREAMS, 0)]);
    assert_eq!(none.obstacle(1), Some(Obstacle::StreamLimit));
    let mut session = session_with(&[(frame::SETTING_INITIAL_WINDOW_SIZE, 0)]);
    assert_eq!(session.obstacle(16_385), Some(Obstacle::TooLong));
    assert_eq!(session.obstacle(16_384), None);
    session.send(b"x", 0);
    assert_eq!(session.obstacle(1), Some(Obstacle::Window));
    feed(&mut session, &frames(&[(GOAWAY, 0, 0, &[0; 8])])).expect("valid");
    assert_eq!(session.obstacle(1), Some(Obstacle::GoingAway));
}

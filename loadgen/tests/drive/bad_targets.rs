//! Targets that speak something else, say nothing, or fall silent in the middle.

use super::{data, drive, measure, status};
use loadgen::Error;
use loadgen::events::Event;
use loadgen::plan::LoadPlan;
use loadgen::run::Stop;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// An empty SETTINGS frame: all that a client of HTTP/2 waits for.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The preface, and the settings of the driver behind it, are shorter than this.
const BEFORE_REQUESTS: usize = 80;

/// A target that does the same with every connection; its threads end with the process.
fn target(each: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let socket = socket.expect("accepted");
            std::thread::spawn(move || each(socket));
        }
    });
    address
}

fn plan(address: SocketAddr) -> LoadPlan {
    LoadPlan {
        timeout: Duration::from_millis(300),
        keep_outcomes: true,
        ..LoadPlan::closed(address.to_string(), 2, 4)
    }
}

#[track_caller]
fn refused(each: fn(TcpStream)) -> String {
    let address = target(each);
    let run = drive(
        &plan(address),
        data(4),
        &Stop::default(),
        &mut |_: Event| {},
    );
    let error = run.expect_err("no server");
    assert!(matches!(error, Error::Connect { .. }) && !error.is_usage());
    let text = error.to_string();
    let beginning = format!("cannot connect to {address}: ");
    text.strip_prefix(&beginning).expect(&text).to_owned()
}

/// Reads until something was sent that can only be a request.
fn wait_for_a_request(socket: &mut TcpStream) {
    let mut bytes = [0; 4_096];
    let mut received = 0;
    while received < BEFORE_REQUESTS {
        match socket.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(length) => received += length,
        }
    }
}

#[test]
fn a_target_that_never_says_anything_is_given_up() {
    let reason = refused(|mut socket| drop(socket.read_to_end(&mut Vec::new())));
    assert_eq!(reason, "no HTTP/2 settings came in time");
}

#[test]
fn a_target_that_speaks_something_else_is_named() {
    let reason = refused(|mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let expected = "first frame is not SETTINGS; does it speak HTTP/2 in plain text?";
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn a_target_that_hangs_up_at_once_is_named() {
    let reason = refused(drop);
    assert!(
        reason == "the server closed the connection" || reason.contains("reset"),
        "{reason}"
    );
}

#[test]
fn garbage_instead_of_replies_is_unknown_and_the_reason_is_kept() {
    let address = target(|mut socket| {
        let _ = socket.write_all(&SETTINGS);
        wait_for_a_request(&mut socket);
        let _ = socket.write_all(&[0xff; 64]);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let measured = measure(&plan(address), data(4));
    let phase = &measured.phase;
    let counts = phase.outcomes();
    assert_eq!((phase.finished, counts.accepted), (4, 0));
    assert!(counts.unknown >= 1, "{counts:?}");
    let lost = phase.statuses.iter();
    let lost = lost.filter(|(status, _)| status.starts_with("connection lost"));
    assert_eq!(lost.map(|(_, count)| count).sum::<u64>(), counts.unknown);
    assert!(
        measured.lost_because.starts_with("the server broke HTTP/2"),
        "{}",
        measured.lost_because
    );
}

#[test]
fn a_target_that_falls_silent_costs_each_request_its_time_out_and_no_more() {
    let address = target(|mut socket| {
        let _ = socket.write_all(&SETTINGS);
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let measured = measure(&plan(address), data(4));
    let phase = &measured.phase;
    assert_eq!((phase.finished, phase.outcomes().unknown), (4, 4));
    assert_eq!(status(phase, "driver time-out"), 4);
    assert!(phase.length_ns >= 600_000_000, "{}", phase.length_ns);
}

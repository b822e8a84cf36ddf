//! Servers that say why they close a connection, or that have no room: the reason reaches the
//! results of the run.

use super::{data, measure, status};
use loadgen::plan::LoadPlan;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Empty SETTINGS.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// SETTINGS that allow no stream.
const NO_STREAMS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0";
/// GOAWAY that has looked at stream 1, with ENHANCE_YOUR_CALM and "slow down".
const GOAWAY: &[u8] = b"\0\0\x11\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0bslow down";

/// Greets each client with `greeting`; at its first request it says `farewell` and hangs up.
fn server(greeting: &'static [u8], farewell: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // A client that has gone meanwhile is no fault.
            let _ = dismiss(socket, greeting, farewell);
        }
    });
    address
}

fn dismiss(mut socket: TcpStream, greeting: &[u8], farewell: &[u8]) -> std::io::Result<()> {
    socket.write_all(greeting)?;
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    // The name of the method is spelled out in the first request only.
    while !all.windows(7).any(|part| part == b"seckill") {
        match socket.read(&mut buffer)? {
            0 => return Ok(()),
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
    socket.write_all(farewell)
}

fn plan(address: SocketAddr) -> LoadPlan {
    LoadPlan {
        timeout: Duration::from_secs(1),
        ..LoadPlan::closed(address.to_string(), 2, 2)
    }
}

#[test]
fn the_code_and_the_debug_data_of_a_goaway_are_in_the_results() {
    let phase = measure(&plan(server(&SETTINGS, GOAWAY)), data(2)).phase;
    let said = "the server closed the connection after GOAWAY ENHANCE_YOUR_CALM \"slow down\"";
    // Request 1 may have been processed. Request 2 is sent again, each time as the first of a new
    // connection.
    assert_eq!(
        status(&phase, &format!("connection lost: {said}")),
        2,
        "{:?}",
        phase.statuses
    );
    assert_eq!(phase.outcomes().unknown, 2);
}

#[test]
fn requests_that_a_server_never_has_room_for_say_so() {
    let phase = measure(&plan(server(NO_STREAMS, b"")), data(2)).phase;
    let said = "not sent before the time-out: the server takes no more requests at once";
    assert_eq!(status(&phase, said), 2, "{:?}", phase.statuses);
}

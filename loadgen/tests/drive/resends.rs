//! A server that goes away in good order: it has certainly not looked at what it was sent last, so
//! that is sent again, and counts once.

use super::server::{Answer, Server};
use super::{data, latencies, measure, plan};
use loadgen::plan::{End, LoadPlan, Shape};
use reports::result::LatencyClock;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// GOAWAY without an error: no stream was processed.
const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The preface, and the settings of the driver behind it, are shorter than this.
const BEFORE_REQUESTS: usize = 80;
/// How long the first connections keep what they were sent.
const KEPT: Duration = Duration::from_millis(100);

/// In front of a server: the first `going` connections take requests, and go away after a while.
fn going_away(server: &Server, going: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (address, server) = (listener.local_addr().expect("bound"), server.address);
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let socket = socket.expect("accepted");
            std::thread::spawn(move || match number < going {
                true => go_away(socket),
                false => pass_on(socket, server),
            });
        }
    });
    address
}

fn go_away(mut socket: TcpStream) {
    let _ = socket.write_all(&SETTINGS);
    let (mut bytes, mut received) = ([0; 4_096], 0);
    while received < BEFORE_REQUESTS {
        match socket.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(length) => received += length,
        }
    }
    std::thread::sleep(KEPT);
    let _ = socket.write_all(&GO_AWAY);
    let _ = socket.read_to_end(&mut Vec::new());
}

fn pass_on(client: TcpStream, server: SocketAddr) {
    let server = TcpStream::connect(server).expect("it listens");
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("nodelay");
    }
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let clones = (client.try_clone(), server.try_clone());
    let (from, to) = (clones.0.expect("cloned"), clones.1.expect("cloned"));
    std::thread::spawn(move || copy(from, to));
    copy(server, client);
}

#[test]
fn a_closed_loop_sends_again_what_was_not_processed_and_its_clocks_go_on() {
    let late = Duration::from_millis(5);
    let server = Server::start("127.0.0.1:0", move |request| {
        Answer::Late(late, request.user_id)
    });
    let plan = LoadPlan {
        address: going_away(&server, 2).to_string(),
        ..plan(&server, 400, 10, 2)
    };
    let measured = measure(&plan, data(400));
    let phase = &measured.phase;
    assert_eq!((phase.due, phase.sent, phase.finished), (400, 400, 400));
    assert_eq!(phase.outcomes().accepted, 400, "{:?}", phase.statuses);
    let received = server.received.lock().expect("no panic").requests.len();
    assert_eq!(received, 400, "nobody is asked twice");
    assert_eq!(
        measured.lost_because,
        "no more requests after GOAWAY NO_ERROR"
    );
    let little = phase.little.as_ref().expect("a closed loop");
    assert!(little.applies && little.holds(), "{little:?}");
    // All ten workers waited for the first connections, which only the first clock knows.
    let taken = latencies(&measured, LatencyClock::Taken);
    let sent = latencies(&measured, LatencyClock::Sent);
    let kept_ns = KEPT.as_nanos() as u64;
    assert!(taken.max_ns() >= kept_ns, "{} ns", taken.max_ns());
    assert!(taken.sum_ns() >= sent.sum_ns() + 10 * kept_ns);
}

#[test]
fn an_open_loop_sends_again_what_was_not_processed_on_any_connection() {
    let server = Server::start("127.0.0.1:0", |request| Answer::Accept(request.user_id));
    let shape = Shape::Constant { rate_per_s: 500.0 };
    let plan = LoadPlan {
        connections: 3,
        ..LoadPlan::open(going_away(&server, 1).to_string(), shape, End::Count(150))
    };
    let measured = measure(&plan, data(150));
    let phase = &measured.phase;
    assert_eq!((phase.due, phase.sent, phase.finished), (150, 150, 150));
    assert_eq!(phase.outcomes().accepted, 150, "{:?}", phase.statuses);
    let received = server.received.lock().expect("no panic").requests.len();
    assert_eq!(received, 150, "nobody is asked twice");
    let lag = phase.send_lag.as_ref().expect("an open loop").read();
    let lag_ns = lag.expect("a histogram").max_ns();
    assert!(lag_ns >= 90_000_000, "{lag_ns} ns");
}

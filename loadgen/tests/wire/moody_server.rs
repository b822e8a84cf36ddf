//! An `h2` server that changes its mind: windows, pings, delays, resets and ways of hanging up, all
//! from a seed. `h2` judges the client's half of the protocol: whatever it takes for a violation
//! fails the test.

use crate::verdict::{self, Verdict};
use bytes::{Buf, Bytes};
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, Reason};
use http::Request;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

/// Time between two changes of mind.
const MOOD_EVERY: Duration = Duration::from_millis(1);
const WINDOWS: [u32; 5] = [0, 300, 2_000, 65_535, 1 << 20];

/// How the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Not at all: the client does.
    None,
    Graceful,
    Abrupt(Reason),
    /// Without a word.
    Gone,
}

/// What both ends of one connection know.
#[derive(Debug, Default)]
pub struct Common {
    /// Numbers of the requests in the order of their streams, written by the client.
    pub sent: Mutex<Vec<u32>>,
    /// Requests that the server's application has seen.
    pub seen: Mutex<HashSet<u32>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Of the verdicts.
    pub seed: u64,
    /// Of this connection.
    pub connection_seed: u64,
    pub message_len_max: usize,
    /// Without moods all limits are wide and nothing is hung up.
    pub moody: bool,
}

pub async fn serve(socket: DuplexStream, habits: Habits, common: Arc<Common>) -> Farewell {
    let mut random = SmallRng::seed_from_u64(habits.connection_seed);
    let mut builder = h2::server::Builder::new();
    builder
        .max_pending_accept_reset_streams(100_000)
        .max_local_error_reset_streams(None)
        .data_frame_budget(1 << 30);
    if habits.moody {
        builder
            .initial_window_size(WINDOWS[random.random_range(0..WINDOWS.len())])
            .header_table_size([0, 100, 300, 1_000, 4_096, 65_536][random.random_range(0..6)])
            .max_frame_size(16_384 << random.random_range(0..4));
        if random.random_bool(0.7) {
            builder.max_concurrent_streams(random.random_range(1..20));
        }
    }
    let mut connection = match builder.handshake::<_, Bytes>(socket).await {
        Ok(connection) => connection,
        Err(error) => return judge(error, Farewell::None),
    };
    let mut pings = connection.ping_pong().expect("the first time");
    let mut farewell = Farewell::None;
    let mut left = random.random_range(1..100);
    let mut answers = JoinSet::new();
    loop {
        while let Some(answer) = answers.try_join_next() {
            answer.expect("the request was in order");
        }
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = tokio::time::sleep(MOOD_EVERY), if habits.moody => {
                change_mind(&mut connection, &mut pings, &mut random);
                continue;
            }
        };
        let (request, respond) = match accepted {
            None => return farewell,
            Some(Err(error)) => return judge(error, farewell),
            Some(Ok(accepted)) => accepted,
        };
        let pause = random.random_range(0..4);
        answers.spawn(answer(request, respond, habits, pause, Arc::clone(&common)));
        left -= 1;
        if left == 0 && habits.moody {
            farewell = hang_up(&mut connection, &mut random);
            if farewell == Farewell::Gone {
                return farewell;
            }
        }
    }
}

/// A client that hangs up is in its right; what `h2` finds wrong with it is not.
fn judge(error: h2::Error, farewell: Farewell) -> Farewell {
    let our_own = matches!(farewell, Farewell::Abrupt(reason) if error.reason() == Some(reason));
    assert!(error.is_io() || our_own, "h2 complains: {error:?}");
    farewell
}

fn hang_up(connection: &mut Connection<DuplexStream, Bytes>, random: &mut SmallRng) -> Farewell {
    match random.random_range(0..4) {
        0 => Farewell::Gone,
        1 => {
            let reason = Reason::from(random.random_range(0..14));
            connection.abrupt_shutdown(reason);
            Farewell::Abrupt(reason)
        }
        _ => {
            connection.graceful_shutdown();
            Farewell::Graceful
        }
    }
}

fn change_mind(
    connection: &mut Connection<DuplexStream, Bytes>,
    pings: &mut PingPong,
    random: &mut SmallRng,
) {
    // The next change raises a window of 0, unless the client has not acknowledged this one yet.
    let window = WINDOWS[random.random_range(0..WINDOWS.len())];
    let _ = connection.set_initial_window_size(window);
    if random.random_bool(0.2) {
        connection.set_target_window_size([16_384, 65_535, 1 << 20][random.random_range(0..3)]);
    }
    let _ = pings.send_ping(Ping::opaque());
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    habits: Habits,
    pause: u32,
    common: Arc<Common>,
) {
    assert_eq!(request.uri().path(), crate::client::PATH);
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    let mut body = request.into_body();
    let place = body.stream_id().as_u32() as usize / 2;
    let tag = common.sent.lock().expect("no panic")[place];
    common.seen.lock().expect("no panic").insert(tag);
    let verdict = verdict::verdict(habits.seed, tag);
    if !matches!(verdict, Verdict::Answer { early: true, .. }) {
        let mut message = Vec::new();
        while let Some(chunk) = body.data().await {
            let Ok(chunk) = chunk else { return };
            let _ = body.flow_control().release_capacity(chunk.len());
            message.extend_from_slice(chunk.chunk());
        }
        let expected = verdict::message(habits.seed, tag, habits.message_len_max);
        assert_eq!(message, expected, "request {tag} came damaged");
    }
    match pause {
        0 => tokio::time::sleep(MOOD_EVERY).await,
        1 => tokio::task::yield_now().await,
        _ => {}
    }
    let _ = verdict::carry_out(verdict, &mut respond);
}

//! Each request ends exactly once and as the server meant it, whatever a correct server does.

use crate::client::Client;
use crate::moody_server::{Common, Farewell, Habits, serve};
use crate::verdict::{Verdict, message, verdict};
use loadgen::wire::{ERROR_REFUSED_STREAM, Ended, error_name};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Longest that one case may take; most take a few milliseconds.
const CASE_MAX: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Ended(Ended),
    Cancelled,
    /// `h2` counts a stream until it has told us to stop sending on it, though it knows that we
    /// have: a request that comes meanwhile may be one too many for it.
    Refused,
    Lost(String),
}

#[test]
fn every_request_ends_once_and_as_a_random_h2_server_meant_it() {
    crate::fuzz(Duration::from_secs(4), case);
}

#[test]
#[ignore = "nightly: five minutes of random servers"]
fn every_request_ends_once_as_meant_for_minutes() {
    crate::fuzz(Duration::from_secs(300), case);
}

fn case(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let run = tokio::time::timeout(CASE_MAX, run(seed));
        run.await.expect("no request hangs");
    });
}

async fn run(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let count = random.random_range(1..80);
    let message_len_max = [10, 1_000, 16_384][random.random_range(0..3)];
    let mut ends: Vec<Option<End>> = vec![None; count];
    let mut todo: VecDeque<u32> = (0..count as u32).collect();
    while !todo.is_empty() {
        let habits = Habits {
            seed,
            connection_seed: random.random(),
            message_len_max,
            moody: true,
        };
        one_connection(&mut random, habits, &mut todo, &mut ends).await;
    }
    for (tag, end) in ends.iter().enumerate() {
        let end = end.as_ref().expect("every request has an end");
        check(seed, tag as u32, end);
    }
}

/// Works on what is to do until it is done or the connection ends.
async fn one_connection(
    random: &mut SmallRng,
    habits: Habits,
    todo: &mut VecDeque<u32>,
    ends: &mut [Option<End>],
) {
    let (near, far) = tokio::io::duplex(1 << random.random_range(5..17));
    let common = Arc::new(Common::default());
    let server = tokio::spawn(serve(far, habits, Arc::clone(&common)));
    let mut client = Client::new(near, "localhost:1", Some(random.random()));
    let in_flight_max = random.random_range(1..60);
    let cancels = if random.random_bool(0.2) { 0.1 } else { 0.0 };
    let mut end_of = |tag: u32, end: End| {
        let known = ends[tag as usize].replace(end);
        assert_eq!(known, None, "request {tag} ended twice");
    };
    let lost = loop {
        while client.session.open() < in_flight_max
            && let Some(tag) = todo.front().copied()
        {
            let message = message(habits.seed, tag, habits.message_len_max);
            if !client.session.can_send(message.len()) {
                break;
            }
            common.sent.lock().expect("no panic").push(tag);
            client.session.send(&message, tag);
            todo.pop_front();
        }
        if client.session.open() > 0 && random.random_bool(cancels) {
            let tag = client.session.cancel_oldest().expect("one is open");
            end_of(tag, End::Cancelled);
        }
        if client.session.open() == 0 && (todo.is_empty() || client.session.is_going_away()) {
            break String::new();
        }
        let seen = |tag| common.seen.lock().expect("no panic").contains(&tag);
        let mut on_end = |tag, ended| match ended {
            Ended::NotProcessed => {
                assert!(!seen(tag), "{tag} was processed after all");
                todo.push_front(tag);
            }
            Ended::Reset(ERROR_REFUSED_STREAM) if !seen(tag) => end_of(tag, End::Refused),
            ended => end_of(tag, End::Ended(ended)),
        };
        if let Err(reason) = client.step(&mut on_end).await {
            break reason;
        }
    };
    let open: Vec<u32> = client.into_open().collect();
    for tag in &open {
        end_of(*tag, End::Lost(lost.clone()));
    }
    let farewell = server.await.expect("the server found no fault");
    match farewell {
        Farewell::Abrupt(reason) if !open.is_empty() => {
            let expected = format!("GOAWAY {}", error_name(reason.into()));
            assert!(lost.contains(&expected), "{lost} after {farewell:?}");
        }
        Farewell::None | Farewell::Graceful => {
            assert!(open.is_empty(), "{open:?}, {farewell:?}: {lost}")
        }
        Farewell::Abrupt(_) | Farewell::Gone => {}
    }
}

fn check(seed: u64, tag: u32, end: &End) {
    let meant = verdict(seed, tag);
    match (end, &meant) {
        (End::Cancelled | End::Refused | End::Lost(_), _) => {}
        (End::Ended(Ended::Replied(said)), Verdict::Answer { reply, .. }) => {
            assert_eq!(said, reply, "request {tag}");
        }
        (End::Ended(Ended::Reset(code)), Verdict::Reset(meant)) => {
            assert_eq!(code, meant, "request {tag}")
        }
        _ => panic!("request {tag} ended as {end:.200?}, meant was {meant:.200?}"),
    }
}

//! The HTTP driver against servers that say more than an answer, or never come to its end.

use super::{data, records, status};
use loadgen::http::drive;
use loadgen::plan::{Http, LoadPlan};
use loadgen::run::{Measured, Stop};
use reports::outcome_log::Outcome;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest wait for an answer that comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, with how many came before it.
type Serve = dyn Fn(&mut TcpStream, u64) -> io::Result<()> + Send + Sync;

/// A target that does this with every connection; its threads end with the process.
struct Target {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Target {
    fn start(
        serve: impl Fn(&mut TcpStream, u64) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::<AtomicU64>::default();
        let (counter, serve) = (Arc::clone(&connections), Arc::new(serve));
        std::thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let serve: Arc<Serve> = serve.clone();
                std::thread::spawn(move || serve(&mut socket, number));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// One worker, so that connections and requests have an order.
    fn measure(&self, requests: u64, timeout: Duration) -> Measured {
        let folder = tempfile::tempdir().expect("a folder");
        let secret_file = folder.path().join("key");
        std::fs::write(&secret_file, "a key of more than thirty-two bytes").expect("written");
        let plan = LoadPlan {
            keep_outcomes: true,
            timeout,
            http: Some(Http {
                secret_file,
                issuer: "seckill".to_owned(),
                audience: "seckill".to_owned(),
            }),
            ..LoadPlan::closed(self.address.to_string(), 1, requests)
        };
        let users = i64::try_from(requests).expect("few");
        let ran = drive(&plan, data(users), &Stop::default(), &mut |_| {});
        ran.expect("the run takes place")
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request; all of them have a body that ends with `}`, and no other brace at an end.
fn hear(socket: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4_096];
    let mut heard = 0;
    loop {
        match socket.read(&mut bytes[heard..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => heard += length,
        }
        if bytes[..heard].ends_with(b"}") {
            return Ok(());
        }
    }
}

fn yes(order: u64) -> String {
    let body = format!(r#"{{"code":0,"message":"","success":true,"order_id":{order}}}"#);
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[track_caller]
fn all_unknown(measured: &Measured, count: u64) {
    let outcomes = measured.phase.outcomes();
    let statuses = &measured.phase.statuses;
    assert_eq!(
        (outcomes.unknown, outcomes.total()),
        (count, count),
        "{statuses:?}"
    );
}

#[test]
fn what_stands_behind_an_answer_is_nobody_elses_answer() {
    const ORDER_OF_NOBODY: u64 = 999_999;
    let target = Target::start(|socket, number| {
        hear(socket)?;
        let stray = yes(ORDER_OF_NOBODY);
        let (first, rest) = stray.split_at(12);
        socket.write_all(format!("{}{first}", yes(number + 1)).as_bytes())?;
        hear(socket)?;
        socket.write_all(rest.as_bytes())
    });
    let measured = target.measure(20, PATIENCE);
    assert_eq!(measured.phase.outcomes().accepted, 20);
    for (number, record) in (1..).zip(records(&measured)) {
        assert_eq!(
            (record.outcome, record.order_id),
            (Outcome::Accepted, number)
        );
    }
    assert_eq!(
        target.connections(),
        20,
        "each was given up after its answer"
    );
}

#[test]
fn a_second_answer_to_one_request_ends_the_connection_and_not_the_run() {
    let target = Target::start(|socket, number| {
        hear(socket)?;
        socket.write_all(format!("{}{}", yes(number + 1), yes(7_777)).as_bytes())?;
        hear(socket)
    });
    let measured = target.measure(20, PATIENCE);
    let told: Vec<i64> = records(&measured).iter().map(|it| it.order_id).collect();
    assert_eq!(told, Vec::from_iter(1..=20));
    assert_eq!(target.connections(), 20);
}

#[test]
fn an_answer_without_end_is_read_no_further_than_its_bound() {
    let beginnings = [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "",
    ];
    let pieces = [
        "4\r\n{\"a\"\r\n",
        "{\"code\":0,",
        "x-again: and again\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ];
    let target = Target::start(move |socket, number| {
        let which = number as usize % 4;
        hear(socket)?;
        socket.write_all(beginnings[which].as_bytes())?;
        // Until the driver hangs up.
        loop {
            socket.write_all(pieces[which].as_bytes())?;
        }
    });
    let measured = target.measure(8, PATIENCE);
    all_unknown(&measured, 8);
    let too_long = "connection lost: the answer is longer than 64 KiB";
    let too_many_headers = "connection lost: this is no HTTP";
    let given_up = [too_long, too_many_headers].map(|why| status(&measured.phase, why));
    assert_eq!(given_up, [6, 2], "{:?}", measured.phase.statuses);
}

#[test]
fn an_answer_that_stops_half_way_is_given_up_in_time_and_its_connection_with_it() {
    let target = Target::start(|socket, number| {
        hear(socket)?;
        match number {
            0 => socket.write_all(&yes(1).as_bytes()[..70])?,
            1 => socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-le")?,
            _ => loop {
                socket.write_all(yes(number).as_bytes())?;
                hear(socket)?;
            },
        }
        // Until the driver hangs up.
        socket.read_exact(&mut [0])
    });
    let measured = target.measure(10, Duration::from_millis(300));
    let outcomes = measured.phase.outcomes();
    assert_eq!((outcomes.accepted, outcomes.unknown), (8, 2));
    assert_eq!(status(&measured.phase, "driver time-out"), 2);
    assert_eq!(target.connections(), 3);
}

#[test]
fn lengths_that_contradict_each_other_are_no_yes() {
    let yes = r#"{"code":0,"message":"","success":true,"order_id":5}"#;
    let length = yes.len();
    let chunk = format!("{length:x}\r\n{yes}");
    let answers = [
        format!("content-length: {length}\r\ncontent-length: 2\r\n\r\n{yes}"),
        format!("content-length: 2\r\ncontent-length: {length}\r\n\r\n{yes}"),
        format!("content-length: +{length}\r\n\r\n{yes}"),
        format!(
            "content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n"
        ),
        format!("transfer-encoding: chunked\r\n\r\n{chunk}xx0\r\n\r\n"),
        format!(
            "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n{chunk}\r\n0\r\n\r\n"
        ),
    ];
    let count = answers.len() as u64;
    let target = Target::start(move |socket, number| {
        hear(socket)?;
        let answer = &answers[number as usize % answers.len()];
        socket.write_all(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes())?;
        hear(socket)
    });
    all_unknown(&target.measure(count, PATIENCE), count);
}

#[test]
fn who_is_hung_up_on_after_each_answer_keeps_what_was_told() {
    let target = Target::start(|socket, number| {
        hear(socket)?;
        socket.write_all(yes(number + 1).as_bytes())
    });
    let measured = target.measure(100, PATIENCE);
    let outcomes = measured.phase.outcomes();
    // Who had sent already when the server hung up cannot know; nothing is sent twice.
    assert_eq!(outcomes.accepted + outcomes.unknown, 100);
    assert_eq!(
        outcomes.accepted,
        target.connections(),
        "each was answered once"
    );
}

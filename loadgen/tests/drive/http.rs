//! The HTTP driver against a server of moods: what it sends, and how it counts every way in which an
//! answer can be wrong.

use super::{PATIENCE, data, records, status, wait_until};
use clap::Parser;
use loadgen::cli::{LoadHttp, run_http};
use loadgen::http::drive;
use loadgen::plan::{Arrival, End, Http, LoadPlan, Shape};
use loadgen::run::{Measured, Stop};
use reports::outcome_log::{Operation, Outcome, Refusal};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client has sent.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    /// The claims of the token, as JSON.
    claims: String,
    body: String,
}

impl Asked {
    fn user(&self) -> i64 {
        let claims: serde_json::Value = serde_json::from_str(&self.claims).expect("claims");
        let user = claims["sub"].as_str().expect("sub").parse();
        user.expect("a user")
    }
}

type Mood = dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// Answers as its mood has it, each connection on a thread of its own.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(
        mood: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (heard, mood) = (
            Arc::clone(&asked),
            Arc::<Mood>::from(Box::new(mood) as Box<Mood>),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (heard, mood) = (Arc::clone(&heard), Arc::clone(&mood));
                std::thread::spawn(move || serve(stream, &heard, &*mood));
            }
        });
        Self { address, asked }
    }

    fn plan(&self, requests: u64, workers: u32) -> LoadPlan {
        LoadPlan {
            connections: workers,
            keep_outcomes: true,
            timeout: Duration::from_secs(10),
            http: Some(secret()),
            ..LoadPlan::closed(self.address.to_string(), workers, requests)
        }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(stream: TcpStream, heard: &Mutex<Vec<Asked>>, mood: &Mood) -> Option<()> {
    let mut writing = stream.try_clone().ok()?;
    let mut reading = BufReader::new(stream);
    loop {
        let asked = read(&mut reading)?;
        heard.lock().ok()?.push(asked.clone());
        mood(&asked, &mut writing).ok()?;
    }
}

fn read(reading: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reading.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let after = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
    let token = after("authorization: Bearer ")?;
    let claims = token.split('.').nth(1)?;
    let mut body = vec![0; after("content-length: ")?.parse().ok()?];
    reading.read_exact(&mut body).ok()?;
    Some(Asked {
        path: head[0]
            .strip_prefix("POST ")?
            .strip_suffix(" HTTP/1.1")?
            .to_owned(),
        claims: String::from_utf8(decoded(claims)?).ok()?,
        body: String::from_utf8(body).ok()?,
    })
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .ok()
}

fn secret() -> Http {
    let path = std::env::temp_dir().join(format!("loadgen-http-{}.key", std::process::id()));
    std::fs::write(&path, "a key of more than thirty-two bytes, for tests").expect("written");
    Http {
        secret_file: path,
        issuer: "seckill".to_owned(),
        audience: "seckill".to_owned(),
    }
}

fn measure(plan: &LoadPlan, users: i64) -> Measured {
    let ran = drive(plan, data(users), &Stop::default(), &mut |_| {});
    ran.expect("the run takes place")
}

fn answer(out: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn yes(order: i64) -> String {
    format!(r#"{{"code":0,"message":"","success":true,"order_id":{order}}}"#)
}

#[test]
fn every_buyer_asks_once_with_a_token_of_their_own_and_every_yes_is_logged_with_its_order() {
    // Beyond what a float can say exactly.
    let first = (1_i64 << 60) + 1;
    let server = Server::start(move |asked, out| answer(out, 200, &yes(first + asked.user())));
    let measured = measure(&server.plan(1_000, 8), 1_000);
    assert_eq!(measured.phase.outcomes().accepted, 1_000);
    assert_eq!(status(&measured.phase, "200 OK"), 1_000);
    for record in records(&measured) {
        assert_eq!(record.outcome, Outcome::Accepted);
        assert_eq!(record.order_id, first + record.user_id);
    }
    let asked = server.asked();
    let users: HashSet<i64> = asked.iter().map(Asked::user).collect();
    assert_eq!((asked.len(), users.len()), (1_000, 1_000));
    let one = &asked[0];
    assert_eq!(one.path, "/api/v1/seckill/execute");
    let quantity = one.user() % 2 + 1;
    assert_eq!(
        one.body,
        format!(r#"{{"product_id":7,"quantity":{quantity}}}"#)
    );
    for claim in [
        r#""iss":"seckill""#,
        r#""aud":"seckill""#,
        r#""role":"user""#,
    ] {
        assert!(one.claims.contains(claim), "{}", one.claims);
    }
}

#[test]
fn answers_that_are_none_leave_the_outcome_unknown_and_the_run_goes_on() {
    let server = Server::start(|asked, out| match asked.user() % 10 {
        0 => answer(
            out,
            409,
            r#"{"code":409,"message":"sold out","success":false,"order_id":0}"#,
        ),
        1 => answer(out, 503, ""),
        2 => answer(out, 504, r#"{"code":504,"message":"outcome unknown"}"#),
        // Half an answer, then nothing.
        3 => {
            write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{{")?;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        4 => write!(out, "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        5 => write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n"),
        // In chunks, and the last word on this connection.
        6 => {
            let body = yes(asked.user());
            let length = body.len();
            write!(
                out,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            )?;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        // Without a length: it ends with the connection.
        7 => {
            write!(out, "HTTP/1.0 200 OK\r\n\r\n{}", yes(asked.user()))?;
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        8 => answer(out, 200, "{}"),
        _ => answer(out, 200, &yes(asked.user())),
    });
    let measured = measure(&server.plan(500, 5), 500);
    let outcomes = measured.phase.outcomes();
    assert_eq!(outcomes.accepted, 150, "{:?}", measured.phase.statuses);
    assert_eq!(outcomes.refused, 50);
    assert_eq!((outcomes.error, outcomes.unknown), (50, 250));
    let refused = records(&measured);
    let refused = refused.iter().filter(|it| it.outcome == Outcome::Refused);
    assert!(
        refused
            .clone()
            .all(|it| it.refusal == Some(Refusal::SoldOut))
    );
    assert_eq!(server.asked().len(), 500, "nothing is sent twice");
}

#[test]
fn who_gets_no_answer_in_time_is_given_up_and_the_next_one_has_another_connection() {
    let server = Server::start(|asked, out| match asked.user() {
        3 => {
            std::thread::sleep(PATIENCE);
            Ok(())
        }
        user => answer(out, 200, &yes(user)),
    });
    let plan = LoadPlan {
        timeout: Duration::from_millis(300),
        ..server.plan(20, 1)
    };
    let measured = measure(&plan, 20);
    let outcomes = measured.phase.outcomes();
    assert_eq!((outcomes.accepted, outcomes.unknown), (19, 1));
    assert_eq!(status(&measured.phase, "driver time-out"), 1);
}

#[test]
fn an_open_loop_keeps_its_schedule_over_http() {
    let server = Server::start(|asked, out| answer(out, 200, &yes(asked.user())));
    let shape = Shape::Constant { rate_per_s: 500.0 };
    let plan = LoadPlan {
        arrival: Arrival::Open {
            shape,
            backlog_max: 1_000,
            in_flight_max: None,
        },
        end: End::Time(Duration::from_secs(1)),
        ..server.plan(1, 8)
    };
    let measured = measure(&plan, 1_000);
    assert_eq!(measured.phase.outcomes().accepted, 500);
}

#[test]
fn buyers_cancel_and_pay_over_http_with_their_own_tokens() {
    let server = Server::start(|asked, out| match asked.path.as_str() {
        "/api/v1/seckill/execute" => answer(out, 200, &yes(1_000 + asked.user())),
        _ => answer(out, 200, r#"{"code":0,"message":""}"#),
    });
    let after = loadgen::plan::Orders {
        address: server.address.to_string(),
        connections: 2,
        cancel: 0.5,
        pay: 0.5,
        cancel_and_pay: 0.0,
        again: 0.0,
        twice: 0.0,
        delay: loadgen::plan::Delay {
            min: Duration::ZERO,
            max: Duration::from_millis(20),
        },
    };
    let plan = LoadPlan {
        orders: Some(after),
        ..server.plan(200, 4)
    };
    let measured = measure(&plan, 200);
    wait_until("all have been asked", || server.asked().len() == 400);
    let records = records(&measured);
    let of = |operation| {
        records
            .iter()
            .filter(|it| it.operation == operation)
            .count()
    };
    assert_eq!(of(Operation::Cancel) + of(Operation::Pay), 200);
    for asked in server.asked().iter().filter(|it| it.body.is_empty()) {
        let order = 1_000 + asked.user();
        let paths = ["cancel", "pay"].map(|change| format!("/api/v1/orders/{order}/{change}"));
        assert!(paths.contains(&asked.path), "{asked:?}");
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadHttp,
}

#[test]
fn tokens_name_the_issuer_and_the_audience_that_the_command_was_told() {
    let server = Server::start(|asked, out| answer(out, 200, &yes(asked.user())));
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a key of more than thirty-two bytes, for tests").expect("written");
    let (secret, address) = (secret.display().to_string(), server.address.to_string());
    let of_token = ["--jwt-issuer", "us", "--jwt-audience", "them"];
    let args = [
        "http",
        "-n",
        "5",
        "--users",
        "5",
        "--jwt-secret-file",
        &secret,
    ];
    let args = args.into_iter().chain(of_token).chain([address.as_str()]);
    let phase = run_http(Cli::parse_from(args).load).expect("runs");
    assert_eq!(phase.outcomes().accepted, 5);
    for asked in server.asked() {
        let claims: serde_json::Value = serde_json::from_str(&asked.claims).expect("claims");
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&"us".into(), &"them".into())
        );
    }
}

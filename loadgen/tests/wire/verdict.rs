//! What the randomised server does with a request, from a seed and the request's number, so that
//! client and server agree without a word.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use loadgen::wire::Reply;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[derive(Clone, Debug)]
pub enum Verdict {
    Answer {
        reply: Reply,
        /// Reply without looking at the message.
        early: bool,
        informational: bool,
        trailers_only: bool,
        /// Further headers and their sizes.
        more: Vec<(&'static str, String, bool)>,
    },
    Reset(u32),
}

fn random(seed: u64, tag: u32) -> SmallRng {
    SmallRng::seed_from_u64(seed ^ (u64::from(tag) << 32))
}

/// The bytes of a request.
pub fn message(seed: u64, tag: u32, length_max: usize) -> Vec<u8> {
    let mut random = random(!seed, tag);
    let most = if random.random_bool(0.1) {
        length_max
    } else {
        40
    };
    let length = random.random_range(0..=most);
    (0..length).map(|_| random.random()).collect()
}

fn text(random: &mut SmallRng, length_max: usize) -> String {
    const LETTERS: &[u8] = b"aaaaeeeetttt 0123456789%~!<>{}XYZ^|";
    let length = random.random_range(0..=length_max);
    let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    (0..length).map(letter).collect()
}

pub fn verdict(seed: u64, tag: u32) -> Verdict {
    let mut random = random(seed, tag);
    if random.random_bool(0.05) {
        return Verdict::Reset(random.random_range(0..14));
    }
    let trailers_only = random.random_bool(0.2);
    let long = |random: &mut SmallRng| if random.random_bool(0.1) { 5_000 } else { 150 };
    let body_len = match random.random_range(0..10) {
        _ if trailers_only => 0,
        0 => random.random_range(0..40_000),
        _ => random.random_range(0..50),
    };
    let message_len = long(&mut random);
    let mut grpc_message = text(&mut random, message_len);
    if random.random_bool(0.2) {
        grpc_message.push_str("ß €");
    }
    let names = ["x-a", "x-b", "x-c", "grpc-encoding", "date", "server"];
    let more = (0..random.random_range(0..5)).map(|_| {
        let length = long(&mut random);
        let value = text(&mut random, length);
        let name = names[random.random_range(0..names.len())];
        (name, value, random.random_bool(0.1))
    });
    let more = more.collect();
    Verdict::Answer {
        reply: Reply {
            http_status: [200, 200, 200, 404, 429, 503][random.random_range(0..6)],
            grpc_status: Some(random.random_range(0..20)),
            grpc_message,
            body: (0..body_len).map(|_| random.random()).collect(),
        },
        early: random.random_bool(0.1),
        informational: random.random_bool(0.1),
        trailers_only,
        more,
    }
}

/// gRPC's percent encoding.
fn encoded(text: &str) -> HeaderValue {
    let encode = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let text: String = text.bytes().map(encode).collect();
    HeaderValue::from_str(&text).expect("visible")
}

/// Carries a verdict out. The client may be gone; that is no fault of the server.
pub fn carry_out(verdict: Verdict, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (reply, informational, trailers_only, more) = match verdict {
        Verdict::Reset(code) => {
            respond.send_reset(code.into());
            return Ok(());
        }
        Verdict::Answer {
            reply,
            informational,
            trailers_only,
            more,
            ..
        } => (reply, informational, trailers_only, more),
    };
    if informational {
        let early = Response::builder().status(103).body(()).expect("valid");
        respond.send_informational(early)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", reply.grpc_status.unwrap_or(0).into());
    trailers.insert("grpc-message", encoded(&reply.grpc_message));
    let mut head = Response::builder()
        .status(reply.http_status)
        .body(())
        .expect("valid");
    let (first, second) = more.split_at(more.len() / 2);
    let add = |headers: &mut HeaderMap, more: &[(&'static str, String, bool)]| {
        for (name, value, sensitive) in more {
            let mut value = HeaderValue::from_str(value).expect("visible");
            value.set_sensitive(*sensitive);
            headers.append(HeaderName::from_static(name), value);
        }
    };
    add(head.headers_mut(), first);
    add(&mut trailers, second);
    if trailers_only {
        head.headers_mut().extend(trailers);
        respond.send_response(head, true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(head, false)?;
    let body = Bytes::from(reply.body);
    let half = body.len() / 2;
    stream.send_data(body.slice(..half), false)?;
    stream.send_data(body.slice(half..), false)?;
    stream.send_trailers(trailers)
}

//! Requests as their bodies come and replies as they go, by the service's own path; and what is
//! inside of it, one by one. Nothing here waits for a server. What differs from run to run
//! are the seeds of hash maps and the time at which it is.

use bytes::{BufMut, Bytes, BytesMut};
use engines::{AllocationId, IncarnationId, OrderId, Registry, SaleId, UserId};
use http_body_util::{BodyExt, Full};
use prost::Message;
use system::config::{Ack, Config};
use system::counted::{
    Envelope, Generation, MAX_AHEAD_MS, Minter, ORDER_BATCH_TYPE, OrderEvent, RequestPath,
    WorkerId, decode, encode_orders,
};
use system::proto::seckill::{SeckillRequest, SeckillResponse};
use system::roles;
use tempfile::TempDir;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, header};

/// Requests that come at the same time, and so make one batch.
pub const BATCH: i64 = 256;
/// Batches before the one that is counted: tables and timers have grown by then.
const BATCHES_BEFORE: i64 = 8;
const METHOD: &str = "/seckill.SeckillService/ExecuteSeckill";
/// Longer than a bench takes under valgrind on a busy machine, ms.
const FOREVER_MS: u64 = 3_600_000;
/// A time after the first that ids can be minted at, unix ms.
const NOW_MS: i64 = 1_800_000_000_000;
const SEED: &str = "[[sales]]\nproduct_id = 1\nname = \"phone\"\nprice_cents = 9900\n\
                    total = 100000\nstarts_at = 0\nends_at = 4102444800\n";

/// A path that has served before, and its next requests. Fields in the order in which they must
/// end.
#[derive(Debug)]
pub struct Ready {
    path: RequestPath,
    requests: Vec<Request<Body>>,
    replies: Vec<Bytes>,
    _folder: TempDir,
}

/// Ready to answer [`BATCH`] buyers with this engine, which needs no server. All of them are
/// accepted.
pub fn ready(engine: &str) -> Ready {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.database.url = format!("sqlite://{}", folder.path().join("shop.db").display());
    config.seckill.engine = engine.parse().expect("a specification");
    // The queue's own thread commits, as a broker would: what it does is not of the path.
    config.seckill.ack = Ack::Published;
    config.seckill.publish_timeout_ms = FOREVER_MS;
    config.incarnation.lease_ms = FOREVER_MS;
    config.incarnation.heartbeat_ms = 20;
    let registry = Registry::standard();
    let seed = folder.path().join("seed.toml");
    std::fs::write(&seed, SEED).expect("a seed");
    roles::runtime()
        .expect("a runtime")
        .block_on(roles::migrate::run(
            &config.database,
            &registry,
            Some(&seed),
        ))
        .expect("migrated");
    let path = RequestPath::start(&config, &registry).expect("a path");
    let mut ready = Ready {
        path,
        requests: Vec::new(),
        replies: Vec::new(),
        _folder: folder,
    };
    for batch in 0..=BATCHES_BEFORE {
        let answered = answer(ready);
        let first = 1 + batch * BATCH;
        let requests = (first..first + BATCH).map(request).collect();
        ready = Ready {
            requests,
            replies: Vec::with_capacity(BATCH as usize),
            ..answered
        };
    }
    ready
}

/// As an HTTP/2 server hands it over: headers, and the bytes of one DATA frame.
fn request(user_id: i64) -> Request<Body> {
    let message = SeckillRequest {
        user_id,
        product_id: 1,
        quantity: 1 + (user_id % 2) as i32,
        ..Default::default()
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    message.encode(&mut bytes).expect("room");
    Request::post(METHOD)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Body::new(Full::new(bytes.freeze())))
        .expect("a request")
}

/// Answers all requests, each in a task of its own, as the HTTP/2 server does. What was made ready
/// comes back, so that its end is not counted.
pub fn answer(mut ready: Ready) -> Ready {
    let (requests, mut replies) = (ready.requests, ready.replies);
    ready.path.run(async {
        let answering: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let mut routes = ready.path.routes();
                tokio::spawn(async move {
                    let response = routes.call(request).await.expect("no way to fail");
                    let body = response.into_body().collect().await.expect("a body");
                    body.to_bytes()
                })
            })
            .collect();
        for reply in answering {
            replies.push(reply.await.expect("an answer"));
        }
    });
    (ready.requests, ready.replies) = (Vec::new(), replies);
    ready
}

/// How many of the replies are a yes with the id of an order.
pub fn accepted(ready: &Ready) -> usize {
    let is_yes = |reply: &&Bytes| {
        let message = reply.get(5..).map(SeckillResponse::decode);
        message.is_some_and(|message| message.is_ok_and(|it| it.success && it.order_id > 0))
    };
    ready.replies.iter().filter(is_yes).count()
}

/// What mints order ids, with room for more than a batch.
pub fn minter(_: ()) -> Minter {
    Minter::new(WorkerId(7), 0, NOW_MS + MAX_AHEAD_MS + 1_000)
}

/// The number of ids, a new ms every 64 of them.
pub fn mint(minter: &Minter) -> usize {
    let ids = (0..BATCH).filter_map(|index| minter.mint(NOW_MS + index / 64));
    ids.count()
}

/// The orders of one batch.
pub fn events(_: ()) -> Vec<OrderEvent> {
    let event = |index| OrderEvent {
        order: OrderId((NOW_MS << 12) + index),
        user: UserId(1 + index),
        sale: SaleId(1),
        quantity: 1 + (index % 2) as u32,
        total_price_cents: 9_900,
        allocation: AllocationId(1),
        created_at_ms: NOW_MS,
    };
    (0..BATCH).map(event).collect()
}

/// The message that carries them.
pub fn encode(events: &[OrderEvent]) -> Vec<u8> {
    encode_orders(IncarnationId(1), Generation::FIRST, events)
}

/// That message.
pub fn encoded(_: ()) -> Vec<u8> {
    encode(&events(()))
}

/// The number of valid orders in it.
pub fn read(message: &[u8]) -> usize {
    match decode(Some(ORDER_BATCH_TYPE), message) {
        Ok(Envelope::Orders { valid, .. }) => valid.len(),
        _ => 0,
    }
}

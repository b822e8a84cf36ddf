//! What a `seckill` process makes of clients that are silent, many, or gone: real sockets of a real
//! process.

#[path = "connections/frames.rs"]
mod frames;
#[path = "connections/pressure.rs"]
mod pressure;
#[path = "connections/shop.rs"]
mod shop;

use frames::{Client, Ended};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use servers::Frozen;
use shop::{PATIENCE, PRODUCT, Shop, call};
use std::collections::HashSet;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use system::config::Config;
use system::proto::inspect::{GetStockRequest, GetStockResponse};

/// How long CPU time is counted.
const WINDOW: Duration = Duration::from_secs(2);
const BUY: &str = "/seckill.SeckillService/ExecuteSeckill";
const GET_STOCK: &str = "/inspect.InspectService/GetStock";
/// ENHANCE_YOUR_CALM
const CALM_DOWN: u32 = 11;

/// It takes less than a quarter of a core for a while.
async fn hardly_works(shop: &Shop, when: &str) {
    let (before, began) = (shop.cpu(), Instant::now());
    tokio::time::sleep(WINDOW).await;
    let used = shop.cpu() - before;
    assert!(
        used < began.elapsed() / 4,
        "{used:?} of CPU in {:?} {when}",
        began.elapsed()
    );
}

#[tokio::test]
async fn silent_connections_beyond_the_limit_on_open_files_cost_nothing_and_keep_no_buyer_out() {
    let shop = Shop::open(256, &[]).await;
    let silent: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(shop.address()).expect("the kernel takes it"))
        .collect();
    hardly_works(&shop, "of silence").await;
    shop.sells_to(2).await;
    drop(silent);
    shop.sells_to(3).await;
}

/// Nothing that a process sets aside is enough for sure: others may have opened files in it.
#[tokio::test]
async fn a_process_that_is_out_of_files_does_not_spin_and_serves_again_when_it_has_some() {
    let shop = Shop::open(1_024, &[]).await;
    let pid = i32::try_from(shop.pid()).ok().and_then(Pid::from_raw);
    let most = |files: u64| {
        let limit = Rlimit {
            current: Some(files),
            maximum: Some(1_024),
        };
        prlimit(pid, Resource::Nofile, limit).expect("a lower soft limit");
    };
    let folder = format!("/proc/{}/fd", shop.pid());
    let open = std::fs::read_dir(folder).expect("its files");
    let open: HashSet<u64> = open
        .filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    most((0..).find(|file| !open.contains(file)).expect("a free one"));
    let waiting: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(shop.address()).expect("the kernel takes it"))
        .collect();
    hardly_works(&shop, "without a file").await;
    let log = shop.log();
    let told = log.matches("cannot accept connections").count();
    assert!((1..=5).contains(&told), "{told} lines: {log}");
    drop(waiting);
    most(1_024);
    shop.sells_to(2).await;
}

#[tokio::test]
async fn a_process_raises_its_soft_limit_on_open_files_to_the_hard_one() {
    let shop = Shop::open("-S 128", &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", shop.pid()));
    let limits = limits.expect("it runs");
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let values: Vec<&str> = line.expect("a limit").split_whitespace().collect();
    assert_eq!(values[0], values[1], "{limits}");
    assert_ne!(values[0], "128", "{limits}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_preface_is_closed_in_time() {
    let limit = Duration::from_millis(500);
    let limit_ms = limit.as_millis().to_string();
    let shop = Shop::open(
        1_024,
        &[("SECKILL__SECKILL__FIRST_BYTES_TIMEOUT_MS", &limit_ms)],
    )
    .await;
    for first in [&b""[..], b"PRI * HTTP"] {
        let mut socket = TcpStream::connect(shop.address()).expect("connected");
        std::io::Write::write_all(&mut socket, first).expect("written");
        let began = Instant::now();
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // What the server says of its own accord, and then the end.
        let ended = socket.read_to_end(&mut Vec::new());
        let took = began.elapsed();
        assert!(
            !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{first:?} is left open"
        );
        assert!(took >= limit / 2, "{first:?} was cut off after {took:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_noticed() {
    let settings = [
        ("SECKILL__SECKILL__KEEPALIVE_INTERVAL_MS", "1000"),
        ("SECKILL__SECKILL__KEEPALIVE_TIMEOUT_MS", "100"),
    ];
    let shop = Shop::open(1_024, &settings).await;
    // This client answers no ping.
    let mut client = Client::connect(shop.address());
    let id = client.ask(BUY, 1)[0];
    assert_eq!(client.outcome(id), Ended::Answered);
    assert_ne!(client.outcome(u32::MAX), Ended::Answered);
}

/// 500 clients, each of which gave up and asked again six times: a service that stood still for 12 s
/// and limits of 2 s.
#[tokio::test]
async fn buyers_who_gave_up_while_the_service_stood_still_go_on_on_the_same_connections() {
    for connections in [1, 4] {
        let shop = Shop::open(1_024, &[]).await;
        let clients = (0..connections).map(|_| Client::connect(shop.address()));
        let mut clients: Vec<Client> = clients.collect();
        for client in &mut clients {
            let id = client.ask(BUY, 1)[0];
            assert_eq!(client.outcome(id), Ended::Answered);
        }
        let frozen = Frozen::freeze(shop.pid());
        for client in &mut clients {
            for _ in 0..6 {
                let ids = client.ask(BUY, 500 / connections);
                client.cancel(&ids);
            }
        }
        frozen.thaw();
        for client in &mut clients {
            let id = client.ask(BUY, 1)[0];
            assert_eq!(
                client.outcome(id),
                Ended::Answered,
                "{connections} connections"
            );
        }
    }
}

#[tokio::test]
async fn a_flood_of_requests_given_up_at_once_is_still_cut_off() {
    let shop = Shop::open(1_024, &[]).await;
    let mut client = Client::connect(shop.address());
    let frozen = Frozen::freeze(shop.pid());
    client.flood(BUY, 16_000);
    frozen.thaw();
    match client.outcome(u32::MAX) {
        Ended::GoAway(code, why) => {
            assert_eq!((code, why.as_str()), (CALM_DOWN, "too_many_resets"))
        }
        // Nobody reads the last words of a connection that is reset.
        ended => assert_eq!(ended, Ended::Closed),
    }
    shop.sells_to(2).await;
}

#[tokio::test]
async fn the_stock_is_shown_to_operators_and_not_where_buyers_connect() {
    let shop = Shop::open(1_024, &[]).await;
    let ask = GetStockRequest {
        product_id: PRODUCT,
    };
    let shown: Result<GetStockResponse, _> = call(shop.address(), GET_STOCK, ask).await;
    let refused = shown.expect_err("it is nobody's business");
    assert!(refused.starts_with("Unimplemented"), "{refused}");
    let shown: Result<GetStockResponse, _> = call(shop.admin(), GET_STOCK, ask).await;
    assert!(shown.expect("an operator asks").open);
}

#[test]
fn nobody_outside_this_machine_is_listened_to_unless_the_configuration_says_so() {
    let config = serde_json::to_value(Config::default()).expect("sections");
    let sections = config.as_object().expect("sections");
    let mut listeners = 0;
    for (name, section) in sections {
        let Some(listen) = section.get("listen") else {
            continue;
        };
        let address = listen.as_str().expect("a text");
        let address: std::net::SocketAddr = address.parse().expect("ip:port");
        assert!(address.ip().is_loopback(), "{name}: {address}");
        listeners += 1;
    }
    assert!(listeners >= 7, "only {listeners} listeners");
}

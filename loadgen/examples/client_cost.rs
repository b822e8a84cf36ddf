//! What the fast client earns: CPU per request of its session, of a raw `h2` client and of tonic's,
//! each on one thread against the same server in this process, which does nothing, in turns.
//! `cargo run --release -p loadgen --example client_cost -- [requests] [in flight] [connections]
//! [rounds]`

use bytes::Bytes;
use loadgen::wire::{Ended, Session, Target};
use rustix::time::{ClockId, clock_gettime};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic::codegen::http;

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, AnyError>;

const PATH: &str = "/seckill.SeckillService/ExecuteSeckill";
/// User 5, product 1, quantity 1, behind the prefix of gRPC.
const MESSAGE: &[u8] = &[0, 0, 0, 0, 6, 8, 5, 16, 1, 24, 1];
/// Success, order 5.
const REPLY: &[u8] = &[0, 0, 0, 0, 4, 8, 1, 24, 5];
/// Of every client and of the server, bytes.
const WINDOW: u32 = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy)]
enum Client {
    Session,
    H2,
    Tonic,
}

const CLIENTS: [(Client, &str); 3] = [
    (Client::Session, "the session"),
    (Client::H2, "raw h2"),
    (Client::Tonic, "tonic"),
];

/// What all connections of one measurement share.
#[derive(Clone)]
struct Load {
    address: SocketAddr,
    workers: usize,
    connections: usize,
    left: Arc<AtomicU64>,
}

impl Load {
    /// Whether there is another request to send.
    fn draw(&self) -> bool {
        let step = |left: u64| left.checked_sub(1);
        let drawn = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        drawn.is_ok()
    }

    fn workers_of(&self, connection: usize) -> usize {
        (connection..self.workers).step_by(self.connections).count()
    }
}

fn main() -> Result<()> {
    let argument = |at: usize, default: u64| match std::env::args().nth(at) {
        Some(text) => text.parse::<u64>(),
        None => Ok(default),
    };
    let (requests, workers) = (argument(1, 200_000)?, argument(2, 500)? as usize);
    let (connections, rounds) = (argument(3, 200)? as usize, argument(4, 3)?);
    let address = null_server()?;
    println!("{requests} requests, {workers} in flight, {connections} connections");
    println!("client CPU per request, µs (requests/s)");
    let mut costs: [Vec<f64>; CLIENTS.len()] = Default::default();
    for round in 1..=rounds {
        print!("round {round}:");
        for ((client, name), costs) in CLIENTS.iter().zip(&mut costs) {
            let load = Load {
                address,
                workers,
                connections,
                left: Arc::new(AtomicU64::new(requests)),
            };
            let (cpu_us, length) = measure(*client, load)?;
            let (cost, rate) = (
                cpu_us / requests as f64,
                requests as f64 / length.as_secs_f64(),
            );
            costs.push(cost);
            print!("  {name} {cost:.2} ({rate:.0})");
        }
        println!();
    }
    let median = |costs: &mut Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    };
    let [session, h2, tonic] = costs.each_mut().map(median);
    println!(
        "medians: h2 costs {:.1} times as much as the session, tonic {:.1} times",
        h2 / session,
        tonic / session
    );
    Ok(())
}

/// Runs on a new thread, so that its CPU time is the client's alone; in µs, with the time it took.
fn measure(client: Client, load: Load) -> Result<(f64, Duration)> {
    let thread = std::thread::spawn(move || {
        let runtime = runtime()?;
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in 0..load.connections {
                let load = load.clone();
                let workers = load.workers_of(connection);
                match client {
                    Client::Session => tasks.spawn(by_session(load, workers)),
                    Client::H2 => tasks.spawn(by_h2(load, workers)),
                    Client::Tonic => tasks.spawn(by_tonic(load, workers)),
                };
            }
            let began = Instant::now();
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok((thread_cpu_us(), began.elapsed()))
        })
    });
    thread.join().map_err(|_| "the client panicked")?
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn thread_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn by_session(load: Load, workers: usize) -> Result<()> {
    let mut socket = connect(load.address).await?;
    let target = Target::new(&load.address.to_string(), PATH, TIMEOUT.as_millis() as u64);
    let mut session = Session::new(&target.ok_or("a long address")?);
    let (mut inbox, mut filled) = (vec![0; 32 << 10], 0);
    let (mut idle, mut failed) = (workers, 0);
    poll_fn(|cx| {
        loop {
            while idle > 0 && session.can_send(MESSAGE.len()) && load.draw() {
                session.send(MESSAGE, ());
                idle -= 1;
            }
            while !session.out.is_empty() {
                let Poll::Ready(sent) = Pin::new(&mut socket).poll_write(cx, &session.out) else {
                    break;
                };
                session.out.drain(..sent?);
            }
            if session.has_settings() && session.open() == 0 {
                return Poll::Ready(Ok::<_, AnyError>(()));
            }
            let mut room = ReadBuf::new(&mut inbox[filled..]);
            ready!(Pin::new(&mut socket).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                return Poll::Ready(Err("the server hung up".into()));
            }
            filled += room.filled().len();
            let used = session.receive(&inbox[..filled], &mut |(), ended| {
                idle += 1;
                let replied = matches!(&ended, Ended::Replied(reply) if reply.body == REPLY);
                failed += u32::from(!replied);
            })?;
            inbox.copy_within(used..filled, 0);
            filled -= used;
        }
    })
    .await?;
    if failed > 0 {
        return Err(format!("{failed} requests failed").into());
    }
    Ok(())
}

async fn by_h2(load: Load, workers: usize) -> Result<()> {
    let socket = connect(load.address).await?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(socket)
        .await?;
    tokio::spawn(connection);
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("http://{}{PATH}", load.address))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("user-agent", "client-cost")
        .header("grpc-timeout", "20000m")
        .body(())?;
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (load, sender, request) = (load.clone(), sender.clone(), request.clone());
        tasks.spawn(async move {
            let mut sender = sender.ready().await?;
            while load.draw() {
                let (reply, mut stream) = sender.send_request(request.clone(), false)?;
                stream.send_data(Bytes::from_static(MESSAGE), true)?;
                let mut body = reply.await?.into_body();
                while let Some(chunk) = body.data().await {
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    assert_eq!(chunk, REPLY);
                }
                body.trailers().await?.ok_or("no trailers")?;
            }
            Ok::<_, AnyError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(int64, tag = "1")]
    user_id: i64,
    #[prost(int64, tag = "2")]
    product_id: i64,
    #[prost(int32, tag = "3")]
    quantity: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(bool, tag = "1")]
    success: bool,
    #[prost(int64, tag = "3")]
    order_id: i64,
}

async fn by_tonic(load: Load, workers: usize) -> Result<()> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", load.address))?
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect()
        .await?;
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (load, channel) = (load.clone(), channel.clone());
        tasks.spawn(async move {
            let mut client = tonic::client::Grpc::new(channel);
            while load.draw() {
                client.ready().await?;
                let mut request = tonic::Request::new(Request {
                    user_id: 5,
                    product_id: 1,
                    quantity: 1,
                });
                request.set_timeout(TIMEOUT);
                let path = http::uri::PathAndQuery::from_static(PATH);
                let codec = tonic_prost::ProstCodec::<Request, Response>::default();
                let reply = client.unary(request, path, codec).await?;
                assert!(reply.into_inner().success);
            }
            Ok::<_, AnyError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Accepts every order at once, on a thread of its own, until the process ends.
fn null_server() -> Result<SocketAddr> {
    let runtime = runtime()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket));
            }
        });
    });
    Ok(address)
}

/// A client that hangs up ends it.
async fn serve(socket: TcpStream) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(socket)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(chunk) = body.data().await {
                body.flow_control().release_capacity(chunk?.len())?;
            }
            let head = http::Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(())?, false)?;
            stream.send_data(Bytes::from_static(REPLY), false)?;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            stream.send_trailers(trailers)?;
            Ok::<_, AnyError>(())
        });
    }
    Ok(())
}

//! A small gRPC server on the general-purpose `h2` crate, so that the driver's own HTTP/2 is
//! checked against an independent one. It answers as its test wants, and remembers which request
//! came on which connection. It serves purchases, cancels and pays on the same address.

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Buy,
    Cancel,
    Pay,
}

/// How the server answers one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The number of the order, for a purchase.
    Accept(i64),
    Refuse(&'static str),
    Status(u32, &'static str),
    /// Accept after this long.
    Late(Duration, i64),
    Reset,
}

/// A request that the server has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedRequest {
    pub call: Call,
    pub connection: usize,
    /// Requests open on that connection at this moment, this one included.
    pub open: usize,
    pub user_id: i64,
    pub product_id: i64,
    pub quantity: i64,
    /// Of a cancel or a pay, which name nothing else but a user.
    pub order_id: i64,
    pub at: Instant,
}

pub type Answering = Arc<dyn Fn(&ReceivedRequest) -> Answer + Send + Sync>;

#[derive(Default)]
pub struct Received {
    pub requests: Vec<ReceivedRequest>,
    pub connections: usize,
    open: HashMap<usize, usize>,
}

/// A server on its own thread; dropping it cuts every connection immediately, as SIGKILL would.
pub struct Server {
    pub address: SocketAddr,
    pub received: Arc<Mutex<Received>>,
    kill: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(
        address: &str,
        answer: impl Fn(&ReceivedRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(address, None, answer)
    }

    /// One that takes at most `streams_max` requests at a time on each connection.
    pub fn start_with(
        address: &str,
        streams_max: Option<u32>,
        answer: impl Fn(&ReceivedRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let listener = {
            let _guard = runtime.enter();
            listen(address.parse().expect("an address"))
        };
        let address = listener.local_addr().expect("bound");
        let received = Arc::new(Mutex::new(Received::default()));
        let (kill, killed) = tokio::sync::oneshot::channel();
        let (answer, shared): (Answering, _) = (Arc::new(answer), Arc::clone(&received));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = accept(listener, streams_max, answer, shared) => {}
                    _ = killed => {}
                }
            });
        });
        Self {
            address,
            received,
            kill: Some(kill),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.kill.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server did not panic");
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.set_reuseaddr(true).expect("reuse");
    socket.bind(address).expect("bind");
    socket.listen(1_024).expect("listen")
}

async fn accept(
    listener: TcpListener,
    streams_max: Option<u32>,
    answer: Answering,
    received: Arc<Mutex<Received>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        socket.set_nodelay(true).expect("nodelay");
        let number = {
            let mut received = received.lock().expect("no panic");
            received.connections += 1;
            received.connections - 1
        };
        connections.spawn(serve(
            number,
            socket,
            streams_max,
            Arc::clone(&answer),
            Arc::clone(&received),
        ));
    }
}

async fn serve(
    connection: usize,
    socket: TcpStream,
    streams_max: Option<u32>,
    answer: Answering,
    received: Arc<Mutex<Received>>,
) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(16 << 20)
        .initial_connection_window_size(16 << 20);
    if let Some(streams_max) = streams_max {
        builder.max_concurrent_streams(streams_max);
    }
    let Ok(mut http) = builder.handshake::<_, Bytes>(socket).await else {
        return;
    };
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = http.accept().await {
        let call = match request.uri().path() {
            "/seckill.SeckillService/ExecuteSeckill" => Call::Buy,
            "/order.OrderService/CancelOrder" => Call::Cancel,
            "/order.OrderService/PayOrder" => Call::Pay,
            other => panic!("{other} is not served"),
        };
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        assert!(request.headers().contains_key("grpc-timeout"));
        requests.spawn(reply(
            (call, connection),
            request.into_body(),
            respond,
            Arc::clone(&answer),
            Arc::clone(&received),
        ));
        while requests.try_join_next().is_some() {}
    }
}

async fn reply(
    (call, connection): (Call, usize),
    mut body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
    answer: Answering,
    received: Arc<Mutex<Received>>,
) {
    let mut message = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        message.extend_from_slice(chunk.chunk());
    }
    let fields = numbers(&message[5..]);
    let request = {
        let mut received = received.lock().expect("no panic");
        let open = received.open.entry(connection).or_default();
        *open += 1;
        let open = *open;
        let request = ReceivedRequest {
            connection,
            open,
            call,
            user_id: if call == Call::Buy {
                fields[0]
            } else {
                fields[1]
            },
            product_id: if call == Call::Buy { fields[1] } else { 0 },
            quantity: fields[2],
            order_id: if call == Call::Buy { 0 } else { fields[0] },
            at: Instant::now(),
        };
        received.requests.push(request);
        request
    };
    let said = answer(&request);
    if let Answer::Late(time, _) = said {
        tokio::time::sleep(time).await;
    }
    if let Some(open) = received.lock().expect("no panic").open.get_mut(&connection) {
        *open -= 1;
    }
    say(call, &mut respond, said);
}

fn say(call: Call, respond: &mut SendResponse<Bytes>, said: Answer) {
    let head = || {
        let head = Response::builder().header("content-type", "application/grpc");
        head.header("date", "Mon, 21 Oct 2013 20:13:21 GMT")
    };
    // The client may be gone; that is no fault of the server.
    let body = match said {
        Answer::Accept(_) | Answer::Late(..) if call != Call::Buy => vec![0, 0, 0, 0, 0],
        Answer::Accept(order_id) | Answer::Late(_, order_id) => accepted(order_id),
        Answer::Refuse(why) => {
            let mut body = vec![0, 0, 0, 0, why.len() as u8 + 2, 0x12, why.len() as u8];
            body.extend_from_slice(why.as_bytes());
            body
        }
        Answer::Status(status, why) => {
            let head = head()
                .header("grpc-status", status)
                .header("grpc-message", why.replace(' ', "%20"));
            let _ = respond.send_response(head.body(()).expect("valid"), true);
            return;
        }
        Answer::Reset => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
    };
    let Ok(mut stream) = respond.send_response(head().body(()).expect("valid"), false) else {
        return;
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let _ = stream
        .send_data(body.into(), false)
        .and_then(|()| stream.send_trailers(trailers));
}

fn accepted(order_id: i64) -> Vec<u8> {
    let mut message = vec![0x08, 1, 0x18];
    let mut rest = order_id as u64;
    while rest >= 0x80 {
        message.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    let mut body = vec![0, 0, 0, 0, message.len() as u8];
    body.append(&mut message);
    body
}

/// Varint fields 1 to 3.
fn numbers(mut message: &[u8]) -> [i64; 3] {
    let mut fields = [0; 3];
    while let Some((tag, rest)) = message.split_first() {
        let length = rest.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let value = rest[..length]
            .iter()
            .rev()
            .fold(0i64, |value, byte| value << 7 | i64::from(byte & 0x7f));
        fields[usize::from(tag >> 3) - 1] = value;
        message = &rest[length..];
    }
    fields
}

//! A small gRPC server on the general-purpose `h2` crate, so that the driver's own HTTP/2 is
//! checked against an independent one. It answers as it is told and remembers who asked on which
//! connection.

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// What the server says to one request.
#[derive(Clone, Debug)]
pub enum Say {
    Accept(i64),
    Refuse(&'static str),
    Status(u32, &'static str),
    /// Accept after this long.
    Late(Duration, i64),
    Reset,
}

/// Who asked for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub connection: usize,
    /// Requests open on that connection at this moment, this one included.
    pub open: usize,
    pub user_id: i64,
    pub product_id: i64,
    pub quantity: i64,
}

pub type Answer = Arc<dyn Fn(&Asked) -> Say + Send + Sync>;

#[derive(Default)]
pub struct Seen {
    pub asked: Vec<Asked>,
    pub connections: usize,
    open: HashMap<usize, usize>,
}

/// A server on its own thread; dropping it cuts every connection at once, as SIGKILL would.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    kill: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(address: &str, answer: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let listener = {
            let _guard = runtime.enter();
            listen(address.parse().expect("an address"))
        };
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (kill, killed) = tokio::sync::oneshot::channel();
        let (answer, shared): (Answer, _) = (Arc::new(answer), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = accept(listener, answer, shared) => {}
                    _ = killed => {}
                }
            });
        });
        Self {
            address,
            seen,
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

async fn accept(listener: TcpListener, answer: Answer, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        socket.set_nodelay(true).expect("nodelay");
        let number = {
            let mut seen = seen.lock().expect("no panic");
            seen.connections += 1;
            seen.connections - 1
        };
        connections.spawn(serve(
            number,
            socket,
            Arc::clone(&answer),
            Arc::clone(&seen),
        ));
    }
}

async fn serve(connection: usize, socket: TcpStream, answer: Answer, seen: Arc<Mutex<Seen>>) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(16 << 20)
        .initial_connection_window_size(16 << 20);
    let Ok(mut http) = builder.handshake::<_, Bytes>(socket).await else {
        return;
    };
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = http.accept().await {
        assert_eq!(
            request.uri().path(),
            "/seckill.SeckillService/ExecuteSeckill"
        );
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        assert!(request.headers().contains_key("grpc-timeout"));
        requests.spawn(reply(
            connection,
            request.into_body(),
            respond,
            Arc::clone(&answer),
            Arc::clone(&seen),
        ));
        while requests.try_join_next().is_some() {}
    }
}

async fn reply(
    connection: usize,
    mut body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
    answer: Answer,
    seen: Arc<Mutex<Seen>>,
) {
    let mut message = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        message.extend_from_slice(chunk.chunk());
    }
    let fields = numbers(&message[5..]);
    let asked = {
        let mut seen = seen.lock().expect("no panic");
        let open = seen.open.entry(connection).or_default();
        *open += 1;
        let open = *open;
        let asked = Asked {
            connection,
            open,
            user_id: fields[0],
            product_id: fields[1],
            quantity: fields[2],
        };
        seen.asked.push(asked);
        asked
    };
    let said = answer(&asked);
    if let Say::Late(time, _) = said {
        tokio::time::sleep(time).await;
    }
    if let Some(open) = seen.lock().expect("no panic").open.get_mut(&connection) {
        *open -= 1;
    }
    say(&mut respond, said);
}

fn say(respond: &mut SendResponse<Bytes>, said: Say) {
    let head = || {
        let head = Response::builder().header("content-type", "application/grpc");
        head.header("date", "Mon, 21 Oct 2013 20:13:21 GMT")
    };
    // The client may be gone; that is no fault of the server.
    let body = match said {
        Say::Accept(order_id) | Say::Late(_, order_id) => accepted(order_id),
        Say::Refuse(why) => {
            let mut body = vec![0, 0, 0, 0, why.len() as u8 + 2, 0x12, why.len() as u8];
            body.extend_from_slice(why.as_bytes());
            body
        }
        Say::Status(status, why) => {
            let head = head()
                .header("grpc-status", status)
                .header("grpc-message", why.replace(' ', "%20"));
            let _ = respond.send_response(head.body(()).expect("valid"), true);
            return;
        }
        Say::Reset => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
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

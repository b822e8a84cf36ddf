//! tonic, grpc-go and nginx in front of tonic, each on a free port of loopback. What is not
//! installed makes its test end with the reason.

use crate::answers::{Request, Response, UNAVAILABLE, call, text};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

#[derive(Clone, Debug)]
struct Seckill;

impl NamedService for Seckill {
    const NAME: &'static str = "seckill.SeckillService";
}

impl Service<http::Request<Body>> for Seckill {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Response, Request>::default());
            Ok(grpc.unary(Execute, request).await)
        })
    }
}

struct Execute;

impl UnaryService<Request> for Execute {
    type Response = Response;
    type Future = Ready<Result<tonic::Response<Response>, Status>>;

    fn call(&mut self, request: tonic::Request<Request>) -> Self::Future {
        let request = request.into_inner();
        let (status, why) = UNAVAILABLE;
        if request.product_id == 2 {
            return ready(Err(Status::new(Code::from(status as i32), why)));
        }
        let mut response = tonic::Response::new(Response {
            success: true,
            message: text(&request),
            order_id: request.user_id,
        });
        if request.product_id == 4 {
            let long = "~".repeat(request.quantity as usize);
            let value: MetadataValue<_> = long.parse().expect("visible");
            response.metadata_mut().insert("x-long", value);
        }
        ready(Ok(response))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime")
}

/// Serves on the runtime that calls this, until it ends.
fn tonic_server(server: Server) -> SocketAddr {
    let any = "127.0.0.1:0".parse().expect("an address");
    let incoming = TcpIncoming::bind(any).expect("a free port");
    let address = incoming.local_addr().expect("bound");
    let mut server = server;
    tokio::spawn(server.add_service(Seckill).serve_with_incoming(incoming));
    address
}

#[test]
fn tonic_answers_every_call() {
    runtime().block_on(async {
        let wide = tonic_server(Server::builder());
        assert_eq!(call(wide, 600).await, [""; 0]);
        let narrow = Server::builder()
            .max_concurrent_streams(3)
            .initial_stream_window_size(4)
            .initial_connection_window_size(65_535)
            .http2_keepalive_interval(Some(Duration::from_millis(5)));
        assert_eq!(call(tonic_server(narrow), 120).await, [""; 0]);
    });
}

/// A process that ends with its test; nobody waits for a child that is gone already.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this program can be run; if not, the reason is printed.
fn is_there(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).output();
    if let Err(error) = &found {
        eprintln!("ignored: {program} cannot be run: {error}");
    }
    found.is_ok()
}

#[test]
#[ignore = "nightly: needs Go, and its module proxy"]
fn grpc_go_answers_every_call_over_connections_of_a_limited_age() {
    if !is_there("go", "version") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("grpc_go");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/grpc_go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .status()
        .expect("go runs");
    assert!(built.success(), "go build: {built}");
    let mut server = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("what was built runs");
    let stdout = server.stdout.take().expect("piped");
    let _server = Guarded(server);
    let mut address = String::new();
    BufReader::new(stdout)
        .read_line(&mut address)
        .expect("an address");
    let address = address.trim().parse().expect("an address");
    let reasons = runtime().block_on(call(address, 20_000));
    let said = "GOAWAY NO_ERROR \"max_age\"";
    assert!(reasons.iter().any(|reason| reason == said), "{reasons:?}");
}

#[test]
#[ignore = "nightly: needs nginx"]
fn nginx_passes_every_call_on_over_connections_of_limited_length() {
    // Debian keeps it where only root looks.
    let program = ["nginx", "/usr/sbin/nginx"]
        .into_iter()
        .find(|program| is_there(program, "-v"));
    let Some(program) = program else { return };
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let upstream = tonic_server(Server::builder());
        let (_nginx, address) = nginx(program, folder.path(), upstream).await;
        let reasons = call(address, 600).await;
        assert!(!reasons.is_empty(), "50 requests per connection");
        assert!(reasons.iter().all(|reason| reason == "GOAWAY NO_ERROR"));
    });
}

/// Starts nginx and waits until it listens. It closes each connection after 50 requests.
async fn nginx(program: &str, folder: &Path, upstream: SocketAddr) -> (Guarded, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let home = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {home}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off; {temporary}
            server {{
                listen {address} http2;
                keepalive_requests 50;
                location / {{ grpc_pass grpc://{upstream}; grpc_buffer_size 16k; }}
            }}
        }}"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).expect("written");
    let nginx = Command::new(program)
        .arg("-e")
        .arg(folder.join("error.log"))
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&path)
        .spawn()
        .expect("it runs");
    let mut nginx = Guarded(nginx);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_err() {
        let ended = nginx.0.try_wait().expect("a child");
        assert!(ended.is_none(), "nginx ended: {ended:?}");
        assert!(Instant::now() < deadline, "nginx does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (nginx, address)
}

//! A `seckill all` of its own: a real process on a SQLite file, with one sale that is open.

use std::fmt::Display;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use system::proto::seckill::{SeckillRequest, SeckillResponse};
use tempfile::TempDir;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

/// The one product on sale.
pub const PRODUCT: i64 = 1;
/// Longest wait for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);

/// Killed when it is dropped.
pub struct Shop {
    folder: TempDir,
    process: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Shop {
    /// Starts it with a limit on open files, as `ulimit -n` takes it, and with these settings, and
    /// waits until it sells.
    pub async fn open(most_files: impl Display, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let seed = folder.path().join("seed.toml");
        let sale = format!(
            "[[sales]]\nproduct_id = {PRODUCT}\nname = \"x\"\nprice_cents = 1\ntotal = 100000\n\
             starts_at = 0\nends_at = 4102444800\n"
        );
        std::fs::write(&seed, sale).expect("written");
        let database = format!("sqlite://{}", folder.path().join("shop.db").display());
        let command = |script: String| {
            let mut command = Command::new("sh");
            command
                .args(["-c", &script, env!("CARGO_BIN_EXE_seckill")])
                .env("SECKILL__DATABASE__URL", &database)
                .env("SECKILL__SECKILL__ENGINE", "preallocated")
                .env("SECKILL__SECKILL__LISTEN", "127.0.0.1:0")
                .env("SECKILL__ORDER__LISTEN", "127.0.0.1:0")
                .env("SECKILL__PRODUCT__LISTEN", "127.0.0.1:0")
                .env("SECKILL__AUTH__LISTEN", "127.0.0.1:0")
                .env("SECKILL__USER__LISTEN", "127.0.0.1:0")
                .env("SECKILL__GATEWAY__LISTEN", "127.0.0.1:0")
                .env("SECKILL__SECKILL__THREADS", "1")
                .env("SECKILL__RECONCILER__INTERVAL_MS", "100")
                .envs(settings.iter().copied());
            command
        };
        let migrated = command(format!("exec \"$0\" migrate --seed '{}'", seed.display()));
        let output = { migrated }.output().expect("sh starts");
        assert!(output.status.success(), "{output:?}");
        let log = std::fs::File::create(folder.path().join("all.log")).expect("a log");
        let mut process = command(format!("ulimit -n {most_files}; exec \"$0\" all"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{line:?} {}", read(folder.path().join("all.log"))));
        let address = |of| -> SocketAddr {
            let address = ready[of].as_str();
            address.expect("an address").parse().expect("ip:port")
        };
        let shop = Self {
            address: address("listen"),
            admin: address("admin"),
            folder,
            process,
        };
        shop.sells_to(1).await;
        shop
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for operators.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The URL of its file.
    pub fn database(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("shop.db").display())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read(self.folder.path().join("all.log"))
    }

    /// CPU time that it has used, user and system, by /proc.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = std::fs::read_to_string(path).expect("it runs");
        let (_, after_name) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // utime and stime are the fields 14 and 15 of the line, and 3 is the first one here.
        let ticks: u64 = [11, 12]
            .map(|field| fields[field].parse::<u64>().expect("a number"))
            .iter()
            .sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    }

    /// A buyer who asks on a new connection until they have an order.
    pub async fn sells_to(&self, user_id: i64) {
        let buying = async {
            loop {
                match self.buy(user_id).await {
                    Ok(reply) if reply.success => return,
                    other => eprintln!("buyer {user_id} asks again: {other:?}"),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        if tokio::time::timeout(PATIENCE, buying).await.is_err() {
            panic!("buyer {user_id} gets no order: {}", self.log());
        }
    }

    async fn buy(&self, user_id: i64) -> Result<SeckillResponse, String> {
        let request = SeckillRequest {
            user_id,
            product_id: PRODUCT,
            quantity: 1,
            ..Default::default()
        };
        let method = "/seckill.SeckillService/ExecuteSeckill";
        call(self.address, method, request).await
    }
}

/// One call on a new connection; an error in words, the gRPC code first.
pub async fn call<Q, R>(address: SocketAddr, method: &'static str, request: Q) -> Result<R, String>
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let endpoint = endpoint.connect_timeout(CALL_LIMIT).timeout(CALL_LIMIT);
    let connected = endpoint.connect().await;
    let mut client =
        tonic::client::Grpc::new(connected.map_err(|error| format!("no connection: {error:?}"))?);
    client.ready().await.map_err(|error| format!("{error:?}"))?;
    let codec = tonic_prost::ProstCodec::<Q, R>::default();
    let path = PathAndQuery::from_static(method);
    let reply = client
        .unary(tonic::Request::new(request), path, codec)
        .await;
    reply
        .map(tonic::Response::into_inner)
        .map_err(|status| format!("{:?}: {}", status.code(), status.message()))
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

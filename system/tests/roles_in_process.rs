//! A role inside of somebody else's process: whoever starts it has its socket, learns from it where
//! it serves, and decides when it ends.

#[path = "shops/config.rs"]
mod config;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use system::config::Config;
use system::roles::{self, Addresses, RoleConfig};
use system::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A SQLite file with a schema and no sales, and an engine that needs no server.
async fn shop(folder: &TempDir) -> Config {
    let file = folder.path().join("shop.db");
    let mut config = config::on(format!("sqlite://{}", file.display()));
    config.seckill.threads = 2;
    roles::migrate::run(&config.database, &engines::Registry::standard(), None)
        .await
        .expect("migrated");
    config
}

async fn health(address: SocketAddr) -> ServingStatus {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .connect()
        .await
        .expect("somebody listens");
    let request = HealthCheckRequest {
        service: "readiness".to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    answer.expect("an answer").into_inner().status()
}

/// Starts a role, waits until it says where it serves, asks for its health, and ends it.
async fn live_and_end<L, F>(
    config: Config,
    listener: L,
    addresses: Addresses,
    run: impl FnOnce(RoleConfig, L, Shutdown) -> F,
) where
    F: Future<Output = anyhow::Result<()>>,
{
    let (stop, shutdown) = Shutdown::channel();
    let (sender, ready) = oneshot::channel();
    let role = RoleConfig {
        config,
        registry: engines::Registry::standard(),
        admin: Default::default(),
        sales: Default::default(),
        ready: Box::new(move |addresses| {
            sender.send(addresses).expect("somebody waits");
            Ok(())
        }),
    };
    let running = run(role, listener, shutdown);
    let asking = async {
        let told = ready.await.expect("it is ready");
        assert_eq!(told, Some(addresses));
        assert_eq!(health(addresses.listen).await, ServingStatus::Serving);
        stop.send_replace(true);
    };
    let (ended, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(running, asking) })
        .await
        .expect("it ends when it is asked to");
    ended.expect("it ends well");
    let Addresses {
        listen,
        order,
        product,
        auth,
        user,
        gateway,
    } = addresses;
    for address in [Some(listen), order, product, auth, user, gateway]
        .into_iter()
        .flatten()
    {
        let again = TcpStream::connect(address).await;
        assert!(again.is_err(), "its sockets are gone with it");
    }
}

#[tokio::test]
async fn the_seckill_role_serves_on_the_socket_it_is_given_and_ends_when_it_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = shop(&folder).await;
    let listener = roles::seckill::bind(&config).expect("free ports");
    let addresses = Addresses::of_clients(listener.address());
    let run = roles::seckill::run;
    Box::pin(live_and_end(config, listener, addresses, run)).await;
}

#[tokio::test]
async fn the_order_role_serves_on_the_socket_it_is_given_and_ends_when_it_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = shop(&folder).await;
    let listener = roles::order::bind(&config).expect("a free port");
    let addresses = Addresses::of_clients(listener.address());
    Box::pin(live_and_end(config, listener, addresses, roles::order::run)).await;
}

#[tokio::test]
async fn all_roles_together_are_ready_when_the_last_of_them_is_and_end_together() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = shop(&folder).await;
    let _only_user = roles::all::lock(&config).expect("nobody else uses it");
    let listeners = roles::all::bind(&config).expect("free ports");
    let addresses = listeners.addresses();
    Box::pin(live_and_end(config, listeners, addresses, roles::all::run)).await;
}

#[tokio::test]
async fn together_they_end_when_one_of_them_cannot_start_and_say_which() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config {
        // Nobody has made its tables.
        database: system::config::DatabaseConfig {
            url: format!("sqlite://{}", folder.path().join("empty.db").display()),
            ..Default::default()
        },
        ..shop(&folder).await
    };
    let listeners = roles::all::bind(&config).expect("free ports");
    let role = RoleConfig {
        config,
        registry: engines::Registry::standard(),
        admin: Default::default(),
        sales: Default::default(),
        ready: Box::new(|_| panic!("nothing is ready")),
    };
    let (_stop, shutdown) = Shutdown::channel();
    let ended = tokio::time::timeout(PATIENCE, roles::all::run(role, listeners, shutdown)).await;
    let error = ended.expect("it ends").expect_err("it has no tables");
    let error = format!("{error:#}");
    assert!(
        error.contains("create-consumer failed") && error.contains("seckill migrate"),
        "{error}"
    );
}

//! Engines that ask the database, when the network swallows what they have begun: they say in time
//! that nothing has happened, and go on with other connections.

use engines::testing::{SystemAround, TestDatabase};
use engines::{
    EngineEnv, Epoch, IncarnationId, Nonce, Opened, Opening, OrderId, Registry, Reserve, SaleId,
    Term, UserId,
};
use servers::{DatabaseServer, SilentProxy};
use std::time::{Duration, Instant};

const ME: IncarnationId = IncarnationId(1);
const TERM: Term = Term {
    sale: SaleId(1),
    epoch: Epoch(1),
    nonce: Nonce(1),
};
/// A statement may take 1.5 s, and a call several.
const GOES_ON_WITHIN: Duration = Duration::from_secs(8);

/// As many units as a block has: every request needs the database.
fn request(user: i64) -> Reserve {
    Reserve {
        user: UserId(user),
        order: OrderId(user),
        quantity: 7,
        expires_at_ms: i64::MAX,
        incarnation: ME,
        may_sell: true,
    }
}

async fn goes_on(server: &DatabaseServer, spec: &str) {
    let rest = SystemAround::new(TestDatabase::mysql(server.create_database().await).await);
    let registry = Registry::standard();
    let factory = registry.get(spec.split('?').next().unwrap()).unwrap();
    factory.create_tables(&rest.database.url).await.unwrap();
    let address = server.root_url().rsplit('@').next().unwrap().to_owned();
    let proxy = SilentProxy::start(address.parse().unwrap()).await.unwrap();
    let through = rest
        .database
        .url
        .replace(&address, &proxy.address().to_string());
    let env = EngineEnv::default().with("database.url", through);
    let engine = registry.build(&spec.parse().unwrap(), &env).await.unwrap();
    let opening = Opening {
        term: TERM,
        granted: 100,
        buyers: Vec::new(),
        publishers: vec![ME],
    };
    rest.grant(&opening).await.unwrap();
    assert_eq!(engine.open(&opening).await.unwrap(), Opened::Opened);
    let reserve = async |user| engine.reserve(&TERM, &[request(user)]).await.remove(0);
    let first = reserve(1).await.unwrap();
    assert!(first.is_granted(), "{spec}: {first:?}");

    assert!(proxy.silence() > 0, "{spec} uses the proxy");
    let begun = Instant::now();
    let verdict = loop {
        match reserve(2).await {
            Ok(verdict) => break verdict,
            Err(error) => assert!(!error.is_unknown(), "{spec}: {error}"),
        }
        assert!(begun.elapsed() < GOES_ON_WITHIN, "{spec} is still silent");
    };
    assert!(verdict.is_granted(), "{spec}: {verdict:?}");
    let view = engine.stock(&TERM).await.unwrap();
    assert_eq!((view.remaining, view.open_units), (86, 14), "{spec}");
}

#[tokio::test]
async fn an_engine_whose_connections_fall_silent_says_that_nothing_happened_and_goes_on() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    for spec in ["database-row", "preallocated?block=7&partitions=8"] {
        goes_on(&server, spec).await;
    }
}

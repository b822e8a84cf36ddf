//! A network that swallows what was begun: whoever waited for it is told in time, what was
//! committed all the same is not done twice, and what was not is done.

use super::writing::{SALE, ids, open_sale, order};
use super::*;
use crate::ids::Generation;
use engines::{AllocationId, IncarnationId, OrderId};
use servers::{DatabaseServer, SilentProxy};
use std::time::Instant;
use tokio::time::timeout;

/// Of one statement, in these tests.
const STATEMENT_MAX: Duration = Duration::from_millis(700);
/// Several of them, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

struct Silence {
    proxy: SilentProxy,
    /// Behind the proxy.
    store: Store,
    incarnation: IncarnationId,
    allocation: AllocationId,
}

impl Silence {
    async fn start(server: &DatabaseServer) -> Self {
        let url = server.create_database().await;
        let (_, incarnation, allocation) = open_sale(&url).await;
        let address = server.root_url().rsplit('@').next().unwrap().to_owned();
        let proxy = SilentProxy::start(address.parse().unwrap()).await.unwrap();
        let url = url.replace(&address, &proxy.address().to_string());
        let millis = u64::try_from(STATEMENT_MAX.as_millis()).unwrap();
        let store = Store::open(&DatabaseConfig {
            max_connections: 2,
            heartbeat_timeout_ms: millis,
            statement_timeout_ms: millis,
            long_timeout_ms: millis,
            idle_transaction_s: 1,
            ..config(&url)
        });
        Self {
            proxy,
            store: store.unwrap(),
            incarnation,
            allocation,
        }
    }

    /// Does it until it is done, as every caller of the store does.
    async fn until_done<T>(&self, call: impl AsyncFn(&Store) -> database::Result<T>) -> T {
        let begun = Instant::now();
        loop {
            match call(&self.store).await {
                Ok(done) => return done,
                Err(error) => assert!(begun.elapsed() < SOON, "still {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_is_repeated_and_counts_once() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    for is_committed in [true, false] {
        let silence = Silence::start(&server).await;
        let (store, proxy) = (&silence.store, &silence.proxy);
        let batch = WriteBatch {
            incarnation: silence.incarnation,
            orders: vec![
                order(1, silence.allocation, 1),
                order(2, silence.allocation, 2),
            ],
            markers: vec![7],
            ..WriteBatch::default()
        };
        proxy.silence_at_commit(is_committed);
        store.write(&batch).await.expect_err("no answer");
        let write = async |store: &Store| store.write(&batch).await;
        let written = silence.until_done(write).await;
        let mut live = ids(&written);
        live.sort();
        assert_eq!(live, [1, 2].map(OrderId));
        let sold = "SELECT sold FROM allocations WHERE state = 'open'";
        assert_eq!(store.number(sold).await, 3, "counted once");
        assert_eq!(store.number("SELECT COUNT(*) FROM orders").await, 2);
        assert_eq!(store.number("SELECT COUNT(*) FROM parked").await, 0);
        // drain-in-one-session (R5): with its first record, a marker counts for no later session.
        let marked = store.marker_session(7).await.unwrap().unwrap();
        assert_eq!(marked == written.session, !is_committed);

        // The next epoch: its number is taken and its stock granted, known or not.
        proxy.silence_at_commit(is_committed);
        store.claim_epoch(SALE).await.expect_err("no answer");
        let claim = async |store: &Store| store.claim_epoch(SALE).await;
        let epoch = silence.until_done(claim).await.expect("nobody else claims");
        proxy.silence_at_commit(is_committed);
        store.grant(SALE, epoch).await.expect_err("no answer");
        let grant = async |store: &Store| {
            let epoch = store.claim_epoch(SALE).await?.expect("nobody else claims");
            store.grant(SALE, epoch).await
        };
        let snapshot = silence.until_done(grant).await.expect("the newest");
        assert_eq!((snapshot.granted, snapshot.buyers.len()), (7, 2));
        let granted = "SELECT CAST(SUM(granted) AS SIGNED) FROM allocations";
        let open = "SELECT COUNT(*) FROM allocations WHERE state = 'open'";
        assert_eq!(store.number(granted).await, 10);
        assert_eq!(store.number(open).await, 1);
    }
}

#[tokio::test]
async fn connections_that_fall_silent_are_noticed_at_once_and_replaced() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let silence = Silence::start(&server).await;
    let (store, id) = (&silence.store, silence.incarnation);
    // Both connections of the pool, and one for heartbeats.
    let (one, other) = tokio::join!(store.database.begin(), store.database.begin());
    one.unwrap().commit().await.unwrap();
    other.unwrap().commit().await.unwrap();
    assert!(store.heartbeat(id, Generation(1), 99).await.unwrap());

    assert_eq!(silence.proxy.silence(), 3);
    let begun = Instant::now();
    // One is being given back at that moment, or is found silent; then its like are not tried.
    let beat = async || store.heartbeat(id, Generation(1), 99).await.is_ok();
    assert!(failures_before_three_successes(beat).await <= 1);
    let look = async || store.sales().await.is_ok();
    assert!(failures_before_three_successes(look).await <= 1);
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_caller_who_goes_away_in_the_middle_leaves_no_connection_behind() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let store = Store::open(&DatabaseConfig {
        max_connections: 1,
        ..config(&server.create_database().await)
    });
    let store = store.unwrap();
    for _ in 0..2 {
        let asking = store.database.row::<i64>("SELECT SLEEP(60)", NO_ARGS);
        timeout(Duration::from_millis(100), asking)
            .await
            .expect_err("asleep");
        assert_eq!(store.number("SELECT 1").await, 1);
    }
}

async fn failures_before_three_successes(succeeds: impl AsyncFn() -> bool) -> u32 {
    let (mut successes, mut failures) = (0, 0);
    while successes < 3 && failures < 3 {
        match succeeds().await {
            true => successes += 1,
            false => failures += 1,
        }
    }
    failures
}

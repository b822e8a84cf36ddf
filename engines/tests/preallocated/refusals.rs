//! What is refused, with the reason: sizes that do not fit, a database that is missing or not good
//! enough, and what a process can still sell without one.

use super::{Sale, engine, opening, request};
use engines::testing::TestDatabase;
use engines::{EngineEnv, Opened, OpeningBuyer, OrderId, Registry, UserId};
use servers::DatabaseServer;
use sqlx::Connection;

#[tokio::test]
async fn a_block_larger_than_the_stock_is_refused_with_both_numbers() {
    let database = TestDatabase::sqlite().await;
    let engine = engine("preallocated?block=50", &database.url)
        .await
        .unwrap();
    let refused = engine.open(&opening(1, 49, Vec::new())).await.unwrap_err();
    assert!(!refused.is_retryable());
    let refused = refused.to_string();
    assert!(
        refused.contains("block = 50") && refused.contains("49 units"),
        "{refused}"
    );
    let buyer = OpeningBuyer {
        user: UserId(1),
        order: OrderId(1),
        quantity: 10,
    };
    assert_eq!(
        engine.open(&opening(1, 40, vec![buyer])).await.unwrap(),
        Opened::Opened,
        "what was sold counts too"
    );
}

#[tokio::test]
async fn parameters_out_of_range_and_a_missing_database_are_refused() {
    for (spec, reason) in [
        (
            "preallocated?block=0",
            "a number of units from 1 to 1000000",
        ),
        ("preallocated?partitions=5000", "an integer from 1 to 4096"),
        ("preallocated?blocks=5", "known: block, partitions"),
    ] {
        let refused = engine(spec, "sqlite:///tmp/never-made.db")
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(reason), "{spec}: {refused}");
    }
    let env = EngineEnv::default();
    let refused = Registry::standard()
        .build(&"preallocated".parse().unwrap(), &env)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("needs the setting database.url"),
        "{refused}"
    );
    let refused = engine("preallocated", "no url at all")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("neither mysql://"), "{refused}");
}

#[tokio::test]
async fn a_database_that_cannot_keep_or_isolate_is_refused_with_the_reason() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let database = TestDatabase::mysql(server.create_database().await).await;
    let check = async |allow_volatile| {
        // A new engine each time: settings of the server hold for new connections.
        let engine = engine("preallocated", &database.url).await.unwrap();
        engine.check_server(allow_volatile).await
    };
    let settings = check(false).await.unwrap();
    assert!(
        settings
            .iter()
            .any(|(name, value)| name.ends_with("flush_log_at_trx_commit") && value == "1")
    );
    let mut root = sqlx::MySqlConnection::connect(&server.root_url())
        .await
        .unwrap();
    sqlx::raw_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        .execute(&mut root)
        .await
        .unwrap();
    let refused = check(false).await.unwrap_err().to_string();
    assert!(
        refused.contains("innodb_flush_log_at_trx_commit is 2"),
        "{refused}"
    );
    assert!(check(true).await.is_ok());
    database
        .transaction(&["ALTER TABLE engine_wants ENGINE = MyISAM".to_owned()])
        .await
        .unwrap();
    let refused = check(true).await.unwrap_err().to_string();
    assert!(
        refused.contains("engine_wants") && refused.contains("InnoDB is needed"),
        "{refused}"
    );
    database
        .transaction(&["DROP TABLE engine_wants".to_owned()])
        .await
        .unwrap();
    let refused = check(true).await.unwrap_err().to_string();
    assert!(refused.contains("engine_wants is missing"), "{refused}");
}

#[tokio::test]
async fn without_its_database_a_process_sells_what_it_has_and_then_is_unavailable() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let sale = Sale::new(
        TestDatabase::mysql(server.create_database().await).await,
        100,
        10,
    )
    .await;
    assert!(sale.ask(&sale.one, request(2, 1)).await.is_granted());
    drop(server);
    let verdicts = sale
        .one
        .reserve(&sale.term, &[request(4, 9), request(6, 1)])
        .await;
    assert!(verdicts[0].as_ref().unwrap().is_granted());
    let refused = verdicts[1].as_ref().unwrap_err();
    assert!(refused.is_retryable() && !refused.is_unknown(), "{refused}");
}

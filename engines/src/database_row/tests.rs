//! What only the inside of the engine shows: the steps of a retirement.

use super::*;
use crate::Epoch;

/// A file with the tables, for as long as the folder lives.
async fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("sales.db").display());
    FACTORY.create_tables(&url).await.unwrap();
    (folder, url)
}

/// Rows of both tables.
async fn rows(engine: &DatabaseRow) -> i64 {
    let sql = "SELECT (SELECT COUNT(*) FROM engine_stock) + (SELECT COUNT(*) FROM engine_gate)";
    let rows = engine
        .sales
        .database
        .rows::<[i64; 1]>(sql, database::NO_ARGS)
        .await
        .unwrap();
    rows[0][0]
}

#[tokio::test]
async fn a_retirement_takes_several_steps_and_leaves_a_newer_epoch_alone() {
    const BUYERS: i64 = 12_000;
    let (_folder, url) = file().await;
    let database = database_server::connect(NAME, &url).unwrap();
    let engine = DatabaseRow::new(NAME, Guard::Lock, database);
    let sale = SaleId(1);
    let buyer = |user| crate::OpeningBuyer {
        user: crate::UserId(user),
        order: crate::OrderId(user),
        quantity: 1,
    };
    let opening = |epoch| Opening {
        term: Term {
            sale,
            epoch: Epoch(epoch),
            nonce: crate::Nonce(7),
        },
        granted: 1,
        buyers: (1..=BUYERS).map(buyer).collect(),
        publishers: Vec::new(),
    };
    engine.open(&opening(1)).await.unwrap();
    assert!(
        !engine
            .sales
            .retire_some((sale, Epoch(1)), true)
            .await
            .unwrap()
    );
    assert!(!engine.stock(&opening(1).term).await.unwrap().is_open);
    assert!(rows(&engine).await < BUYERS);
    // Another retirement that began now would go on where this one is, not call it done.
    let left = rows(&engine).await;
    assert!(
        !engine
            .sales
            .retire_some((sale, Epoch(1)), true)
            .await
            .unwrap()
    );
    assert!(rows(&engine).await < left);
    engine.open(&opening(2)).await.unwrap();
    assert!(
        engine
            .sales
            .retire_some((sale, Epoch(1)), false)
            .await
            .unwrap()
    );
    assert_eq!(rows(&engine).await, BUYERS + 1);
    engine.retire(sale, Epoch(2)).await.unwrap();
    assert_eq!(rows(&engine).await, 1, "the note");
}

#[tokio::test]
async fn who_loses_every_race_gives_up_within_bounds_and_says_that_nothing_has_happened() {
    let (_folder, url) = file().await;
    let database = database_server::connect(NAME, &url).unwrap();
    let engine = DatabaseRow::new(NAME, Guard::Version, database);
    let losing = engine.run(CALL_MAX, "a reserve", |_| async {
        Err::<(), _>(guard::lost_race())
    });
    let lost = losing.await.unwrap_err();
    assert!(lost.is_retryable() && !lost.is_unknown(), "{lost}");
    assert!(lost.to_string().contains("nothing was written"), "{lost}");
}

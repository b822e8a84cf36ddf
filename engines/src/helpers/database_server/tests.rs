//! Settings of a database that its users cannot provoke through an engine, which sets them itself.

use super::*;
use servers::DatabaseServer;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

#[tokio::test]
async fn a_session_without_read_committed_is_refused() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = server.create_database().await;
    let plain = Database::MySql(sqlx::MySqlPool::connect(&url).await.unwrap().into());
    let refused = check("any", &plain, &[], true)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("REPEATABLE-READ") && refused.contains("READ COMMITTED is needed"),
        "{refused}"
    );
    let set = connect("any", &url).unwrap();
    assert!(check("any", &set, &[], false).await.is_ok());
}

#[tokio::test]
async fn a_server_that_would_refuse_to_write_because_of_its_binary_log_is_refused() {
    let Some(server) = DatabaseServer::start().await else {
        return;
    };
    let url = server.create_database().await;
    for (format, fits) in [("STATEMENT", false), ("ROW", true)] {
        server
            .restart_with(&[
                "--log-bin=b",
                "--server-id=1",
                &format!("--binlog-format={format}"),
            ])
            .await
            .unwrap();
        let checked = check("any", &connect("any", &url).unwrap(), &[], true).await;
        let refused = checked
            .as_ref()
            .map_or_else(ToString::to_string, |_| String::new());
        assert_eq!(checked.is_ok(), fits, "{format}: {refused}");
        assert_eq!(
            refused.contains("binlog_format is STATEMENT") && refused.contains("ROW or MIXED"),
            !fits,
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_busy_file_means_that_nothing_has_happened_and_other_failures_of_a_commit_are_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("a.db"))
        .create_if_missing(true);
    let mut writer = options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE; CREATE TABLE t (n INTEGER PRIMARY KEY)")
        .execute(&mut writer)
        .await
        .unwrap();
    let mut other = options
        .busy_timeout(Duration::ZERO)
        .connect()
        .await
        .unwrap();
    let busy = sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap_err();
    assert!(matches!(
        unknown("any", busy),
        EngineError::Unavailable { .. }
    ));
    let twice = sqlx::raw_sql("INSERT INTO t VALUES (1), (1)")
        .execute(&mut writer)
        .await
        .unwrap_err();
    assert!(unknown("any", twice).is_unknown());
    assert!(unknown("any", sqlx::Error::PoolTimedOut).is_unknown());
}

#[tokio::test]
async fn a_file_without_wal_or_full_synchronous_is_refused() {
    let memory = connect("any", "sqlite::memory:").unwrap();
    let refused = check("any", &memory, &[], true)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("journal_mode is memory; wal is needed"),
        "{refused}"
    );
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let database = connect("any", &url).unwrap();
    assert!(check("any", &database, &[], false).await.is_ok());
    let Database::Sqlite(file) = &database else {
        unreachable!("the url says so")
    };
    // A setting of each connection, and any of them may be asked next.
    let mut connections = Vec::new();
    for _ in 0..file.readers().options().get_max_connections() {
        let mut connection = file.readers().acquire().await.unwrap();
        sqlx::query("PRAGMA synchronous = NORMAL")
            .execute(&mut *connection)
            .await
            .unwrap();
        connections.push(connection);
    }
    drop(connections);
    let refused = check("any", &database, &[], false)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("synchronous is 1; only 2 (FULL)"),
        "{refused}"
    );
    assert!(check("any", &database, &[], true).await.is_ok());
    let refused = check("any", &database, &["no_such"], true)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("no_such is missing"), "{refused}");
}

//! The reader on real tables whose rows come after a known delay.

use std::path::Path;
use std::time::{Duration, Instant};

use reports::result::Latencies;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{Connection, MySqlConnection};

use super::*;

enum Writer {
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Writer {
    async fn sqlite(folder: &Path) -> (Self, String) {
        let file = folder.join("leg.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let connection = SqliteConnection::connect_with(&options).await;
        let mut writer = Self::Sqlite(connection.expect("a file"));
        writer.create().await;
        (writer, format!("sqlite://{}", file.display()))
    }

    async fn mysql(url: &str) -> Self {
        let connection = MySqlConnection::connect(url).await;
        let mut writer = Self::MySql(connection.expect("connected"));
        writer.create().await;
        writer
    }

    async fn create(&mut self) {
        self.execute("CREATE TABLE orders (order_id BIGINT PRIMARY KEY)")
            .await;
    }

    async fn execute(&mut self, statement: &str) {
        let statement = sqlx::raw_sql(statement);
        match self {
            Self::MySql(connection) => statement.execute(connection).await.map(drop),
            Self::Sqlite(connection) => statement.execute(connection).await.map(drop),
        }
        .expect("executed");
    }
}

/// What is true of each row: its commit lay between the two, counted from the reply.
#[derive(Default)]
struct Truth {
    earliest: Latencies,
    latest: Latencies,
}

/// Each row comes 20, 60 or 140 ms after its reply.
async fn write_late(mut writer: Writer, reader: &DurableReader) -> Truth {
    let mut truth = Truth::default();
    let mut due: Vec<(Instant, i64, i64)> = Vec::new();
    for order_id in 0..90 {
        let accepted_unix_us = now_unix_us();
        let delay = Duration::from_millis([20, 60, 140][order_id as usize % 3]);
        reader.watch(&[(order_id, accepted_unix_us)]);
        due.push((Instant::now() + delay, order_id, accepted_unix_us));
        // The next reply comes 5 ms later; rows that are due meanwhile are written.
        let next_reply = Instant::now() + Duration::from_millis(5);
        write_due(&mut writer, &mut due, next_reply, &mut truth).await;
        tokio::time::sleep_until(next_reply.into()).await;
    }
    let the_end = Instant::now() + Duration::from_secs(60);
    write_due(&mut writer, &mut due, the_end, &mut truth).await;
    truth
}

/// Writes the rows that are due by `end`, each at its time.
async fn write_due(
    writer: &mut Writer,
    due: &mut Vec<(Instant, i64, i64)>,
    end: Instant,
    truth: &mut Truth,
) {
    due.sort();
    let later = due.split_off(due.partition_point(|row| row.0 <= end));
    for (at, order_id, accepted_unix_us) in std::mem::replace(due, later) {
        tokio::time::sleep_until(at.into()).await;
        let since_reply_ns = || (now_unix_us() - accepted_unix_us) as u64 * 1_000;
        truth.earliest.record_ns(since_reply_ns());
        writer
            .execute(&format!("INSERT INTO orders VALUES ({order_id})"))
            .await;
        truth.latest.record_ns(since_reply_ns());
    }
}

async fn the_delay_is_found(writer: Writer, url: &str) {
    let reader = DurableReader::start(url).await.expect("started");
    let truth = write_late(writer, &reader).await;
    let durable = reader.finish().await.expect("read");
    let counts = (durable.samples, durable.missing, durable.left_out);
    assert_eq!(counts, (90, 0, 0));
    let found = durable.hist.read().expect("readable");
    for quantile in [0.1, 0.3, 0.5, 0.7, 0.9, 1.0] {
        let at = |latencies: &Latencies| latencies.quantile_ns(quantile).expect("values") as f64;
        let (earliest, latest) = (at(&truth.earliest), at(&truth.latest));
        // Three significant digits, and the resolution that the reader says it kept: among 90
        // values, the P99 of the gaps is the largest.
        assert!(at(&found) >= earliest * 0.998, "{quantile}: {durable:?}");
        let latest = latest + durable.poll_gap_p99_ns as f64;
        assert!(at(&found) <= latest * 1.002, "{quantile}: {durable:?}");
    }
    assert!(durable.poll_gap_p50_ns <= durable.poll_gap_p99_ns);
}

#[tokio::test]
async fn a_known_delay_is_found_in_a_sqlite_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (writer, url) = Writer::sqlite(folder.path()).await;
    the_delay_is_found(writer, &url).await;
}

#[tokio::test]
async fn a_known_delay_is_found_in_a_server() {
    let Some(server) = servers::DatabaseServer::start().await else {
        return;
    };
    let url = server.create_database().await;
    the_delay_is_found(Writer::mysql(&url).await, &url).await;
}

#[tokio::test]
async fn ten_thousand_that_wait_do_not_widen_the_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut writer, url) = Writer::sqlite(folder.path()).await;
    let reader = DurableReader::start(&url).await.expect("started");
    let first_unix_us = now_unix_us();
    for chunk in 0..20 {
        let samples: Vec<Sample> = (chunk * 500..(chunk + 1) * 500)
            .map(|id| (id, now_unix_us()))
            .collect();
        reader.watch(&samples);
        tokio::time::sleep(POLL).await;
    }
    let last_unix_us = now_unix_us();
    tokio::time::sleep(30 * POLL).await;
    let earliest_ns = (now_unix_us() - last_unix_us) as u64 * 1_000;
    writer
        .execute(
            "WITH RECURSIVE ids(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < 9999)
             INSERT INTO orders SELECT id FROM ids",
        )
        .await;
    let latest_ns = (now_unix_us() - first_unix_us) as u64 * 1_000;
    let durable = reader.finish().await.expect("read");
    assert_eq!(durable.missing, 0);
    assert_eq!(durable.samples + durable.left_out, 10_000);
    assert!((32..=256).contains(&durable.samples), "{durable:?}");
    assert!(durable.hist.min_ns >= earliest_ns, "{durable:?}");
    let latest_ns = latest_ns + durable.poll_gap_p99_ns;
    assert!(durable.hist.max_ns <= latest_ns, "{durable:?}");
    // Asked for 256 at a time, each of 10,000 would be looked at every 400 ms.
    let gap = Duration::from_nanos(durable.poll_gap_p50_ns);
    assert!(gap < Duration::from_millis(150), "{durable:?}");
}

#[tokio::test]
async fn an_order_without_a_row_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut writer, url) = Writer::sqlite(folder.path()).await;
    let reader = DurableReader::start(&url).await.expect("started");
    reader.watch(&[(1, now_unix_us()), (2, now_unix_us())]);
    writer.execute("INSERT INTO orders VALUES (2)").await;
    let durable = reader.finish().await.expect("read");
    assert_eq!((durable.samples, durable.missing), (1, 1));
}

//! What operators are told.

use super::*;
use crate::envelope::{self, ORDER_BATCH_TYPE, OrderEvent};
use crate::ids::Generation;
use crate::store::tests::writing::{open_sale, order};
use crate::store::{Poison, WriteBatch};
use clap::Parser;
use engines::IncarnationId;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

fn refusal(arguments: &[&str]) -> String {
    let arguments = ["dead-letter"].into_iter().chain(arguments.iter().copied());
    let refused = Cli::try_parse_from(arguments).expect_err("refused");
    refused.to_string()
}

#[test]
fn wrong_usage_is_refused_with_what_is_missing() {
    assert!(refusal(&["replay"]).contains("<ID>..."));
    assert!(refusal(&["replay", "1", "--all"]).contains("cannot be used with"));
    assert!(refusal(&["replay", "one"]).contains("'one'"));
    assert!(refusal(&["discard", "1"]).contains("--reason"));
    assert!(refusal(&["discard", "1", "--reason", " "]).contains("at least one word"));
    let long = "x".repeat(REASON_MAX + 1);
    assert!(refusal(&["discard", "1", "--reason", &long]).contains("at most 400"));
    assert!(refusal(&["discard", "--reason", "why"]).contains("<ID>..."));
}

fn letter() -> DeadLetter {
    DeadLetter {
        id: 17,
        incarnation: IncarnationId(3),
        order_id: OrderId(0),
        message_id: "m".to_owned(),
        kind: "order.batch.v9\u{1b}[2J".to_owned(),
        reason: format!("unknown\nmessage type {}", "x".repeat(100)),
        count: 10_000,
        first_seen_at_ms: 1_800_000_000_000,
        last_seen_at_ms: 1_800_000_060_000,
        body_bytes: 7,
        resolved_at_ms: None,
        resolution: String::new(),
    }
}

#[test]
fn a_list_is_a_table_that_no_message_can_break() {
    let mut out = Vec::new();
    print::table(&[letter()], false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let words = [
        "17",
        "3",
        "-",
        "10000",
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:01:00Z",
    ];
    assert!(
        words
            .iter()
            .all(|word| lines[1].split_whitespace().any(|cell| cell == *word)),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && lines[1].ends_with('…'),
        "{text}"
    );
    let at = |heading| lines[0].find(heading).expect("a heading");
    assert!(
        lines[1]
            .chars()
            .skip(at("REASON"))
            .collect::<String>()
            .starts_with("unknown"),
        "{text}"
    );
}

#[test]
fn a_body_is_shown_as_bytes_and_letters() {
    let mut out = Vec::new();
    print::hex(b"from\0the future...", &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let first = "00000000  66 72 6f 6d 00 74 68 65 20 66 75 74 75 72 65 2e  from.the future.";
    assert_eq!(text.lines().next(), Some(first));
    assert!(text.lines().nth(1).unwrap().starts_with("00000010  2e 2e "));
}

#[test]
fn how_one_was_resolved_is_said_also_of_those_that_were_by_hand() {
    let said = |ending| {
        let mut out = Vec::new();
        print::ending(7, &ending, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let before = Ending::WasResolved(1_800_000_000_000, "discarded: old".to_owned());
    let expected = "dead letter 7 was resolved at 2027-01-15T08:00:00Z: discarded: old\n";
    assert_eq!(said(before), expected);
    let by_hand = Ending::WasResolved(0, String::new());
    assert_eq!(said(by_hand), "dead letter 7 was resolved before\n");
    let open = Ending::Open("undecodable".to_owned());
    assert_eq!(said(open), "dead letter 7 stays open: undecodable\n");
}

/// Parks a message that holds this order; the record's id.
async fn parked(store: &Store, incarnation: IncarnationId, order: OrderEvent) -> i64 {
    let body = envelope::encode_orders(incarnation, Generation(1), &[order]);
    let poison = Poison {
        message_id: format!("m{}", order.order),
        order: Poison::WHOLE_MESSAGE,
        kind: ORDER_BATCH_TYPE.to_owned(),
        reason: "unknown type".to_owned(),
        body: body.to_vec(),
    };
    let batch = WriteBatch {
        incarnation,
        poison: vec![poison],
        ..WriteBatch::default()
    };
    store.write(&batch).await.unwrap();
    let letters = store.dead_letters(0, false).await.unwrap();
    letters.last().expect("parked").id
}

#[tokio::test]
async fn whoever_replays_all_is_told_of_one_that_fails_and_those_behind_it_are_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let (store, incarnation, allocation) = open_sale(&url).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(parked(&store, incarnation, order(number, allocation, 1)).await);
    }
    // The database does not take the second.
    let trigger = format!(
        "CREATE TRIGGER stuck BEFORE UPDATE ON parked WHEN OLD.id = {} BEGIN SELECT RAISE(ABORT, 'stuck'); END",
        ids[1]
    );
    store.change(&trigger).await;
    let (_keep_alive, shutdown) = Shutdown::channel();
    let operator = Operator {
        store: store.clone(),
        copies: false,
        shutdown,
    };
    let replay_all = async || {
        let mut out = Vec::new();
        let all = Action::Replay {
            ids: Vec::new(),
            all: true,
        };
        let told = operator.act(all, &mut out).await;
        (told, String::from_utf8(out).unwrap())
    };
    let (told, out) = replay_all().await;
    let refused = told.expect_err("one failed").to_string();
    assert_eq!(refused, "1 of 3 dead letters could not be replayed in full");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    for (line, says) in lines.iter().zip([
        format!("dead letter {}: replayed: orders 1 written", ids[0]),
        format!("dead letter {}: ", ids[1]),
        format!("dead letter {}: replayed: orders 1 written", ids[2]),
    ]) {
        assert!(line.starts_with(&says), "{line}, not {says}");
    }
    assert!(lines[1].contains("stuck"), "{out}");
    let open = store.dead_letters(0, false).await.unwrap();
    let open: Vec<i64> = open.iter().map(|letter| letter.id).collect();
    assert_eq!(open, [ids[1]]);
    store.change("DROP TRIGGER stuck").await;
    let (told, out) = replay_all().await;
    told.expect("it can be replayed now");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(store.dead_letters(0, false).await.unwrap().is_empty());
}

//! What operators are told.

use super::*;
use clap::Parser;

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
        incarnation: engines::IncarnationId(3),
        order_id: engines::OrderId(0),
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

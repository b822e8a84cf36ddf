//! Dead letters as people read them.

use crate::store::{DeadLetter, Ending, WholeDeadLetter};
use std::io::{Result, Write};
use std::time::{Duration, UNIX_EPOCH};

const NONE: &str = "there are no dead letters";
/// What is said when nobody has anything to decide.
pub const NONE_OPEN: &str = "no dead letters are open";
/// Widest reason in a list, characters.
const REASON_WIDTH: usize = 60;
/// Widest kind in a list, characters.
const KIND_WIDTH: usize = 20;
/// Orders shown of what is in one.
const ORDERS_SHOWN: usize = 20;
/// Bytes in a line of hex digits.
const LINE: usize = 16;

/// One line for each, below a heading.
pub fn table(letters: &[DeadLetter], with_state: bool, out: &mut dyn Write) -> Result<()> {
    if letters.is_empty() {
        let none = if with_state { NONE } else { NONE_OPEN };
        return writeln!(out, "{none}");
    }
    let mut rows = vec![
        [
            "ID",
            "KIND",
            "INCARNATION",
            "ORDER",
            "COUNT",
            "FIRST SEEN (UTC)",
            "LAST SEEN (UTC)",
            "STATE",
            "REASON",
        ]
        .map(str::to_owned),
    ];
    rows.extend(letters.iter().map(|letter| {
        [
            letter.id.to_string(),
            cut(&letter.kind, KIND_WIDTH),
            letter.incarnation.to_string(),
            match letter.order_id.0 {
                0 => "-".to_owned(),
                order => order.to_string(),
            },
            letter.count.to_string(),
            utc(letter.first_seen_at_ms),
            utc(letter.last_seen_at_ms),
            match letter.resolved_at_ms {
                None => "open".to_owned(),
                Some(_) => cut(&letter.resolution, REASON_WIDTH),
            },
            cut(&letter.reason, REASON_WIDTH),
        ]
    }));
    const STATE: usize = 7;
    let shown = |column: &usize| with_state || *column != STATE;
    let columns: Vec<usize> = (0..rows[0].len()).filter(shown).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = columns.iter().filter_map(|column| width(*column)).collect();
    for row in &rows {
        let cells = columns.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(column, width)| format!("{:width$}", row[*column]))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// Everything that is known of one but its body.
pub fn letter(whole: &WholeDeadLetter, out: &mut dyn Write) -> Result<()> {
    let letter = &whole.letter;
    let order = match letter.order_id.0 {
        0 => "the whole message".to_owned(),
        order => format!("order {order}"),
    };
    let state = match letter.resolved_at_ms {
        None => "open".to_owned(),
        Some(at_ms) => resolved(at_ms, &letter.resolution),
    };
    let contents = whole.contents();
    let mut content: Vec<String> = contents
        .orders
        .iter()
        .take(ORDERS_SHOWN)
        .map(|order| {
            format!(
                "order {} of user {}: {} of product {}, allocation {}",
                order.order, order.user, order.quantity, order.sale, order.allocation
            )
        })
        .collect();
    if contents.orders.len() > ORDERS_SHOWN {
        content.push(format!(
            "and {} orders more",
            contents.orders.len() - ORDERS_SHOWN
        ));
    }
    content.extend(contents.unreadable);
    for (name, value) in [
        ("dead letter", letter.id.to_string()),
        ("what", order),
        ("state", state),
        ("reason", one_line(&letter.reason)),
        ("kind", one_line(&letter.kind)),
        ("message id", one_line(&letter.message_id)),
        ("incarnation", letter.incarnation.to_string()),
        ("seen", format!("{} times", letter.count)),
        ("first seen", utc(letter.first_seen_at_ms)),
        ("last seen", utc(letter.last_seen_at_ms)),
        ("in it now", content.join("\n             ")),
        ("body", format!("{} bytes", letter.body_bytes)),
    ] {
        writeln!(out, "{name:12} {value}")?;
    }
    Ok(())
}

/// The usual dump: offset, bytes, and what of them can be read.
pub fn hex(body: &[u8], out: &mut dyn Write) -> Result<()> {
    for (index, line) in body.chunks(LINE).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let readable = |byte: &u8| match byte.is_ascii_graphic() || *byte == b' ' {
            true => char::from(*byte),
            false => '.',
        };
        let text: String = line.iter().map(readable).collect();
        let width = 3 * LINE;
        writeln!(
            out,
            "{:08x}  {:width$} {text}",
            index * LINE,
            digits.join(" ")
        )?;
    }
    Ok(())
}

/// What became of one, in a line.
pub fn ending(id: i64, ending: &Ending, out: &mut dyn Write) -> Result<()> {
    match ending {
        Ending::Resolved(how) => writeln!(out, "dead letter {id}: {}", one_line(how)),
        Ending::WasResolved(at_ms, how) => {
            writeln!(out, "dead letter {id} was {}", resolved(*at_ms, how))
        }
        Ending::Open(why) => writeln!(out, "dead letter {id} stays open: {}", one_line(why)),
    }
}

/// Records that were resolved by hand have neither time nor words.
fn resolved(at_ms: i64, how: &str) -> String {
    let when = match at_ms {
        0 => "before".to_owned(),
        at_ms => format!("at {}", utc(at_ms)),
    };
    match how {
        "" => format!("resolved {when}"),
        how => format!("resolved {when}: {}", one_line(how)),
    }
}

fn utc(unix_ms: i64) -> String {
    let since = Duration::from_millis(unix_ms.try_into().unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// What strangers have sent does not break a line or steer a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

fn cut(text: &str, width: usize) -> String {
    let text = one_line(text);
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text,
    }
}

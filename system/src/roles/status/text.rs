//! The report of `seckill status` as aligned text.

use super::report::{Report, SaleStatus};
use std::fmt::Write;

/// Everything, a section per noun; what there is none of is one line.
pub fn render(report: &Report) -> String {
    let mut text = format!("engine {}\n", report.engine);
    for why in &report.not_asked {
        let _ = writeln!(text, "not asked: {why}");
    }
    text += "\n";
    text += &sales(report);
    text += &leases(report);
    text += &processes(report);
    let (letters, outbox) = (&report.dead_letters, &report.outbox);
    let oldest = |age_ms: Option<i64>| {
        age_ms.map_or(String::new(), |ms| format!(", the oldest for {}", age(ms)))
    };
    let _ = writeln!(
        text,
        "dead letters open: {}{}",
        letters.open,
        oldest(letters.oldest_age_ms)
    );
    let _ = writeln!(
        text,
        "outbox: {} releases left{}; {} copies left",
        outbox.releases_left,
        oldest(outbox.oldest_release_age_ms),
        outbox.copies_left
    );
    text
}

fn sales(report: &Report) -> String {
    let mut head = vec![
        "sale",
        "name",
        "state",
        "total",
        "wanted",
        "live",
        "sold/granted",
        "epoch",
        "remaining",
        "held",
        "releases",
    ];
    let has_counts = report.sales.iter().any(|sale| sale.orders.is_some());
    if has_counts {
        head.extend(["to pay", "paid", "cancelled", "expired"]);
    }
    let mut table = vec![head.into_iter().map(str::to_owned).collect()];
    table.extend(report.sales.iter().map(sale));
    let mut text = match report.sales.is_empty() {
        true => "no sales\n".to_owned(),
        false => aligned(&table),
    };
    if report.sales_not_shown > 0 {
        let _ = writeln!(text, "and {} sales more", report.sales_not_shown);
    }
    text + "\n"
}

fn sale(sale: &SaleStatus) -> Vec<String> {
    let (row, allocated) = (&sale.row, &sale.allocated);
    let epoch = match row.open_epoch {
        Some(open) if open == row.newest_epoch => format!("{open} open"),
        _ => format!("{} not open", row.newest_epoch),
    };
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut cells = vec![
        row.product_id.to_string(),
        row.name.clone(),
        sale.window.words().to_owned(),
        row.total.to_string(),
        or_dash(row.wanted_total.map(|total| total.to_string())),
        allocated.live_units.to_string(),
        format!("{}/{}", allocated.sold, allocated.granted),
        epoch,
        or_dash(sale.engine.map(|engine| engine.remaining.to_string())),
        or_dash(sale.engine.map(|engine| engine.open_units.to_string())),
        sale.releases_left.to_string(),
    ];
    if let Some(orders) = &sale.orders {
        let counts = [orders.to_pay, orders.paid, orders.cancelled, orders.expired];
        cells.extend(counts.map(|count| count.to_string()));
    }
    cells
}

fn leases(report: &Report) -> String {
    let head = ["sale", "leased to", "epoch", "sold/granted", "idle"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for sale in &report.sales {
        table.extend(sale.leases.iter().map(|lease| {
            vec![
                sale.row.product_id.to_string(),
                lease.incarnation.to_string(),
                lease.epoch.to_string(),
                format!("{}/{}", lease.sold, lease.granted),
                lease.idle.to_string(),
            ]
        }));
    }
    match table.len() {
        1 => String::new(),
        _ => aligned(&table) + "\n",
    }
}

fn processes(report: &Report) -> String {
    let head = [
        "publisher",
        "address",
        "label",
        "state",
        "generation",
        "last beat",
        "waiting",
    ];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(report.incarnations.iter().map(|each| {
        vec![
            each.row.id.to_string(),
            each.row.address.clone(),
            each.row.label.clone(),
            each.row.state.clone(),
            each.row.generation.to_string(),
            format!("{} ago", age(each.beat_age_ms)),
            each.waiting
                .map_or("-".to_owned(), |count| count.to_string()),
        ]
    }));
    let mut text = match table.len() {
        1 => "no publishers\n".to_owned(),
        _ => aligned(&table),
    };
    text += "\n";
    let head = ["consumer", "role", "last beat"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(report.consumers.iter().map(|each| {
        vec![
            each.row.id.to_string(),
            each.row.kind.clone(),
            format!("{} ago", age(each.beat_age_ms)),
        ]
    }));
    text += &match table.len() {
        1 => "no consumers\n".to_owned(),
        _ => aligned(&table),
    };
    text + "\n"
}

/// Two blanks between columns, none at the end of a line.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = table.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in table {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text += line.join("  ").trim_end();
        text += "\n";
    }
    text
}

/// An age in the largest unit of which there are two.
fn age(ms: i64) -> String {
    match ms {
        ..2_000 => format!("{ms} ms"),
        2_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests;

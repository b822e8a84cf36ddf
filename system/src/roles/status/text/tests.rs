//! The table as people see it.

use super::*;
use crate::roles::status::report::{
    ConsumerStatus, DeadLetters, EngineStock, IncarnationStatus, Outbox, Window,
};
use crate::store::{
    Allocated, ConsumerState, IncarnationState, LeaseState, OrderCounts, SaleState,
};
use engines::{Epoch, IncarnationId, SaleId};

fn state(id: i64, name: &str) -> SaleState {
    SaleState {
        product_id: SaleId(id),
        name: name.to_owned(),
        starts_at: 100,
        ends_at: 200,
        total: 10,
        wanted_total: None,
        paused: false,
        ended: false,
        newest_epoch: Epoch(2),
        open_epoch: Some(Epoch(2)),
        term: None,
    }
}

fn status(row: SaleState) -> SaleStatus {
    SaleStatus {
        window: Window::of(&row, 150_000),
        row,
        allocated: Allocated {
            granted: 7,
            sold: 3,
            live_units: 6,
        },
        engine: None,
        releases_left: 0,
        orders: None,
        leases: Vec::new(),
    }
}

fn report(sales: Vec<SaleStatus>) -> Report {
    Report {
        at_ms: 150_000,
        engine: "lua-single-key".to_owned(),
        not_asked: Vec::new(),
        sales,
        sales_not_shown: 0,
        incarnations: Vec::new(),
        consumers: Vec::new(),
        dead_letters: DeadLetters {
            open: 0,
            oldest_age_ms: None,
        },
        outbox: Outbox {
            releases_left: 0,
            oldest_release_age_ms: None,
            copies_left: 0,
        },
    }
}

#[test]
fn a_table_has_a_line_per_sale_and_process_and_says_what_was_not_asked() {
    let phone = SaleStatus {
        engine: Some(EngineStock {
            is_open: true,
            remaining: 4,
            open_units: 1,
        }),
        orders: Some(OrderCounts {
            to_pay: 2,
            paid: 3,
            cancelled: 1,
            ..OrderCounts::default()
        }),
        ..status(state(7, "phone"))
    };
    let lease = LeaseState {
        sale: SaleId(12),
        incarnation: IncarnationId(3),
        epoch: Epoch(2),
        granted: 5,
        sold: 1,
        idle: 4,
    };
    let shoes = SaleStatus {
        releases_left: 2,
        leases: vec![lease],
        ..status(SaleState {
            wanted_total: Some(12),
            paused: true,
            open_epoch: Some(Epoch(1)),
            ..state(12, "shoes of the year")
        })
    };
    let publisher = IncarnationStatus {
        row: IncarnationState {
            id: IncarnationId(3),
            worker_id: 0,
            address: "10.0.0.7:50053".to_owned(),
            label: String::new(),
            state: "live".to_owned(),
            generation: 2,
            acknowledged_generation: 2,
            queue: "q".to_owned(),
            beaten_at_ms: 0,
        },
        beat_age_ms: 420,
        waiting: Some(9),
    };
    let consumer = ConsumerStatus {
        row: ConsumerState {
            id: 5,
            kind: "create-consumer".to_owned(),
            queue: String::new(),
            beaten_at_ms: 0,
        },
        beat_age_ms: 130_000,
    };
    let report = Report {
        not_asked: vec!["broker: no answer within 3s".to_owned()],
        incarnations: vec![publisher],
        consumers: vec![consumer],
        sales_not_shown: 4,
        dead_letters: DeadLetters {
            open: 1,
            oldest_age_ms: Some(7_200_000),
        },
        ..report(vec![phone, shoes])
    };
    let expected = "\
engine lua-single-key
not asked: broker: no answer within 3s

sale  name               state   total  wanted  live  sold/granted  epoch       remaining  held  releases  to pay  paid  cancelled  expired
7     phone              on      10     -       6     3/7           2 open      4          1     0         2       3     1          0
12    shoes of the year  paused  10     12      6     3/7           2 not open  -          -     2
and 4 sales more

sale  leased to  epoch  sold/granted  idle
12    3          2      1/5           4

publisher  address         label  state  generation  last beat   waiting
3          10.0.0.7:50053         live   2           420 ms ago  9

consumer  role             last beat
5         create-consumer  2 min ago

dead letters open: 1, the oldest for 2 h
outbox: 0 releases left; 0 copies left
";
    let found = render(&report);
    assert_eq!(found, expected, "{found}");
}

#[test]
fn what_there_is_none_of_is_one_line() {
    let expected = "engine lua-single-key\n\nno sales\n\nno publishers\n\nno consumers\n\n\
                    dead letters open: 0\noutbox: 0 releases left; 0 copies left\n";
    assert_eq!(render(&report(Vec::new())), expected);
}

#[test]
fn a_sale_is_in_one_state_at_a_time() {
    let at = |row: &SaleState, now_ms| Window::of(row, now_ms).words();
    let row = state(1, "x");
    assert_eq!(at(&row, 99_999), "not started");
    assert_eq!(at(&row, 100_000), "on");
    assert_eq!(at(&row, 200_000), "over");
    let paused = SaleState {
        paused: true,
        ..row.clone()
    };
    assert_eq!(
        (at(&paused, 99_999), at(&paused, 200_000)),
        ("paused", "over")
    );
    let ended = SaleState {
        ended: true,
        ..paused
    };
    assert_eq!(at(&ended, 150_000), "ended");
}

//! The verdicts as a table.

use super::*;

const S: u64 = 1_000_000_000;

/// A second on two cores: how long they were idle in all, the busiest thread of each process, and
/// what is special about the case.
struct Case {
    what: &'static str,
    idle_share: f64,
    threads: &'static [(&'static str, f64)],
    change: fn(&mut LimitInputs<'_>),
    expected: (LimitBy, Option<&'static str>, Option<f64>),
}

impl Default for Case {
    fn default() -> Self {
        Self {
            what: "",
            idle_share: 0.5,
            threads: &[("driver", 0.4), ("seckill", 0.5), ("redis", 0.3)],
            change: |_| {},
            expected: (LimitBy::Nothing, None, None),
        }
    }
}

fn open(achieved_per_s: f64, lag_p99_ms: u64, in_flight_bound_met: bool) -> Option<OpenLoop> {
    Some(OpenLoop {
        offered_per_s: 1_000.0,
        achieved_per_s,
        lag_p99_ns: lag_p99_ms * 1_000_000,
        in_flight_bound_met,
    })
}

fn usage(threads: &[(&str, f64)]) -> UsageByProcess {
    let usage = |(name, share): &(&str, f64)| {
        let used = Usage {
            user_ns: (share * S as f64) as u64,
            busiest_thread: Some(BusiestThread {
                name: format!("{name}-0"),
                share: *share,
            }),
            ..Usage::default()
        };
        ((*name).to_owned(), used)
    };
    threads.iter().map(usage).collect()
}

fn check(case: &Case) {
    let usage = usage(case.threads);
    let noise = Noise {
        window_ns: S,
        idle_ns: (case.idle_share * 2.0 * S as f64) as u64,
        ..Noise::default()
    };
    let mut inputs = LimitInputs {
        cores: 2,
        system_cores: 2.0,
        sees: Sees::All,
        usage: &usage,
        noise: &noise,
        driver_threads: 1,
        open: None,
        confirms_share: None,
        workers_idle_share: None,
    };
    (case.change)(&mut inputs);
    let limit = limit(&inputs);
    let found = (limit.by.clone(), limit.process.as_deref(), limit.share);
    assert_eq!(found, case.expected, "{}: {limit:?}", case.what);
    assert_eq!(
        limit.thread,
        limit
            .process
            .filter(|_| limit.share.is_some())
            .map(|process| format!("{process}-0"))
    );
    let told = ["idle_share", "steal_share", "foreign_share", "driver_share"];
    assert!(told.iter().all(|name| limit.evidence.contains_key(*name)));
}

#[test]
fn a_closed_loop_is_limited_by_what_was_busiest() {
    let cases = [
        Case {
            what: "nothing near",
            ..Case::default()
        },
        Case {
            what: "one serving thread, half of the machine idle",
            idle_share: 0.3,
            threads: &[("driver", 0.6), ("seckill", 0.96)],
            expected: (LimitBy::Thread, Some("seckill"), Some(0.96)),
            ..Case::default()
        },
        Case {
            what: "a thread just below its limit is no ceiling",
            idle_share: 0.2,
            threads: &[("driver", 0.6), ("seckill", 0.89)],
            ..Case::default()
        },
        Case {
            what: "the busiest of two threads",
            idle_share: 0.06,
            threads: &[("driver", 0.1), ("mariadb", 0.91), ("redis", 0.93)],
            expected: (LimitBy::Thread, Some("redis"), Some(0.93)),
            ..Case::default()
        },
        Case {
            what: "both cores",
            idle_share: 0.0,
            threads: &[("driver", 0.5), ("seckill", 0.7)],
            expected: (LimitBy::AllCores, None, Some(1.0)),
            ..Case::default()
        },
        Case {
            what: "both cores busier than the thread",
            idle_share: 0.0,
            threads: &[("driver", 0.5), ("seckill", 0.95)],
            expected: (LimitBy::AllCores, None, Some(1.0)),
            ..Case::default()
        },
        Case {
            what: "the thread busier than both cores",
            idle_share: 0.05,
            threads: &[("driver", 0.5), ("seckill", 0.99)],
            expected: (LimitBy::Thread, Some("seckill"), Some(0.99)),
            ..Case::default()
        },
        Case {
            what: "a driver's thread comes before full cores",
            idle_share: 0.0,
            threads: &[("driver", 0.92), ("seckill", 0.98)],
            expected: (LimitBy::Driver, Some("driver"), Some(0.92)),
            ..Case::default()
        },
        Case {
            what: "workers that stand idle beside free cores",
            change: |inputs| inputs.workers_idle_share = Some(0.3),
            expected: (LimitBy::Driver, Some("driver"), Some(0.4)),
            ..Case::default()
        },
        Case {
            what: "the lab is not the system",
            threads: &[("driver", 0.1), ("lab", 0.95), ("redis", 0.1)],
            ..Case::default()
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn an_open_loop_is_limited_by_its_rate_or_by_what_kept_it_from_it() {
    let cases = [
        Case {
            what: "the rate was kept, however full the cores",
            idle_share: 0.0,
            change: |inputs| inputs.open = open(985.0, 0, false),
            expected: (LimitBy::OfferedRate, None, Some(0.985)),
            ..Case::default()
        },
        Case {
            what: "the rate was missed",
            change: |inputs| inputs.open = open(970.0, 0, false),
            ..Case::default()
        },
        Case {
            what: "the rate was missed because the cores were full",
            idle_share: 0.0,
            change: |inputs| inputs.open = open(700.0, 90, false),
            expected: (LimitBy::AllCores, None, Some(1.0)),
            ..Case::default()
        },
        Case {
            what: "the driver lags while cores are free",
            change: |inputs| inputs.open = open(700.0, 90, false),
            expected: (LimitBy::Driver, Some("driver"), Some(0.4)),
            ..Case::default()
        },
        Case {
            what: "sends that wait for replies are the system's doing",
            change: |inputs| inputs.open = open(700.0, 90, true),
            ..Case::default()
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn confirms_count_only_where_no_thread_explains_them() {
    let cases = [
        Case {
            what: "waited for confirms",
            change: |inputs| inputs.confirms_share = Some(0.93),
            expected: (LimitBy::Confirms, None, Some(0.93)),
            ..Case::default()
        },
        Case {
            what: "of a broker that was busy",
            threads: &[("driver", 0.1), ("rabbitmq", 0.97)],
            change: |inputs| inputs.confirms_share = Some(0.93),
            expected: (LimitBy::Thread, Some("rabbitmq"), Some(0.97)),
            ..Case::default()
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn what_was_not_seen_is_unknown_and_what_was_seen_still_counts() {
    let cases = [
        Case {
            what: "servers of somebody else",
            change: |inputs| inputs.sees = Sees::RolesOnly,
            expected: (LimitBy::Unknown, None, None),
            ..Case::default()
        },
        Case {
            what: "servers of somebody else, and a role at its limit",
            threads: &[("driver", 0.1), ("seckill", 0.95)],
            change: |inputs| inputs.sees = Sees::RolesOnly,
            expected: (LimitBy::Thread, Some("seckill"), Some(0.95)),
            ..Case::default()
        },
        Case {
            what: "no figures of the driver",
            threads: &[("seckill", 0.5)],
            expected: (LimitBy::Unknown, None, None),
            ..Case::default()
        },
        Case {
            what: "no figures of the system",
            threads: &[("driver", 0.5)],
            expected: (LimitBy::Unknown, None, None),
            ..Case::default()
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn cores_that_the_system_may_not_use_are_not_its_limit() {
    let case = Case {
        what: "one of two cores, and it is full",
        idle_share: 0.4,
        threads: &[("driver", 0.3), ("redis", 0.5), ("seckill", 0.5)],
        change: |inputs| inputs.system_cores = 1.0,
        expected: (LimitBy::AllCores, None, Some(1.0)),
    };
    check(&case);
    check(&Case {
        threads: &[("driver", 0.3), ("redis", 0.3), ("seckill", 0.5)],
        expected: (LimitBy::Nothing, None, None),
        ..case
    });
}

#[test]
fn a_window_shorter_than_the_ticks_can_tell_is_unknown() {
    let usage = usage(&[("driver", 0.1), ("redis", 0.2)]);
    let noise = Noise {
        window_ns: WINDOW_NS_MIN - 1,
        ..Noise::default()
    };
    let mut inputs = LimitInputs {
        cores: 2,
        system_cores: 2.0,
        sees: Sees::All,
        usage: &usage,
        noise: &noise,
        driver_threads: 0,
        open: None,
        confirms_share: None,
        workers_idle_share: None,
    };
    assert_eq!(limit(&inputs).by, LimitBy::Unknown);
    let nothing = Noise::default();
    inputs.noise = &nothing;
    assert_eq!(limit(&inputs).by, LimitBy::Unknown);
}

//! A breaker by a clock that the test turns.

use super::*;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

struct Tried {
    breaker: Arc<Breaker>,
    at_ms: Arc<AtomicU64>,
}

impl Tried {
    /// Opens at half of the answers of a second, for 100 ms.
    fn new() -> Self {
        let at_ms = Arc::new(AtomicU64::new(0));
        let (start, clock) = (Instant::now(), at_ms.clone());
        let config = BreakerConfig {
            failures_percent: 50,
            window_ms: 1_000,
            open_ms: 100,
        };
        let breaker = Breaker::new("a service", &config, move || {
            start + Duration::from_millis(clock.load(Ordering::Relaxed))
        });
        Self { breaker, at_ms }
    }

    fn wait_ms(&self, ms: u64) {
        self.at_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn call(&self) -> Call {
        self.breaker.call().expect("it goes through")
    }

    fn fail(&self, times: u32) {
        (0..times).for_each(|_| self.call().failed());
    }

    fn answer(&self, times: u32) {
        (0..times).for_each(|_| self.call().answered());
    }

    fn state(&self) -> State {
        self.breaker.state()
    }
}

#[test]
fn it_opens_at_a_share_of_failures_and_not_at_a_few() {
    let tried = Tried::new();
    tried.fail(9);
    assert_eq!(tried.state(), State::Closed, "nine say nothing");
    tried.answer(10);
    tried.fail(1);
    assert_eq!(tried.state(), State::Open, "ten of twenty");
    assert_eq!(
        tried.breaker.call().expect_err("open"),
        RetryAfter { seconds: 1 }
    );
}

#[test]
fn refusals_never_open_it_and_what_is_long_ago_does_not_count() {
    let tried = Tried::new();
    tried.answer(1_000);
    assert_eq!(tried.state(), State::Closed);
    let tried = Tried::new();
    tried.fail(9);
    tried.wait_ms(1_000);
    tried.fail(9);
    assert_eq!(tried.state(), State::Closed);
    tried.wait_ms(500);
    tried.fail(1);
    assert_eq!(tried.state(), State::Open, "ten within the window");
    let tried = Tried::new();
    tried.answer(100);
    tried.wait_ms(900);
    tried.fail(10);
    assert_eq!(tried.state(), State::Closed, "ten of 110");
    tried.wait_ms(100);
    tried.fail(1);
    assert_eq!(tried.state(), State::Open, "eleven of eleven");
}

#[test]
fn after_a_pause_one_tries_and_its_answer_decides() {
    let tried = Tried::new();
    tried.fail(10);
    tried.wait_ms(99);
    assert!(tried.breaker.call().is_err());
    tried.wait_ms(1);
    let probe = tried.call();
    assert_eq!(tried.state(), State::HalfOpen);
    assert!(tried.breaker.call().is_err());
    probe.failed();
    assert_eq!(tried.state(), State::Open);
    assert!(tried.breaker.call().is_err(), "another pause");
    tried.wait_ms(100);
    tried.call().answered();
    assert_eq!(tried.state(), State::Closed);
    tried.fail(9);
    assert_eq!(tried.state(), State::Closed, "what was before is forgotten");
}

#[test]
fn a_try_that_is_given_up_leaves_it_to_the_next_one() {
    let tried = Tried::new();
    tried.fail(10);
    tried.wait_ms(100);
    drop(tried.call());
    assert_eq!(tried.state(), State::Open);
    tried.call().answered();
    assert_eq!(tried.state(), State::Closed);
    (0..100).for_each(|_| drop(tried.call()));
    assert_eq!(tried.state(), State::Closed, "nobody knows how these went");
}

#[test]
fn what_was_asked_before_it_opened_decides_nothing_later() {
    let tried = Tried::new();
    let (good, bad) = (tried.call(), tried.call());
    tried.fail(10);
    tried.wait_ms(100);
    let probe = tried.call();
    good.answered();
    assert_eq!(tried.state(), State::HalfOpen);
    probe.answered();
    bad.failed();
    tried.fail(9);
    assert_eq!(tried.state(), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tasks_at_once_one_tries() {
    let tried = Tried::new();
    tried.fail(10);
    for _ in 0..20 {
        tried.wait_ms(100);
        let through = Arc::new(AtomicUsize::new(0));
        let start = Arc::new(tokio::sync::Barrier::new(100));
        let tasks = (0..100).map(|_| {
            let (breaker, through) = (tried.breaker.clone(), through.clone());
            let start = start.clone();
            tokio::spawn(async move {
                start.wait().await;
                let call = breaker.call().ok()?;
                through.fetch_add(1, Ordering::Relaxed);
                Some(call)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut probes = Vec::new();
        for task in tasks {
            probes.extend(task.await.expect("no panic"));
        }
        assert_eq!((through.load(Ordering::Relaxed), probes.len()), (1, 1));
        probes.pop().expect("one").failed();
    }
}

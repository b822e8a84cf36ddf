//! Whoever asks, without a database: the tests take the looks.

use super::*;
use futures_util::future::join_all;
use futures_util::{FutureExt, pin_mut, poll};
use std::task::Poll;

const LONG: Duration = Duration::from_secs(3_600);

fn looks(age_max: Duration) -> Looks<i64, &'static str> {
    Looks::new(1 << 20, age_max, |_| 0)
}

fn found(keys: &[i64]) -> Result<HashMap<i64, &'static str>, String> {
    Ok(keys.iter().map(|key| (*key, "it")).collect())
}

/// Takes the look that is due, and says which of its keys are there.
fn look(looks: &Looks<i64, &'static str>, there: &[i64]) -> Vec<i64> {
    let look = looks.next().expect("somebody waits");
    let keys = look.keys.clone();
    looks.done(look, found(there));
    keys
}

async fn value(looks: &Looks<i64, &'static str>, key: i64) -> Option<&'static str> {
    looks.get(key).await.expect("an answer").value
}

#[tokio::test]
async fn two_hundred_who_ask_for_the_same_cost_one_look_also_those_who_ask_during_it() {
    let looks = looks(LONG);
    let early = join_all((0..100).map(|_| looks.get(7)));
    let late = join_all((0..100).map(|_| looks.get(7)));
    pin_mut!(early, late);
    assert!(poll!(&mut early).is_pending());
    let taken = looks.next().expect("somebody waits");
    assert!(poll!(&mut late).is_pending());
    assert_eq!(taken.keys, [7]);
    assert!(looks.next().is_none(), "it is under way");
    looks.done(taken, found(&[7]));
    for answers in [early.await, late.await] {
        assert_eq!(answers.len(), 100);
        assert!(
            answers
                .iter()
                .all(|it| it.as_ref().unwrap().value == Some("it"))
        );
    }
    assert_eq!(value(&looks, 7).await, Some("it"));
    assert!(looks.next().is_none());
}

#[tokio::test]
async fn what_is_not_there_is_known_too_and_one_look_is_for_everything_that_is_asked_for() {
    let looks = looks(LONG);
    let asking = join_all((1..=50).map(|key| looks.get(key)));
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    looks.wanted().await;
    let keys: Vec<i64> = (1..=50).collect();
    assert_eq!(look(&looks, &[3]), keys);
    let answers = asking.await;
    let values = answers.iter().map(|it| it.as_ref().unwrap().value);
    assert_eq!(values.flatten().count(), 1);
    for key in keys {
        assert_eq!(value(&looks, key).await.is_some(), key == 3);
    }
    assert!(looks.next().is_none());
}

#[tokio::test]
async fn what_is_old_or_no_longer_trusted_or_forgotten_is_looked_at_again() {
    let looks = looks(LONG);
    let again = async |looks: &Looks<i64, &'static str>| {
        let asking = looks.get(1);
        pin_mut!(asking);
        match poll!(&mut asking) {
            Poll::Ready(_) => false,
            Poll::Pending => {
                assert_eq!(look(looks, &[1]), [1]);
                asking.await.is_ok()
            }
        }
    };
    assert!(again(&looks).await);
    assert!(!again(&looks).await);
    looks.trust_until(Instant::now() + LONG);
    assert!(!again(&looks).await);
    looks.trust_until(Instant::now());
    assert!(again(&looks).await && again(&looks).await);
    looks.trust_until(Instant::now() + LONG);
    assert!(!again(&looks).await);
    looks.forget(1, |seen| seen.value.is_none());
    assert!(!again(&looks).await);
    looks.forget(1, |seen| seen.value.is_some());
    assert!(again(&looks).await);
    let ageing = self::looks(Duration::ZERO);
    assert!(again(&ageing).await && again(&ageing).await);
}

#[tokio::test]
async fn while_the_database_is_away_what_was_known_last_is_told_with_its_time() {
    let looks = looks(Duration::ZERO);
    let asking = looks.get(1);
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    look(&looks, &[1]);
    let before = asking.await.expect("there");
    let asking = join_all([looks.get(1), looks.get(2)]);
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    let taken = looks.next().expect("somebody waits");
    looks.done(taken, Err("gone".to_owned()));
    let answers = asking.await;
    assert_eq!(answers[0], Ok(before));
    assert_eq!(answers[1], Err(Unseen::Away("gone".to_owned())));
}

#[tokio::test]
async fn a_look_from_before_everything_was_forgotten_is_taken_again() {
    let looks = looks(LONG);
    let asking = looks.get(1);
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    let taken = looks.next().expect("somebody waits");
    looks.forget_all();
    looks.done(taken, found(&[]));
    assert!(poll!(&mut asking).is_pending());
    assert_eq!(look(&looks, &[1]), [1]);
    assert_eq!(asking.await.expect("there").value, Some("it"));
}

#[tokio::test]
async fn so_many_wait_and_no_more_and_so_much_is_remembered_and_no_more() {
    let looks = looks(LONG);
    let most = i64::try_from(WAITING_MAX).expect("few");
    let asking = join_all((0..most).map(|key| looks.get(key)));
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    assert_eq!(looks.get(most).now_or_never(), Some(Err(Unseen::Crowded)));
    let mut taken = 0;
    while let Some(next) = looks.next() {
        assert!(next.keys.len() <= KEYS_MAX);
        taken += next.keys.len();
        looks.done(next, found(&[]));
    }
    assert_eq!(taken, WAITING_MAX);
    assert!(asking.await.iter().all(Result::is_ok));
    let state = looks.state();
    assert!(state.waiting.is_empty() && state.askers == 0);
    // 1 MiB holds no more than 8,192 of them.
    assert!(state.seen.len() <= 8_192, "{}", state.seen.len());
}

#[tokio::test]
async fn questions_are_counted_by_how_they_were_met_and_so_is_what_is_forgotten() {
    let looks = looks(LONG);
    let metrics = Metrics::default();
    looks.observe(&metrics, "things");
    let asking = join_all([looks.get(1), looks.get(1), looks.get(1), looks.get(2)]);
    pin_mut!(asking);
    assert!(poll!(&mut asking).is_pending());
    look(&looks, &[1]);
    asking.await;
    for (key, times) in [(1, 5), (2, 3)] {
        for _ in 0..times {
            value(&looks, key).await;
        }
    }
    let told = |line: &str| {
        let text = metrics.text();
        assert!(text.lines().any(|told| told == line), "{line}: {text}");
    };
    told("seckill_product_cache_entries{kind=\"things\"} 2.0");
    looks.forget(1, |_| false);
    looks.forget(1, |_| true);
    told("seckill_product_cache_forgotten_total{kind=\"things\"} 1");
    looks.forget_all();
    for (result, count) in [
        ("hit", 5),
        ("absent", 3),
        ("missed", 2),
        ("joined", 2),
        ("turned_away", 0),
    ] {
        let labels = format!("kind=\"things\",result=\"{result}\"");
        told(&format!("seckill_product_reads_total{{{labels}}} {count}"));
    }
    told("seckill_product_cache_entries{kind=\"things\"} 0.0");
    told("seckill_product_cache_forgotten_total{kind=\"things\"} 2");
}

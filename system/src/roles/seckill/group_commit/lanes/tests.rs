//! Lanes over a broker whose every answer is given by the test.

use super::*;
use crate::supervisor::Ends;
use async_trait::async_trait;
use std::future::ready;
use tokio::sync::{oneshot, watch};

/// Short; a lane is in doubt after a quarter of it.
const PUBLISH_TIMEOUT_MS: u64 = 200;
/// Longer than it takes to be in doubt.
const A_WHILE: Duration = Duration::from_millis(PUBLISH_TIMEOUT_MS);
/// Longest wait for what must happen.
const LIMIT: Duration = Duration::from_secs(30);

type Answer = oneshot::Sender<PublishOutcome>;

/// Hands every marker to the test, which says what becomes of it.
#[derive(Debug)]
struct Broker {
    connection: AtomicU64,
    markers: mpsc::UnboundedSender<Answer>,
}

#[async_trait]
impl Publisher for Broker {
    async fn publish(
        &self,
        _: IncarnationId,
        _: Generation,
        _: Vec<u8>,
        _: Option<String>,
    ) -> PublishOutcome {
        unreachable!("the tests publish by themselves")
    }

    async fn probe(&self, _: IncarnationId, _: Generation) -> PublishOutcome {
        let (answer, outcome) = oneshot::channel();
        self.markers.send(answer).expect("the test goes on");
        outcome.await.expect("the test answers")
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn connection(&self) -> u64 {
        self.connection.load(Ordering::Relaxed)
    }
}

struct Fixture {
    broker: Arc<Broker>,
    markers: mpsc::UnboundedReceiver<Answer>,
    in_doubt: Arc<AtomicUsize>,
    /// How often a marker told that nothing leads to the queue any more.
    lost_routes: Arc<AtomicUsize>,
    lanes: Lanes,
    /// What the role is told.
    ends: Ends,
    _stop: watch::Sender<bool>,
}

impl Fixture {
    fn new(count: usize) -> Self {
        let (sender, markers) = mpsc::unbounded_channel();
        let broker = Arc::new(Broker {
            connection: AtomicU64::new(0),
            markers: sender,
        });
        let in_doubt = Arc::<AtomicUsize>::default();
        let identity = || Some((IncarnationId(1), Generation::FIRST));
        let lost_routes = Arc::<AtomicUsize>::default();
        let counter = lost_routes.clone();
        let (supervisor, ends) = Supervisor::new();
        let (stop, asked) = Shutdown::channel();
        let lanes = Lanes::start(
            count,
            broker.clone(),
            PUBLISH_TIMEOUT_MS,
            in_doubt.clone(),
            identity,
            move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
            },
            (&supervisor, &asked),
        );
        Self {
            ends,
            _stop: stop,
            broker,
            markers,
            in_doubt,
            lost_routes,
            lanes,
        }
    }

    async fn turn(&self) -> Turn {
        let turn = tokio::time::timeout(LIMIT, self.lanes.turn()).await;
        turn.expect("a turn")
    }

    async fn lane(&self) -> Lane {
        match self.turn().await {
            Turn::Sell(lane) => lane,
            ask => panic!("a lane was expected, not {ask:?}"),
        }
    }

    /// Waits until a batch gets a lane again.
    async fn until_a_lane_is_back(&self) -> Lane {
        let waiting = async {
            loop {
                if let Turn::Sell(lane) = self.lanes.turn().await {
                    return lane;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("a lane")
    }

    async fn marker(&mut self) -> Answer {
        let marker = tokio::time::timeout(LIMIT, self.markers.recv()).await;
        marker.expect("a marker").expect("the broker is there")
    }

    async fn is_stalled(&self) -> bool {
        matches!(self.turn().await, Turn::Ask { .. })
    }
}

/// A publish that is resolved when the sender says so.
fn publish(lane: Lane) -> (Answer, tokio::task::JoinHandle<(PublishOutcome, Lane)>) {
    let (answer, outcome) = oneshot::channel();
    let publishing = lane.carry(async { outcome.await.expect("resolved") });
    (answer, tokio::spawn(publishing))
}

#[tokio::test]
async fn a_lane_stays_taken_until_its_publish_is_resolved_and_without_one_nothing_may_be_sold() {
    let fixture = Fixture::new(2);
    let (first, given_up) = publish(fixture.lane().await);
    let (_second, _other) = publish(fixture.lane().await);
    // Its batch answers "unknown" and goes away.
    drop(given_up);
    assert!(fixture.is_stalled().await);
    assert_eq!(fixture.in_doubt.load(Ordering::Relaxed), 2);
    let ask = fixture.turn().await;
    assert!(matches!(fixture.lanes.renewed(ask).await, Turn::Ask { .. }));
    let ask = fixture.turn().await;
    first.send(PublishOutcome::Accepted).expect("it waits");
    let lane = fixture.until_a_lane_is_back().await;
    assert_eq!(fixture.in_doubt.load(Ordering::Relaxed), 1);
    drop(lane);
    assert!(matches!(fixture.lanes.renewed(ask).await, Turn::Sell(_)));
}

#[tokio::test]
async fn a_batch_that_is_still_reserving_does_not_make_the_broker_look_stalled() {
    let fixture = Fixture::new(1);
    let reserving = fixture.lane().await;
    let waiting = tokio::time::timeout(A_WHILE, fixture.lanes.turn()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    drop(reserving);
    fixture.lane().await;
}

#[tokio::test]
async fn a_lane_whose_publish_was_not_confirmed_comes_back_when_a_marker_was() {
    for outcome in [
        PublishOutcome::Rejected,
        PublishOutcome::NotSent,
        PublishOutcome::Unknown,
    ] {
        let mut fixture = Fixture::new(1);
        let (told, lane) = fixture.lane().await.carry(ready(outcome)).await;
        assert_eq!(told, outcome);
        drop(lane);
        assert!(fixture.is_stalled().await, "{outcome:?}");
        let refused = fixture.marker().await;
        refused.send(PublishOutcome::Rejected).expect("it waits");
        let taken = fixture.marker().await;
        assert!(fixture.is_stalled().await, "a marker was refused");
        taken.send(PublishOutcome::Accepted).expect("it waits");
        fixture.until_a_lane_is_back().await;
        assert_eq!(fixture.in_doubt.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_new_connection_carries_a_marker_before_it_carries_orders() {
    let mut fixture = Fixture::new(1);
    let turn = fixture.turn().await;
    fixture.broker.connection.store(1, Ordering::Relaxed);
    // Also a batch that had a lane of the old connection waits for the marker.
    assert!(matches!(
        fixture.lanes.renewed(turn).await,
        Turn::Ask { .. }
    ));
    let marker = fixture.marker().await;
    assert!(fixture.is_stalled().await);
    marker.send(PublishOutcome::Accepted).expect("it waits");
    fixture.until_a_lane_is_back().await;
}

/// A broker that comes back without its queues: no order is sent that could find it out.
#[tokio::test]
async fn a_marker_that_comes_back_tells_that_the_route_is_lost() {
    let mut fixture = Fixture::new(1);
    let (_, lane) = fixture
        .lane()
        .await
        .carry(ready(PublishOutcome::Unknown))
        .await;
    drop(lane);
    let marker = fixture.marker().await;
    assert_eq!(fixture.lost_routes.load(Ordering::Relaxed), 0);
    marker.send(PublishOutcome::Unroutable).expect("it waits");
    let marker = fixture.marker().await;
    assert_eq!(fixture.lost_routes.load(Ordering::Relaxed), 1);
    marker.send(PublishOutcome::Accepted).expect("it waits");
    fixture.until_a_lane_is_back().await;
}

/// Lanes that are withheld would never come back, and nobody would hear why nothing is sold.
#[tokio::test]
async fn the_role_ends_when_nobody_proves_lanes_any_more() {
    let mut fixture = Fixture::new(1);
    let lane = fixture.lane().await;
    drop(lane.carry(ready(PublishOutcome::Rejected)).await);
    // Whoever waits for this answer panics.
    let answer = fixture.markers.recv().await;
    drop(answer.expect("a marker"));
    let told = tokio::time::timeout(LIMIT, fixture.ends.first()).await;
    let told = told.expect("the role hears of it").to_string();
    let words = "the proving of lanes failed: it panicked: the test answers";
    assert!(told.starts_with(words), "{told}");
}

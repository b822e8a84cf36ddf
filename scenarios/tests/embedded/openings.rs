//! The opening of an epoch on the embedded stack, at each of its steps: the process dies there while the
//! time to pay of an order ends. As on servers, the order ends in one state, its units are in the
//! newest epoch once, and its buyer can buy again (release-by-epoch, R12; cancel-moves-the-right, R15).

use crate::EmbeddedWorld;
use crate::cancels::{EPOCH_IS_WANTED, LEFT};
use crate::inspect;
use crate::sale::PRODUCT;
use crate::wait::until;

/// The steps of an opening, in their order.
const OPENING: [&str; 3] = [
    "reconciler.after_claim",
    "reconciler.after_grant",
    "reconciler.after_engine_open",
];
/// Which visit of its step stops an opening.
const VISIT: u32 = 4;
const TIME_TO_PAY_S: i64 = 1;

/// Wants one epoch after the other until `reached` is true: so many that the first ones, with which a
/// process starts, are not the one in question.
async fn wants_epochs(world: &EmbeddedWorld, step: &str, reached: impl AsyncFn() -> bool) {
    let is_open = "SELECT open_epoch = newest_epoch AND wanted_total IS NULL FROM sales";
    until(step, async || {
        if reached().await {
            return Ok(());
        }
        if world.number(is_open).await == 1 {
            world.sql(EPOCH_IS_WANTED).await;
        }
        Err("not reached".to_owned())
    })
    .await;
}

/// The process dies at `step`, and the next one expires the order and opens the sale.
async fn opening_dies_at(world: &mut EmbeddedWorld, step: &str, user: i64) {
    // Nothing expires yet.
    let time_to_pay_s = world.time_to_pay_s.replace(900);
    let mut dying = world.all(Some(&format!("{step}:{VISIT}"))).await;
    let order = world.buys(&dying, user).await;
    let admin = dying.admin().expect("it listens");
    wants_epochs(world, step, async || {
        inspect::stock(admin, PRODUCT).await.is_err()
    })
    .await;
    dying.kill().await.expect("reaped");
    world.time_to_pay_s = time_to_pay_s;
    let mut all = world.all(None).await;
    let expired = format!(
        "SELECT COUNT(*) FROM orders WHERE order_id = {order} AND status = 2 AND live IS NULL AND expired = 1"
    );
    world.until_number(&expired, 1).await;
    world.until_number(LEFT, 0).await;
    let listed = format!("SELECT COUNT(*) FROM releases WHERE orders LIKE '%[{order},%'");
    assert_eq!(world.number(&listed).await, 1, "{step}");
    until("the buyer can buy again", async || {
        match world.buys(&all, user).await {
            same if same == order => Err("the order before".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    all.stop().await.expect("stopped in order");
}

async fn expires_behind_openings(engine: &'static str) {
    if !cfg!(debug_assertions) {
        return eprintln!("ignored: failpoints are in debug builds only");
    }
    let mut world = EmbeddedWorld::new(engine).await;
    world.time_to_pay_s = Some(TIME_TO_PAY_S);
    for (step, user) in OPENING.into_iter().zip(1..) {
        opening_dies_at(&mut world, step, user).await;
    }
    world.audit().await;
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn preallocated_expires_an_order_whichever_step_of_an_opening_the_process_dies_at_on_a_file()
{
    expires_behind_openings("preallocated?block=500").await;
}

#[tokio::test]
async fn database_row_expires_an_order_whichever_step_of_an_opening_the_process_dies_at_on_a_file()
{
    expires_behind_openings("database-row").await;
}

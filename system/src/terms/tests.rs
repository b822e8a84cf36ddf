//! The reading of sales: one role of a process does it for all, and of two reads the first to end
//! is not undone by the second.

use super::*;
use crate::store::SeedSale;
use crate::store::tests::migrated;

/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST: SaleId = SaleId(1);

fn seed(product_id: SaleId) -> SeedSale {
    SeedSale {
        product_id,
        name: "shoes".to_owned(),
        price_cents: 100,
        total: 10,
        starts_at: 0,
        ends_at: 4_102_444_800,
    }
}

async fn until(terms: &Terms, sale: SaleId) {
    let waiting = async {
        let mut seen = terms.receiver.clone();
        let seen = seen.wait_for(|sales| sales.contains_key(&sale)).await;
        seen.expect("it is told").len()
    };
    let told = tokio::time::timeout(PATIENCE, waiting).await;
    told.unwrap_or_else(|_| panic!("sale {sale} stays unseen"));
}

#[tokio::test]
async fn what_one_role_has_read_the_others_know_and_whoever_is_left_reads_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}", folder.path().join("a.db").display());
    let store = migrated(&url).await;
    let common = CommonSales::default();
    let mut roles = Vec::new();
    for _ in 0..2 {
        let (stop, stopped) = Shutdown::channel();
        let terms = Terms::start(store.clone(), common.clone(), stopped).await;
        roles.push((stop, terms.expect("readable")));
    }
    store.create_sale(&seed(FIRST), 0).await.expect("made");
    for (_, terms) in &roles {
        until(terms, FIRST).await;
    }
    let [(stop, first), (_stay, second)] = &roles[..] else {
        unreachable!("there are two");
    };
    stop.send_replace(true);
    first.ended().await;
    let later = SaleId(2);
    store.create_sale(&seed(later), 0).await.expect("made");
    until(second, later).await;
    assert!(first.sale(later).is_some(), "others have read it");
}

#[test]
fn of_two_reads_at_the_same_time_only_the_first_to_end_is_said() {
    let common = CommonSales::default();
    let known = |common: &CommonSales| Arc::as_ptr(&common.0.sender.borrow());
    let (older, newer) = (Instant::now(), Instant::now());
    assert!(!common.is_younger_than(PATIENCE), "nothing was read");
    assert!(common.say(newer, Sales::default()));
    assert!(common.is_younger_than(PATIENCE));
    assert!(!common.is_younger_than(Duration::ZERO));
    let before = known(&common);
    // It began before, or after, but not behind the end of the one that was said.
    assert!(!common.say(older, Sales::default()));
    assert!(!common.say(newer, Sales::default()));
    assert_eq!(known(&common), before);
    assert!(common.say(Instant::now(), Sales::default()));
}

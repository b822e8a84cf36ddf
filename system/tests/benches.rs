//! What instructions are counted of must run, and still give right answers, where nothing counts.

#[path = "../benches/support/requests.rs"]
mod requests;

const BATCH: usize = requests::BATCH as usize;

#[test]
fn every_buyer_of_a_batch_without_sockets_is_told_yes() {
    for engine in ["null", "preallocated?block=100000"] {
        let answered = requests::answer(requests::ready(engine));
        assert_eq!(requests::accepted(&answered), BATCH, "{engine}");
    }
}

#[test]
fn ids_and_order_batches_are_whole() {
    assert_eq!(requests::mint(&requests::minter(())), BATCH);
    assert_eq!(requests::read(&requests::encoded(())), BATCH);
}

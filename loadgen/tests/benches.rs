//! What instructions are counted of must run, and still give right answers, where nothing counts.

#[path = "../benches/support/driver.rs"]
#[allow(dead_code)]
mod driver;

use driver::BATCH;

#[test]
fn every_request_is_sent_and_every_reply_is_read() {
    let sent = driver::sent(());
    assert_eq!(sent.session.open(), BATCH);
    assert_eq!(driver::answered(&driver::receive(sent)), BATCH);
}

#[test]
fn what_is_logged_is_read_back() {
    assert_eq!(driver::read_log(&driver::logged(())), BATCH);
}

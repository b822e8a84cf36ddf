-- `expired`: the order was cancelled because it was not paid in time.
ALTER TABLE orders ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;

-- When it registered, by the database's clock: it has minted no order id long before.
ALTER TABLE incarnations ADD COLUMN registered_at_ms INTEGER NOT NULL DEFAULT 0;

-- `paused`: nothing is sold, whatever the window says.
ALTER TABLE sales ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;

-- Old markers are looked for by their time.
CREATE INDEX markers_by_time ON markers (committed_at_ms);

-- When a copy was written, unix ms; of a release 0.
ALTER TABLE outbox ADD COLUMN written_at_ms INTEGER NOT NULL DEFAULT 0;

-- What is left to be done stands first in each.
DROP INDEX outbox_by_published;
CREATE INDEX outbox_by_released ON outbox (kind, released_at_ms, product_id, id);
CREATE INDEX outbox_by_published ON outbox (kind, published_at_ms, id);

-- `resolution`: how the record was resolved, in words.
ALTER TABLE parked ADD COLUMN seen_at_ms INTEGER NOT NULL DEFAULT 0; -- the last time
ALTER TABLE parked ADD COLUMN resolved_at_ms INTEGER NULL;
ALTER TABLE parked ADD COLUMN resolution TEXT NOT NULL DEFAULT '';

-- How far the reconciler has gone through the orders: up to this id every order has been looked at that was there.
CREATE TABLE sweeps (
    name     TEXT    NOT NULL PRIMARY KEY,
    order_id INTEGER NOT NULL
) STRICT;
INSERT INTO sweeps (name, order_id) VALUES ('expiry', 0);

-- What administrators asked of the total of a sale, by the key that makes a repeat harmless. `wanted_total` is what it was
-- to become, `applied_total` what it became with the next epoch: no less than what live orders hold.
CREATE TABLE stock_changes (
    idempotency_key TEXT    NOT NULL PRIMARY KEY,
    product_id      INTEGER NOT NULL,
    delta           INTEGER NOT NULL,
    wanted_total    INTEGER NOT NULL,
    applied_total   INTEGER NULL,
    created_at_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX stock_changes_left ON stock_changes (product_id, applied_total);

-- Orders that administrators made for others, by the key that makes a repeat harmless. `order_id` is 0 until it is known.
CREATE TABLE made_orders (
    idempotency_key TEXT    NOT NULL PRIMARY KEY,
    user_id         INTEGER NOT NULL,
    product_id      INTEGER NOT NULL,
    quantity        INTEGER NOT NULL,
    order_id        INTEGER NOT NULL DEFAULT 0,
    created_at_ms   INTEGER NOT NULL
) STRICT;

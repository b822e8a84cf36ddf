-- `expired`: the order was cancelled because it was not paid in time.
ALTER TABLE orders ADD COLUMN expired TINYINT NOT NULL DEFAULT 0;

-- When it registered, by the database's clock: it has minted no order id long before.
ALTER TABLE incarnations ADD COLUMN registered_at_ms BIGINT NOT NULL DEFAULT 0;

-- `paused`: nothing is sold, whatever the window says.
ALTER TABLE sales ADD COLUMN paused TINYINT NOT NULL DEFAULT 0;

-- Old markers are looked for by their time.
ALTER TABLE markers ADD KEY markers_by_time (committed_at_ms);

-- When a copy was written, unix ms; of a release 0.
ALTER TABLE outbox ADD COLUMN written_at_ms BIGINT NOT NULL DEFAULT 0;

-- What is left to be done stands first in each.
ALTER TABLE outbox
    DROP KEY outbox_by_published,
    ADD KEY outbox_by_released (kind, released_at_ms, product_id, id),
    ADD KEY outbox_by_published (kind, published_at_ms, id);

-- `resolution`: how the record was resolved, in words.
ALTER TABLE parked
    ADD COLUMN seen_at_ms BIGINT NOT NULL DEFAULT 0, -- the last time
    ADD COLUMN resolved_at_ms BIGINT NULL,
    ADD COLUMN resolution VARCHAR(512) NOT NULL DEFAULT '';

-- How far the reconciler has gone through the orders: up to this id every order has been looked at that was there.
CREATE TABLE sweeps (
    name     VARCHAR(32) NOT NULL,
    order_id BIGINT      NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
INSERT INTO sweeps (name, order_id) VALUES ('expiry', 0);

-- What administrators asked of the total of a sale, by the key that makes a repeat harmless. `wanted_total` is what it was
-- to become, `applied_total` what it became with the next epoch: no less than what live orders hold.
CREATE TABLE stock_changes (
    idempotency_key VARCHAR(128) NOT NULL,
    product_id      BIGINT       NOT NULL,
    delta           BIGINT       NOT NULL,
    wanted_total    BIGINT       NOT NULL,
    applied_total   BIGINT       NULL,
    created_at_ms   BIGINT       NOT NULL,
    PRIMARY KEY (idempotency_key),
    KEY stock_changes_left (product_id, applied_total)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Orders that administrators made for others, by the key that makes a repeat harmless. `order_id` is 0 until it is known.
CREATE TABLE made_orders (
    idempotency_key VARCHAR(128) NOT NULL,
    user_id         BIGINT       NOT NULL,
    product_id      BIGINT       NOT NULL,
    quantity        INT          NOT NULL,
    order_id        BIGINT       NOT NULL DEFAULT 0,
    created_at_ms   BIGINT       NOT NULL,
    PRIMARY KEY (idempotency_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- status: 0 to pay, 1 paid, 2 cancelled, 3 completed, 4 void. `live` is 1 while the order blocks another purchase
-- and NULL for cancelled and void rows, so that the unique key ignores those.
CREATE TABLE orders (
    order_id          BIGINT  NOT NULL,
    user_id           BIGINT  NOT NULL,
    product_id        BIGINT  NOT NULL,
    quantity          INT     NOT NULL,
    total_price_cents BIGINT  NOT NULL,
    allocation_id     BIGINT  NOT NULL,
    status            TINYINT NOT NULL,
    live              TINYINT NULL,
    created_at_ms     BIGINT  NOT NULL,
    updated_at_ms     BIGINT  NOT NULL,
    PRIMARY KEY (order_id),
    UNIQUE KEY orders_one_live_per_buyer (product_id, live, user_id),
    CONSTRAINT orders_quantity_positive CHECK (quantity > 0),
    CONSTRAINT orders_live_matches_status CHECK ((live IS NULL) = (status IN (2, 4)))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Messages and orders that could not become rows, with the reason; nothing is ever dropped silently. `kind`: the type
-- of the message as it came, or `order` for one that was taken out of its message. `digest`: of the whole body, 64-bit
-- FNV-1a in hex digits. `count`: how often it was seen.
CREATE TABLE parked (
    id            BIGINT        NOT NULL AUTO_INCREMENT,
    incarnation   BIGINT        NOT NULL,
    message_id    VARCHAR(64)   NOT NULL,
    order_id      BIGINT        NOT NULL DEFAULT 0, -- 0: the whole message
    kind          VARCHAR(64)   NOT NULL DEFAULT '',
    reason        VARCHAR(512)  NOT NULL,
    body          MEDIUMBLOB    NOT NULL,
    digest        CHAR(16)      NOT NULL DEFAULT '',
    count         BIGINT        NOT NULL DEFAULT 1,
    resolved      TINYINT       NOT NULL DEFAULT 0,
    created_at_ms BIGINT        NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY parked_once (incarnation, message_id, order_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

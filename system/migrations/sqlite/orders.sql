-- status: 0 to pay, 1 paid, 2 cancelled, 3 completed, 4 void. `live` is 1 while the order blocks another purchase
-- and NULL for cancelled and void rows, so that the unique key ignores those.
CREATE TABLE orders (
    order_id          INTEGER NOT NULL PRIMARY KEY,
    user_id           INTEGER NOT NULL,
    product_id        INTEGER NOT NULL,
    quantity          INTEGER NOT NULL,
    total_price_cents INTEGER NOT NULL,
    allocation_id     INTEGER NOT NULL,
    status            INTEGER NOT NULL,
    live              INTEGER NULL,
    created_at_ms     INTEGER NOT NULL,
    updated_at_ms     INTEGER NOT NULL,
    CONSTRAINT orders_one_live_per_buyer UNIQUE (product_id, live, user_id),
    CONSTRAINT orders_quantity_positive CHECK (quantity > 0),
    CONSTRAINT orders_live_matches_status CHECK ((live IS NULL) = (status IN (2, 4)))
) STRICT;

-- Messages and orders that could not become rows, with the reason; nothing is ever dropped silently. `kind`: the type
-- of the message as it came, or `order` for one that was taken out of its message. `digest`: of the whole body, 64-bit
-- FNV-1a in hex digits. `count`: how often it was seen.
CREATE TABLE parked (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    incarnation   INTEGER NOT NULL,
    message_id    TEXT    NOT NULL,
    order_id      INTEGER NOT NULL DEFAULT 0, -- 0: the whole message
    kind          TEXT    NOT NULL DEFAULT '',
    reason        TEXT    NOT NULL,
    body          BLOB    NOT NULL,
    digest        TEXT    NOT NULL DEFAULT '',
    count         INTEGER NOT NULL DEFAULT 1,
    resolved      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    CONSTRAINT parked_once UNIQUE (incarnation, message_id, order_id)
) STRICT;

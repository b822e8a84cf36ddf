CREATE TABLE products (
    id                 INTEGER NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    price_cents        INTEGER NOT NULL,
    image_url          TEXT    NOT NULL DEFAULT '',
    sale_starts_at     INTEGER NOT NULL,
    sale_ends_at       INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CONSTRAINT products_price_not_negative CHECK (price_cents >= 0),
    CONSTRAINT products_window_in_order CHECK (sale_starts_at < sale_ends_at)
) STRICT;

-- One row per sale. "Epoch e is open" is `open_epoch = e`, set by a conditional update while `newest_epoch = e`;
-- processes learn terms from this row alone.
CREATE TABLE sales (
    product_id    INTEGER NOT NULL PRIMARY KEY,
    total         INTEGER NOT NULL,
    wanted_total  INTEGER NULL, -- what the total is to become; NULL: it stays
    newest_epoch  INTEGER NOT NULL DEFAULT 0,
    open_epoch    INTEGER NULL,
    nonce         INTEGER NULL,
    allocation_id INTEGER NULL,
    CONSTRAINT sales_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT sales_total_not_negative CHECK (total >= 0)
) STRICT;

CREATE TABLE products (
    id                 BIGINT       NOT NULL AUTO_INCREMENT,
    name               VARCHAR(128) NOT NULL,
    description        TEXT         NOT NULL,
    price_cents        BIGINT       NOT NULL,
    image_url          VARCHAR(512) NOT NULL DEFAULT '',
    sale_starts_at     BIGINT       NOT NULL,
    sale_ends_at       BIGINT       NOT NULL,
    created_at         BIGINT       NOT NULL,
    updated_at         BIGINT       NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT products_price_not_negative CHECK (price_cents >= 0),
    CONSTRAINT products_window_in_order CHECK (sale_starts_at < sale_ends_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- One row per sale. "Epoch e is open" is `open_epoch = e`, set by a conditional update while `newest_epoch = e`;
-- processes learn terms from this row alone.
CREATE TABLE sales (
    product_id    BIGINT          NOT NULL,
    total         BIGINT          NOT NULL,
    wanted_total  BIGINT          NULL, -- what the total is to become; NULL: it stays
    newest_epoch  INT             NOT NULL DEFAULT 0,
    open_epoch    INT             NULL,
    nonce         BIGINT          NULL,
    allocation_id BIGINT          NULL,
    PRIMARY KEY (product_id),
    CONSTRAINT sales_product FOREIGN KEY (product_id) REFERENCES products (id),
    CONSTRAINT sales_total_not_negative CHECK (total >= 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

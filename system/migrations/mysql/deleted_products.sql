-- `deleted_at`: orders keep their product, and nobody else finds it from then on, unix s. `version`: that of all products
-- right after it was changed last.
ALTER TABLE products
    ADD COLUMN deleted_at BIGINT NULL,
    ADD COLUMN version BIGINT NOT NULL DEFAULT 0,
    ADD KEY products_by_version (version);

-- One row. Whoever changes a product raises it in the same transaction, so that versions are committed in their order.
CREATE TABLE products_version (
    id      TINYINT NOT NULL,
    version BIGINT  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
INSERT INTO products_version (id, version) VALUES (1, 0);

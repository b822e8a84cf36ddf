-- `deleted_at`: orders keep their product, and nobody else finds it from then on, unix s. `version`: that of all products
-- right after it was changed last.
ALTER TABLE products ADD COLUMN deleted_at INTEGER NULL;
ALTER TABLE products ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX products_by_version ON products (version);

-- One row. Whoever changes a product raises it in the same transaction, so that versions are committed in their order.
CREATE TABLE products_version (
    id      INTEGER NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO products_version (id, version) VALUES (1, 0);

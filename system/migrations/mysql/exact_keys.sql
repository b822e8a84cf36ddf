-- Keys are compared byte for byte: two that differ in their case are two.
-- `content`: a digest of what a product was created as; empty of other changes.
ALTER TABLE stock_changes
    MODIFY idempotency_key VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ADD COLUMN content VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE made_orders
    MODIFY idempotency_key VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL;

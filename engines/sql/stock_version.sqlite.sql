-- A version of each row of stock, which whoever writes the row raises: `optimistic-row` writes only what it has read.
ALTER TABLE engine_stock ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

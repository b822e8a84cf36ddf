-- `turn`: the request under this key that may buy until `turn_ends_at_ms`, by the database's clock. Nobody else does.
ALTER TABLE made_orders ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE made_orders ADD COLUMN turn_ends_at_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX made_orders_by_time ON made_orders (created_at_ms);

-- When an epoch answered it, unix ms; NULL also where an older binary did.
ALTER TABLE stock_changes ADD COLUMN applied_at_ms INTEGER NULL;
CREATE INDEX stock_changes_by_time ON stock_changes (created_at_ms);

-- What is resolved is looked for by its time.
CREATE INDEX parked_by_resolution ON parked (resolved_at_ms);

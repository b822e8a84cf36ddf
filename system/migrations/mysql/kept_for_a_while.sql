-- `turn`: the request under this key that may buy until `turn_ends_at_ms`, by the database's clock. Nobody else does.
ALTER TABLE made_orders
    ADD COLUMN turn BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN turn_ends_at_ms BIGINT NOT NULL DEFAULT 0,
    ADD KEY made_orders_by_time (created_at_ms);

-- When an epoch answered it, unix ms; NULL also where an older binary did.
ALTER TABLE stock_changes
    ADD COLUMN applied_at_ms BIGINT NULL,
    ADD KEY stock_changes_by_time (created_at_ms);

-- What is resolved is looked for by its time.
ALTER TABLE parked ADD KEY parked_by_resolution (resolved_at_ms);

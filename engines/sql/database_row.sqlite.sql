-- Tables of the `database-row` engine: one row of stock per sale, and one row per buyer who may not buy again.
CREATE TABLE engine_stock (
    sale_id    INTEGER NOT NULL PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    nonce      INTEGER NOT NULL, -- the bits of the unsigned nonce
    remaining  INTEGER NOT NULL,
    open_units INTEGER NOT NULL,
    CONSTRAINT engine_stock_never_negative CHECK (remaining >= 0 AND open_units >= 0)
) STRICT;

-- `touched_by` packs the ids of incarnations, 8 bytes each, little-endian; empty once the hold is settled.
CREATE TABLE engine_gate (
    sale_id       INTEGER NOT NULL,
    user_id       INTEGER NOT NULL,
    order_id      INTEGER NOT NULL,
    quantity      INTEGER NOT NULL,
    is_open       INTEGER NOT NULL,
    is_marked     INTEGER NOT NULL,
    touched_at_ms INTEGER NOT NULL,
    touched_by    BLOB    NOT NULL,
    PRIMARY KEY (sale_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX engine_gate_open_holds ON engine_gate (sale_id, order_id) WHERE is_open = 1;

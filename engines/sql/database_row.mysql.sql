-- Tables of the `database-row` engine: one row of stock per sale, and one row per buyer who may not buy again.
CREATE TABLE engine_stock (
    sale_id    BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    nonce      BIGINT NOT NULL, -- the bits of the unsigned nonce
    remaining  BIGINT NOT NULL,
    open_units BIGINT NOT NULL,
    PRIMARY KEY (sale_id),
    CONSTRAINT engine_stock_never_negative CHECK (remaining >= 0 AND open_units >= 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- `touched_by` packs the ids of incarnations, 8 bytes each, little-endian; empty once the hold is settled.
CREATE TABLE engine_gate (
    sale_id       BIGINT         NOT NULL,
    user_id       BIGINT         NOT NULL,
    order_id      BIGINT         NOT NULL,
    quantity      BIGINT         NOT NULL,
    is_open       TINYINT        NOT NULL,
    is_marked     TINYINT        NOT NULL,
    touched_at_ms BIGINT         NOT NULL,
    touched_by    VARBINARY(512) NOT NULL,
    PRIMARY KEY (sale_id, user_id),
    KEY engine_gate_open_holds (sale_id, is_open, order_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

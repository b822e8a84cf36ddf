-- The right to sell `granted` units of a sale in one epoch, held by an engine's pool or by one lease.
-- The consumer's guard (`sold + k <= granted`) makes overselling impossible whatever an engine says.
CREATE TABLE allocations (
    id              BIGINT      NOT NULL AUTO_INCREMENT,
    product_id      BIGINT      NOT NULL,
    epoch           INT         NOT NULL,
    holder          VARCHAR(64) NOT NULL DEFAULT 'pool',
    granted         BIGINT      NOT NULL,
    sold            BIGINT      NOT NULL DEFAULT 0,
    state           VARCHAR(8)  NOT NULL DEFAULT 'open',
    owner           BIGINT      NULL,
    heartbeat_at_ms BIGINT      NULL,
    beats           BIGINT      NOT NULL DEFAULT 0, -- one more with every heartbeat
    -- Of a lease: units that its process may still sell without asking; an upper bound.
    idle            BIGINT      NOT NULL DEFAULT 0,
    -- Of a lease: transfers of rights so far; tells whether one of unknown outcome was committed.
    moves           BIGINT      NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE KEY allocations_one_per_holder (product_id, epoch, holder),
    CONSTRAINT allocations_never_oversold CHECK (sold >= 0 AND sold <= granted),
    CONSTRAINT allocations_known_state CHECK (state IN ('open', 'closed'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

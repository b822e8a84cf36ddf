-- The right to sell `granted` units of a sale in one epoch, held by an engine's pool or by one lease.
-- The consumer's guard (`sold + k <= granted`) makes overselling impossible whatever an engine says.
CREATE TABLE allocations (
    id              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    product_id      INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    holder          TEXT    NOT NULL DEFAULT 'pool',
    granted         INTEGER NOT NULL,
    sold            INTEGER NOT NULL DEFAULT 0,
    state           TEXT    NOT NULL DEFAULT 'open',
    owner           INTEGER NULL,
    heartbeat_at_ms INTEGER NULL,
    beats           INTEGER NOT NULL DEFAULT 0, -- one more with every heartbeat
    -- Of a lease: units that its process may still sell without asking; an upper bound.
    idle            INTEGER NOT NULL DEFAULT 0,
    -- Of a lease: transfers of rights so far; tells whether one of unknown outcome was committed.
    moves           INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT allocations_one_per_holder UNIQUE (product_id, epoch, holder),
    CONSTRAINT allocations_never_oversold CHECK (sold >= 0 AND sold <= granted),
    CONSTRAINT allocations_known_state CHECK (state IN ('open', 'closed'))
) STRICT;

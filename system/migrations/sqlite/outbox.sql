-- Messages on their way to the broker, written in the transaction that makes them true. `release`: the units of a cancelled
-- order go back to the engine; `copy`: another service learns of the order.
CREATE TABLE outbox (
    id              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind            TEXT    NOT NULL,
    routing_key     TEXT    NOT NULL,
    body            BLOB    NOT NULL,
    order_id        INTEGER NOT NULL,
    user_id         INTEGER NOT NULL,
    product_id      INTEGER NOT NULL,
    quantity        INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    released_at_ms  INTEGER NULL, -- of a release: when the engine had it; of a copy never
    published_at_ms INTEGER NULL, -- when the broker had it
    CONSTRAINT outbox_once UNIQUE (order_id, kind, routing_key),
    CONSTRAINT outbox_known_kind CHECK (kind IN ('release', 'copy')),
    CONSTRAINT outbox_copies_release_nothing CHECK (kind = 'release' OR released_at_ms IS NULL)
) STRICT;

CREATE INDEX outbox_by_published ON outbox (published_at_ms, id);

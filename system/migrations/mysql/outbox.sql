-- Messages on their way to the broker, written in the transaction that makes them true. `release`: the units of a cancelled
-- order go back to the engine; `copy`: another service learns of the order.
CREATE TABLE outbox (
    id              BIGINT       NOT NULL AUTO_INCREMENT,
    kind            VARCHAR(8)   NOT NULL,
    routing_key     VARCHAR(128) NOT NULL,
    body            MEDIUMBLOB   NOT NULL,
    order_id        BIGINT       NOT NULL,
    user_id         BIGINT       NOT NULL,
    product_id      BIGINT       NOT NULL,
    quantity        INT          NOT NULL,
    epoch           INT          NOT NULL,
    released_at_ms  BIGINT       NULL, -- of a release: when the engine had it; of a copy never
    published_at_ms BIGINT       NULL, -- when the broker had it
    PRIMARY KEY (id),
    UNIQUE KEY outbox_once (order_id, kind, routing_key),
    KEY outbox_by_published (published_at_ms, id),
    CONSTRAINT outbox_known_kind CHECK (kind IN ('release', 'copy')),
    CONSTRAINT outbox_copies_release_nothing CHECK (kind = 'release' OR released_at_ms IS NULL)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

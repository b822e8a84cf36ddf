-- One row per start of a publishing process. `holder` is 1 while the worker id is in use and NULL afterwards, so
-- that a worker id has one holder at a time. Times are the database's clock.
-- state: live, fenced (generation bumped for good, not drained yet), gone (drained; its queue may be deleted).
CREATE TABLE incarnations (
    id                      BIGINT       NOT NULL AUTO_INCREMENT,
    worker_id               SMALLINT     NOT NULL,
    holder                  TINYINT      NULL,
    generation              BIGINT       NOT NULL DEFAULT 1,
    acknowledged_generation BIGINT       NOT NULL DEFAULT 1,
    state                   VARCHAR(8)   NOT NULL DEFAULT 'live',
    queue                   VARCHAR(128) NOT NULL DEFAULT '',
    lease_ms                BIGINT       NOT NULL,
    heartbeat_at_ms         BIGINT       NOT NULL,
    beats                   BIGINT       NOT NULL DEFAULT 0, -- one more with every heartbeat
    deadline_ms             BIGINT       NOT NULL DEFAULT 0, -- of its publishes, from the arrival of the request
    address                 VARCHAR(255) NOT NULL DEFAULT '', -- where it serves
    label                   VARCHAR(128) NOT NULL DEFAULT '', -- what its operators call it
    fenced_at_ms            BIGINT       NULL,
    minted_until_ms         BIGINT       NOT NULL DEFAULT 0,
    consumer_session        BIGINT       NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE KEY incarnations_one_holder_per_worker (worker_id, holder),
    CONSTRAINT incarnations_known_state CHECK (state IN ('live', 'fenced', 'gone'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- A committed marker proves that everything before it in its queue is committed, if `consumer_session` is still
-- the one that was current when the marker was put (drain-in-one-session, R5).
CREATE TABLE markers (
    nonce            BIGINT          NOT NULL,
    incarnation      BIGINT          NOT NULL,
    consumer_session BIGINT          NOT NULL,
    committed_at_ms  BIGINT          NOT NULL,
    PRIMARY KEY (nonce)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

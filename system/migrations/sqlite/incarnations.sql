-- One row per start of a publishing process. `holder` is 1 while the worker id is in use and NULL afterwards, so
-- that a worker id has one holder at a time. Times are the database's clock.
-- state: live, fenced (generation bumped for good, not drained yet), gone (drained; its queue may be deleted).
CREATE TABLE incarnations (
    id                      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    worker_id               INTEGER NOT NULL,
    holder                  INTEGER NULL,
    generation              INTEGER NOT NULL DEFAULT 1,
    acknowledged_generation INTEGER NOT NULL DEFAULT 1,
    state                   TEXT    NOT NULL DEFAULT 'live',
    queue                   TEXT    NOT NULL DEFAULT '',
    lease_ms                INTEGER NOT NULL,
    heartbeat_at_ms         INTEGER NOT NULL,
    beats                   INTEGER NOT NULL DEFAULT 0, -- one more with every heartbeat
    deadline_ms             INTEGER NOT NULL DEFAULT 0, -- of its publishes, from the arrival of the request
    address                 TEXT    NOT NULL DEFAULT '', -- where it serves
    label                   TEXT    NOT NULL DEFAULT '', -- what its operators call it
    fenced_at_ms            INTEGER NULL,
    minted_until_ms         INTEGER NOT NULL DEFAULT 0,
    consumer_session        INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT incarnations_one_holder_per_worker UNIQUE (worker_id, holder),
    CONSTRAINT incarnations_known_state CHECK (state IN ('live', 'fenced', 'gone'))
) STRICT;

-- A committed marker proves that everything before it in its queue is committed, if `consumer_session` is still
-- the one that was current when the marker was put (drain-in-one-session, R5).
CREATE TABLE markers (
    nonce            INTEGER NOT NULL PRIMARY KEY,
    incarnation      INTEGER NOT NULL,
    consumer_session INTEGER NOT NULL,
    committed_at_ms  INTEGER NOT NULL
) STRICT;

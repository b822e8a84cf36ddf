-- The same body of the same type is one record, under however many message ids it comes. `digest`: SHA-256 of type and
-- whole body in hex digits, or a word for what has no body. Records from before keep theirs, told apart by their ids.
-- A constraint of a table cannot be changed here, so the table is made anew.
CREATE TABLE parked_by_body (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    incarnation    INTEGER NOT NULL,
    message_id     TEXT    NOT NULL,
    order_id       INTEGER NOT NULL DEFAULT 0, -- 0: the whole message
    kind           TEXT    NOT NULL DEFAULT '',
    reason         TEXT    NOT NULL,
    body           BLOB    NOT NULL,
    digest         TEXT    NOT NULL DEFAULT '',
    count          INTEGER NOT NULL DEFAULT 1,
    resolved       INTEGER NOT NULL DEFAULT 0,
    created_at_ms  INTEGER NOT NULL,
    seen_at_ms     INTEGER NOT NULL DEFAULT 0, -- the last time
    resolved_at_ms INTEGER NULL,
    resolution     TEXT    NOT NULL DEFAULT '', -- how it was resolved, in words
    CONSTRAINT parked_once UNIQUE (incarnation, order_id, digest)
) STRICT;
INSERT INTO parked_by_body (id, incarnation, message_id, order_id, kind, reason, body, digest, count, resolved, created_at_ms,
        seen_at_ms, resolved_at_ms, resolution)
    SELECT id, incarnation, message_id, order_id, kind, reason, body,
        CASE WHEN message_id = 'queue' AND order_id = 0 AND digest = 'cbf29ce484222325' AND kind IN ('queue.suspected', 'queue.lost')
        THEN 'queue' ELSE digest || ':' || id END,
        count, resolved, created_at_ms, seen_at_ms, resolved_at_ms, resolution
    FROM parked;
DROP TABLE parked;
ALTER TABLE parked_by_body RENAME TO parked;
CREATE INDEX parked_open ON parked (resolved, incarnation, order_id, created_at_ms);

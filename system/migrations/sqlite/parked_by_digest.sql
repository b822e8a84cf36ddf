-- Two different bodies under one message id are two records. A constraint of a table cannot be changed here, so the table
-- is made anew.
CREATE TABLE parked_by_digest (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    incarnation   INTEGER NOT NULL,
    message_id    TEXT    NOT NULL,
    order_id      INTEGER NOT NULL DEFAULT 0, -- 0: the whole message
    kind          TEXT    NOT NULL DEFAULT '',
    reason        TEXT    NOT NULL,
    body          BLOB    NOT NULL,
    digest        TEXT    NOT NULL DEFAULT '',
    count         INTEGER NOT NULL DEFAULT 1,
    resolved      INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    CONSTRAINT parked_once UNIQUE (incarnation, message_id, order_id, digest)
) STRICT;
INSERT INTO parked_by_digest (id, incarnation, message_id, order_id, kind, reason, body, digest, count, resolved, created_at_ms)
    SELECT id, incarnation, message_id, order_id, kind, reason, body, digest, count, resolved, created_at_ms FROM parked;
DROP TABLE parked;
ALTER TABLE parked_by_digest RENAME TO parked;

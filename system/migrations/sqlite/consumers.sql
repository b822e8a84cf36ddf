-- One row per running consumer: what it consumes, and that it lives.
CREATE TABLE consumers (
    id              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind            TEXT    NOT NULL, -- its role, such as create-consumer
    queue           TEXT    NOT NULL,
    beats           INTEGER NOT NULL DEFAULT 0, -- one more with every heartbeat
    heartbeat_at_ms INTEGER NOT NULL
) STRICT;

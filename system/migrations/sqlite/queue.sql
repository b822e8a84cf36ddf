-- The order queues of the embedded stack. A queue exists while it has a binding of generation 0, which every queue has
-- of itself; a publish reaches it while the generation it names is bound.
CREATE TABLE queue_bindings (
    incarnation INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    PRIMARY KEY (incarnation, generation)
) STRICT, WITHOUT ROWID;

-- Messages that are not acknowledged yet, in the order of `seq`, which is never used again (AUTOINCREMENT): a consumer
-- reads on from the last one that it has seen.
CREATE TABLE queue_messages (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    incarnation INTEGER NOT NULL,
    generation  INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    body        BLOB    NOT NULL
) STRICT;

-- SQLite puts `seq` behind the columns of every index of this table, so that this one has each queue in order.
CREATE INDEX queue_messages_by_queue ON queue_messages (incarnation);

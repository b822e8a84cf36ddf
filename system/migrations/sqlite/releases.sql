-- Units of cancelled orders on their way back to the engine, in a row those of one sale that one transaction cancelled.
-- `orders`: JSON, [[order, buyer, quantity], …]. Those that are done of a row that is not as a whole go into one of their
-- own. What stands in `outbox` an older binary has written; it is taken over from there.
CREATE TABLE releases (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    product_id     INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    orders         TEXT    NOT NULL,
    order_count    INTEGER NOT NULL,
    units          INTEGER NOT NULL,
    written_at_ms  INTEGER NOT NULL,
    released_at_ms INTEGER NULL -- when the engine had them
) STRICT;

CREATE INDEX releases_by_released ON releases (released_at_ms, product_id, id);

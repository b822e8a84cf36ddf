-- Units of cancelled orders on their way back to the engine, in a row those of one sale that one transaction cancelled.
-- `orders`: JSON, [[order, buyer, quantity], …]. Those that are done of a row that is not as a whole go into one of their
-- own. What stands in `outbox` an older binary has written; it is taken over from there.
CREATE TABLE releases (
    id             BIGINT     NOT NULL AUTO_INCREMENT,
    product_id     BIGINT     NOT NULL,
    epoch          INT        NOT NULL,
    orders         MEDIUMTEXT CHARACTER SET ascii NOT NULL,
    order_count    INT        NOT NULL,
    units          BIGINT     NOT NULL,
    written_at_ms  BIGINT     NOT NULL,
    released_at_ms BIGINT     NULL, -- when the engine had them
    PRIMARY KEY (id),
    KEY releases_by_released (released_at_ms, product_id, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- One row per running consumer: what it consumes, and that it lives.
CREATE TABLE consumers (
    id              BIGINT       NOT NULL AUTO_INCREMENT,
    kind            VARCHAR(32)  NOT NULL, -- its role, such as create-consumer
    queue           VARCHAR(128) NOT NULL,
    beats           BIGINT       NOT NULL DEFAULT 0, -- one more with every heartbeat
    heartbeat_at_ms BIGINT       NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

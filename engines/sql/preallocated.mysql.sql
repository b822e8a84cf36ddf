-- Tables of the `preallocated` engine. The leases themselves are rows of `allocations`.
-- The newest opening of each sale, and among how many partitions its buyers are dealt.
CREATE TABLE engine_openings (
    sale_id    BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    nonce      BIGINT NOT NULL, -- the bits of the unsigned nonce
    granted    BIGINT NOT NULL,
    partitions BIGINT NOT NULL,
    PRIMARY KEY (sale_id),
    CONSTRAINT engine_openings_have_partitions CHECK (partitions > 0)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Who may sell to the buyers of a partition (user id modulo partitions) in the newest epoch. Rows change only with an
-- opening, that is behind a fence and a drain of everybody.
CREATE TABLE engine_partitions (
    sale_id BIGINT NOT NULL,
    part    BIGINT NOT NULL,
    owner   BIGINT NOT NULL,
    PRIMARY KEY (sale_id, part)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Units that a process lacks while others have some idle; they hand theirs back when they see it.
CREATE TABLE engine_wants (
    sale_id     BIGINT NOT NULL,
    incarnation BIGINT NOT NULL,
    epoch       BIGINT NOT NULL,
    units       BIGINT NOT NULL,
    at_ms       BIGINT NOT NULL,
    beats       BIGINT NOT NULL DEFAULT 0, -- one more with every renewal
    PRIMARY KEY (sale_id, incarnation)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Tables of the `preallocated` engine. The leases themselves are rows of `allocations`.
-- The newest opening of each sale, and among how many partitions its buyers are dealt.
CREATE TABLE engine_openings (
    sale_id    INTEGER NOT NULL PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    nonce      INTEGER NOT NULL, -- the bits of the unsigned nonce
    granted    INTEGER NOT NULL,
    partitions INTEGER NOT NULL,
    CONSTRAINT engine_openings_have_partitions CHECK (partitions > 0)
) STRICT;

-- Who may sell to the buyers of a partition (user id modulo partitions) in the newest epoch. Rows change only with an
-- opening, that is behind a fence and a drain of everybody.
CREATE TABLE engine_partitions (
    sale_id INTEGER NOT NULL,
    part    INTEGER NOT NULL,
    owner   INTEGER NOT NULL,
    PRIMARY KEY (sale_id, part)
) STRICT;

-- Units that a process lacks while others have some idle; they hand theirs back when they see it.
CREATE TABLE engine_wants (
    sale_id     INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    units       INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    beats       INTEGER NOT NULL DEFAULT 0, -- one more with every renewal
    PRIMARY KEY (sale_id, incarnation)
) STRICT;

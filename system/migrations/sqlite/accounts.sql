-- `token_version`: tokens of an earlier one no longer hold. `revoked_at`: when it was last raised, unix s; 0: never.
CREATE TABLE users (
    id            INTEGER NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL COLLATE NOCASE,
    email         TEXT    NOT NULL,
    phone         TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    token_version INTEGER NOT NULL DEFAULT 1,
    revoked_at    INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    CONSTRAINT users_role_known CHECK (role IN ('user', 'admin'))
) STRICT;
CREATE UNIQUE INDEX users_username ON users (username);
CREATE INDEX users_by_revocation ON users (revoked_at);

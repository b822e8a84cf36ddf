-- `token_version`: tokens of an earlier one no longer hold. `revoked_at`: when it was last raised, unix s; 0: never.
CREATE TABLE users (
    id            BIGINT       NOT NULL AUTO_INCREMENT,
    username      VARCHAR(32)  COLLATE utf8mb4_general_ci NOT NULL,
    email         VARCHAR(254) NOT NULL,
    phone         VARCHAR(16)  NOT NULL,
    password_hash VARCHAR(256) NOT NULL,
    role          VARCHAR(16)  NOT NULL,
    token_version BIGINT       NOT NULL DEFAULT 1,
    revoked_at    BIGINT       NOT NULL DEFAULT 0,
    created_at    BIGINT       NOT NULL,
    updated_at    BIGINT       NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY users_username (username),
    KEY users_by_revocation (revoked_at),
    CONSTRAINT users_role_known CHECK (role IN ('user', 'admin'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Who may come in: people, programs, and owners with a link from a mail. Of
-- every secret only a hash is kept.

-- +goose Up
CREATE TABLE accounts (
    name         TEXT NOT NULL PRIMARY KEY,
    hash         TEXT NOT NULL, -- argon2id, with its parameters
    role         TEXT NOT NULL,
    party        TEXT NOT NULL, -- of the role constituent
    created      INTEGER NOT NULL,
    changed      INTEGER NOT NULL, -- the password
    disabled     INTEGER NOT NULL, -- since when; 0: it is not
    failures     INTEGER NOT NULL, -- attempts since the last that was right
    locked_until INTEGER NOT NULL,
    last_login   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    token   BLOB NOT NULL PRIMARY KEY, -- SHA-256 of what the cookie has
    owner   TEXT NOT NULL,
    csrf    BLOB NOT NULL,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    remote  TEXT NOT NULL,
    agent   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (owner);

CREATE TABLE api_keys (
    id          TEXT NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL, -- bearer, or hmac for clients of Shadowserver's API
    hash        BLOB NOT NULL, -- SHA-256 of the secret; empty for hmac, which is derived
    label       TEXT NOT NULL,
    role        TEXT NOT NULL,
    party       TEXT NOT NULL,
    scopes      TEXT NOT NULL, -- JSON array of rights
    created     INTEGER NOT NULL,
    creator     TEXT NOT NULL,
    expires     INTEGER NOT NULL, -- 0: never
    revoked     INTEGER NOT NULL, -- 0: it is not
    used        INTEGER NOT NULL  -- last, to the minute
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    token       BLOB NOT NULL PRIMARY KEY, -- SHA-256 of what the mail has
    id          TEXT NOT NULL, -- its name in listings
    contact     TEXT NOT NULL, -- exposure.Recipient.Key
    party       TEXT NOT NULL,
    cases       TEXT NOT NULL, -- JSON array of names
    created     INTEGER NOT NULL,
    creator     TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    revoked     INTEGER NOT NULL,
    used        INTEGER NOT NULL, -- last
    uses        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX links_id ON links (id);
CREATE INDEX links_contact ON links (contact);

CREATE INDEX assignments_customer ON assignments (customer);

-- +goose Down
DROP INDEX assignments_customer;
DROP TABLE links;
DROP TABLE api_keys;
DROP TABLE sessions;
DROP TABLE accounts;

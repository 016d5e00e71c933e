-- What the contact of a link does with it: it asks for a look at a door, and for
-- what a person must decide.

-- +goose Up
ALTER TABLE links ADD COLUMN message TEXT NOT NULL DEFAULT '';  -- that carries it
ALTER TABLE links ADD COLUMN role TEXT NOT NULL DEFAULT '';     -- of the contact when it was made
ALTER TABLE links ADD COLUMN language TEXT NOT NULL DEFAULT ''; -- of the mail
ALTER TABLE links ADD COLUMN places TEXT NOT NULL DEFAULT '[]'; -- JSON array: each case, and who was nearest to it
ALTER TABLE links ADD COLUMN mail TEXT NOT NULL DEFAULT '';     -- of one that was sent by itself: its name in opt-outs
ALTER TABLE links ADD COLUMN resent INTEGER NOT NULL DEFAULT 0; -- when another was sent in its place
CREATE INDEX links_mail ON links (mail) WHERE mail <> '';
CREATE INDEX links_message ON links (message) WHERE message <> '';

CREATE TABLE checks (
    id        TEXT NOT NULL PRIMARY KEY,
    of_link   TEXT NOT NULL, -- its id
    addr      BLOB NOT NULL,
    transport TEXT NOT NULL,
    port      INTEGER NOT NULL,
    asked     INTEGER NOT NULL,
    ended     INTEGER NOT NULL, -- 0: it goes on
    outcome   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX checks_asked ON checks (asked);
CREATE INDEX checks_link ON checks (of_link, asked);
CREATE INDEX checks_door ON checks (addr, transport, port, asked);

CREATE TABLE pleas (
    id        TEXT NOT NULL PRIMARY KEY,
    of_link   TEXT NOT NULL, -- its id
    contact   TEXT NOT NULL, -- exposure.Recipient.Key
    party     TEXT NOT NULL,
    addr      BLOB NOT NULL,
    transport TEXT NOT NULL,
    port      INTEGER NOT NULL,
    rule      TEXT NOT NULL,
    cycle     INTEGER NOT NULL,
    kind      TEXT NOT NULL, -- accept, not-mine
    reason    TEXT NOT NULL,
    until     INTEGER NOT NULL, -- of accept
    asked     INTEGER NOT NULL,
    state     TEXT NOT NULL, -- open, withdrawn, granted, refused
    decided   INTEGER NOT NULL,
    decider   TEXT NOT NULL,
    answer    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pleas_state ON pleas (state, asked);
CREATE INDEX pleas_case ON pleas (addr, transport, port, rule);

-- +goose Down
DROP TABLE pleas;
DROP TABLE checks;
DROP INDEX links_message;
DROP INDEX links_mail;
ALTER TABLE links DROP COLUMN resent;
ALTER TABLE links DROP COLUMN mail;
ALTER TABLE links DROP COLUMN places;
ALTER TABLE links DROP COLUMN language;
ALTER TABLE links DROP COLUMN role;
ALTER TABLE links DROP COLUMN message;

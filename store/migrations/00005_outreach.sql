-- Who was told what, or is about to be.

-- +goose Up
-- A message is written before anything of it is sent. Its id is a hash of its
-- send key, so that the same plan twice makes one message.
CREATE TABLE outbox (
    id          TEXT NOT NULL PRIMARY KEY,
    of_run      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    rule        TEXT NOT NULL,    -- of the configuration; each item has its own
    party       TEXT NOT NULL, -- the constituent
    recipient   TEXT NOT NULL,    -- exposure.Recipient.Key
    day         TEXT NOT NULL,    -- 2026-11-23, in the zone of the rules
    doc         TEXT NOT NULL,    -- the rest of store.Message in JSON
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    mail        TEXT NOT NULL,    -- its name in return paths and Message-IDs
    planned     INTEGER NOT NULL,
    next        INTEGER NOT NULL, -- not to be sent before
    begun       INTEGER NOT NULL, -- when it was about to be handed over for good
    ended       INTEGER NOT NULL,
    answered    INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    first_try   INTEGER NOT NULL,
    texts       TEXT NOT NULL,    -- the version of the texts it was written with
    envelope    TEXT NOT NULL,    -- the return path
    content     BLOB NOT NULL,    -- the very bytes, from the first attempt on
    -- The step that the cases of the message must still take.
    owed        TEXT NOT NULL,
    owed_why    TEXT NOT NULL,
    owed_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_state ON outbox (state, next);
CREATE INDEX outbox_recipient ON outbox (recipient, party, day);
CREATE INDEX outbox_run ON outbox (of_run);
CREATE INDEX outbox_planned ON outbox (planned, id);
CREATE INDEX outbox_mail ON outbox (mail) WHERE mail <> '';
CREATE INDEX outbox_owed ON outbox (owed_at) WHERE owed <> '';

CREATE TABLE outbox_items (
    addr      BLOB NOT NULL,
    transport TEXT NOT NULL,
    port      INTEGER NOT NULL,
    rule      TEXT NOT NULL,
    message   TEXT NOT NULL,
    cycle     INTEGER NOT NULL,
    rung      INTEGER NOT NULL,
    by_rule   TEXT NOT NULL, -- of the configuration
    PRIMARY KEY (addr, transport, port, rule, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_items_message ON outbox_items (message);

CREATE TABLE outbox_attempts (
    message TEXT NOT NULL,
    n       INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    result  TEXT NOT NULL,
    stage   TEXT NOT NULL,
    code    INTEGER NOT NULL,
    said    TEXT NOT NULL,
    PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;

-- What is not to be sent: a rule of the configuration, or '' for all.
CREATE TABLE outbox_holds (
    rule   TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    who    TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What came back, each once: a hash of its bytes.
CREATE TABLE outbox_replies (
    digest  TEXT NOT NULL PRIMARY KEY,
    file    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    message TEXT NOT NULL,
    note    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_replies_message ON outbox_replies (message);

-- How far readers of the history came.
CREATE TABLE outbox_cursors (
    name TEXT NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who answered or said that it is fixed, and since when: few among many steps.
CREATE INDEX transitions_answers ON transitions (addr, transport, port, rule, at)
WHERE axis = 'contact' AND became IN ('acknowledged', 'claimed');

-- +goose Down
DROP INDEX transitions_answers;
DROP TABLE outbox_cursors;
DROP TABLE outbox_replies;
DROP TABLE outbox_holds;
DROP TABLE outbox_attempts;
DROP TABLE outbox_items;
DROP TABLE outbox;

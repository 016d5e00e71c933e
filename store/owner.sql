-- name: putLink :exec
INSERT INTO links (token, id, contact, party, cases, created, creator, expires, revoked, used, uses, message, role, language, places, mail, resent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?, ?, '', 0);

-- name: linkNamed :one
SELECT * FROM links WHERE id = ?;

-- name: mailLink :execrows
UPDATE links SET mail = @mail WHERE id = @id;

-- name: linkOfMail :one
SELECT * FROM links WHERE mail = @mail AND mail <> '';

-- name: revokeLinksIn :execrows
UPDATE links SET revoked = @at WHERE message = @message AND message <> '' AND revoked = 0;

-- name: resendLink :execrows
UPDATE links SET resent = @at WHERE id = @id;

-- name: resentTo :one
SELECT CAST(coalesce(max(resent), 0) AS INTEGER) AS at FROM links WHERE contact = @contact;

-- name: putCheck :exec
INSERT INTO checks (id, of_link, addr, transport, port, asked, ended, outcome) VALUES (?, ?, ?, ?, ?, ?, 0, '');

-- name: endCheck :execrows
UPDATE checks SET ended = @at, outcome = @outcome WHERE id = @id AND ended = 0;

-- name: checksOfLink :many
SELECT * FROM checks WHERE of_link = @of_link ORDER BY asked DESC, id LIMIT @n;

-- name: checksAt :many
SELECT * FROM checks WHERE addr = @addr AND transport = @transport AND port = @port AND asked > @since ORDER BY asked DESC, id LIMIT @n;

-- name: countChecksOfLink :one
SELECT count(*) AS n, CAST(coalesce(min(asked), 0) AS INTEGER) AS oldest FROM checks WHERE of_link = @of_link AND asked > @since;

-- name: countChecks :one
SELECT count(*) AS n, CAST(coalesce(min(asked), 0) AS INTEGER) AS oldest FROM checks WHERE asked > @since;

-- name: dropChecks :execrows
DELETE FROM checks WHERE asked < @before;

-- name: putPlea :exec
INSERT INTO pleas (id, of_link, contact, party, addr, transport, port, rule, cycle, kind, reason, until, asked, state, decided, decider, answer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', 0, '', '');

-- name: plea :one
SELECT * FROM pleas WHERE id = ?;

-- name: pleasIn :many
SELECT * FROM pleas WHERE (state = CAST(@state AS TEXT) OR CAST(@state AS TEXT) = '') ORDER BY asked DESC, id LIMIT @n;

-- name: pleasAt :many
SELECT * FROM pleas WHERE addr IN (SELECT unhex(value) FROM json_each(CAST(@addrs AS TEXT))) ORDER BY asked DESC, id;

-- name: decidePlea :execrows
UPDATE pleas SET state = @state, decided = @at, decider = @decider, answer = @answer WHERE id = @id AND state = @was;

-- name: withdrawPleas :execrows
UPDATE pleas SET state = 'withdrawn', decided = @at, decider = @decider
WHERE addr = @addr AND transport = @transport AND port = @port AND rule = @rule AND party = @party AND kind = @kind AND state = 'open';

-- name: setContent :exec
UPDATE outbox SET content = @content WHERE id = @id;

-- name: dropLinks :execrows
DELETE FROM links WHERE expires < @before;

-- name: dropPleas :execrows
DELETE FROM pleas WHERE decided > 0 AND decided < @before;

-- name: account :one
SELECT * FROM accounts WHERE name = ?;

-- name: accounts :many
SELECT * FROM accounts ORDER BY name;

-- name: addAccount :execrows
INSERT INTO accounts (name, hash, role, party, created, changed, disabled, failures, locked_until, last_login)
VALUES (@name, @hash, @role, @party, @at, @at, 0, 0, 0, 0) ON CONFLICT (name) DO NOTHING;

-- name: setAttempts :execrows
UPDATE accounts SET failures = @failures, locked_until = @locked_until WHERE name = @name;

-- name: setLogin :execrows
UPDATE accounts SET failures = 0, locked_until = 0, last_login = @at WHERE name = @name;

-- name: setPassword :execrows
UPDATE accounts SET hash = @hash, changed = @at, failures = 0, locked_until = 0 WHERE name = @name;

-- name: setDisabled :execrows
UPDATE accounts SET disabled = @disabled, failures = 0, locked_until = 0 WHERE name = @name;

-- name: dropAccount :execrows
DELETE FROM accounts WHERE name = ?;

-- name: putSession :exec
INSERT INTO sessions (token, owner, csrf, created, seen, expires, remote, agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: session :one
SELECT * FROM sessions WHERE token = @token AND expires > @at AND seen > @idle_since;

-- name: sessionsOf :many
SELECT * FROM sessions WHERE owner = @owner AND expires > @at AND seen > @idle_since ORDER BY seen DESC, token;

-- name: seeSession :exec
UPDATE sessions SET seen = @at WHERE token = @token AND seen < @at;

-- name: dropSession :execrows
DELETE FROM sessions WHERE token = ?;

-- name: dropSessionsOf :execrows
DELETE FROM sessions WHERE owner = @owner AND token <> CAST(@but AS BLOB);

-- name: dropSessionNamed :execrows
DELETE FROM sessions WHERE owner = @owner AND lower(substr(hex(token), 1, 16)) = CAST(@name AS TEXT);

-- name: dropSessionsOver :execrows
DELETE FROM sessions WHERE sessions.expires <= @at OR sessions.seen <= @idle_since;

-- name: putAPIKey :exec
INSERT INTO api_keys (id, kind, hash, label, role, party, scopes, created, creator, expires, revoked, used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0);

-- name: apiKey :one
SELECT * FROM api_keys WHERE id = ?;

-- name: apiKeys :many
SELECT * FROM api_keys ORDER BY created, id;

-- name: revokeAPIKey :execrows
UPDATE api_keys SET revoked = @at WHERE id = @id AND revoked = 0;

-- name: useAPIKey :exec
UPDATE api_keys SET used = @at WHERE id = @id AND used < @at;

-- name: link :one
SELECT * FROM links WHERE token = ?;

-- name: linksOf :many
SELECT * FROM links WHERE (contact = CAST(@contact AS TEXT) OR CAST(@contact AS TEXT) = '') ORDER BY created DESC, id LIMIT @n;

-- name: useLink :execrows
UPDATE links SET used = @at, uses = uses + 1 WHERE token = @token;

-- name: revokeLink :execrows
UPDATE links SET revoked = @at WHERE id = @id AND revoked = 0;

-- name: revokeLinksOf :execrows
UPDATE links SET revoked = @at WHERE contact = @contact AND revoked = 0;

-- name: assignmentsOfCustomer :many
SELECT * FROM assignments WHERE customer = @customer ORDER BY since DESC, lo, bits, source LIMIT @n;

-- name: assignmentsInside :many
SELECT * FROM assignments WHERE lo >= @lo AND lo <= @hi AND bits > @bits AND customer <> @customer ORDER BY lo, bits, since, source LIMIT @n;

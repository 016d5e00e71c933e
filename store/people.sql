-- name: peopleGeneration :one
SELECT generation FROM people WHERE id = 1;

-- name: raisePeople :exec
UPDATE people SET generation = generation + 1 WHERE id = 1;

-- name: putImport :exec
INSERT INTO imports (kind, source, file, who, at, done) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, source) DO UPDATE SET file = excluded.file, who = excluded.who, at = excluded.at, done = excluded.done;

-- name: dropImport :execrows
DELETE FROM imports WHERE kind = ? AND source = ?;

-- name: imports :many
SELECT * FROM imports WHERE kind = ? ORDER BY source;

-- name: constituents :many
SELECT * FROM constituents ORDER BY name, source;

-- name: putConstituent :exec
INSERT INTO constituents (name, source, doc) VALUES (?, ?, ?)
ON CONFLICT (name, source) DO UPDATE SET doc = excluded.doc;

-- name: dropConstituent :exec
DELETE FROM constituents WHERE name = ? AND source = ?;

-- name: edits :many
SELECT * FROM edits ORDER BY name, field, element;

-- name: putEdit :exec
INSERT INTO edits (name, field, element, value, who, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name, field, element) DO UPDATE SET value = excluded.value, who = excluded.who, at = excluded.at;

-- name: dropEdit :exec
DELETE FROM edits WHERE name = ? AND field = ? AND element = ?;

-- name: statuses :many
SELECT * FROM contact_status ORDER BY contact, status;

-- name: putStatus :exec
INSERT INTO contact_status (contact, status, reason, source, who, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (contact, status) DO UPDATE SET reason = excluded.reason, source = excluded.source, who = excluded.who, at = excluded.at;

-- name: dropStatus :execrows
DELETE FROM contact_status WHERE contact = ? AND status = ?;

-- name: lookupsOf :many
SELECT * FROM lookups WHERE lo <= @addr AND hi >= @addr ORDER BY source, lo DESC, contact;

-- name: dropLookups :exec
DELETE FROM lookups WHERE source = ? AND lo = ? AND hi = ?;

-- name: putLookup :exec
INSERT INTO lookups (lo, hi, source, contact, doc, via, at, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (lo, hi, source, contact) DO UPDATE SET doc = excluded.doc, via = excluded.via, at = excluded.at, expires = excluded.expires;

-- los is a JSON array of first addresses in hexadecimal.
-- name: assignmentsFrom :many
SELECT * FROM assignments WHERE lo IN (SELECT unhex(value) FROM json_each(@los));

-- name: assignmentsDuring :many
SELECT * FROM assignments
WHERE (lo, bits, since, source) > (CAST(@after_lo AS BLOB), CAST(@after_bits AS INTEGER), CAST(@after_since AS INTEGER), CAST(@after_source AS TEXT))
    AND since < CAST(@ended AS INTEGER) AND (until = 0 OR until > CAST(@began AS INTEGER))
ORDER BY lo, bits, since, source LIMIT @n;

-- name: openAssignments :many
SELECT * FROM assignments WHERE source = @source AND until = 0
    AND (lo, bits, since) > (CAST(@after_lo AS BLOB), CAST(@after_bits AS INTEGER), CAST(@after_since AS INTEGER))
ORDER BY lo, bits, since LIMIT @n;

-- name: endAssignment :exec
UPDATE assignments SET until = ? WHERE lo = ? AND bits = ? AND since = ? AND source = ?;

-- name: dropAssignments :execrows
DELETE FROM assignments WHERE (lo, bits, since, source) IN (SELECT a.lo, a.bits, a.since, a.source FROM assignments AS a WHERE a.source = ? LIMIT ?);

-- name: auditAbout :many
SELECT * FROM audit WHERE at >= @since AND what IN (SELECT value FROM json_each(CAST(@words AS TEXT))) AND substr(detail, 1, length(CAST(@about AS TEXT))) = CAST(@about AS TEXT) ORDER BY seq DESC LIMIT @n;

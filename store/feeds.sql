-- name: putIntake :exec
INSERT INTO feed_files (source, type, file, ref, begun, ended, outcome, error, rows, fresh, known, other, aside, day)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- What was noted of a file that brought nothing new gives way to the next such
-- note: a directory is given whole every day.
-- name: dropIdleIntake :exec
DELETE FROM feed_files WHERE source = ? AND type = ? AND file = ? AND outcome = ? AND ref = '' AND fresh = 0;

-- name: intakes :many
SELECT * FROM feed_files ORDER BY seq DESC LIMIT ?;

-- name: hasIntake :one
SELECT EXISTS (SELECT 1 FROM feed_files WHERE source = ? AND ref = ? AND ref <> '' AND outcome <> 'failed') AS found;

-- name: putAside :exec
INSERT INTO feed_aside (hash, source, type, file, line, reason, head, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (hash) DO NOTHING;

-- name: asides :many
SELECT * FROM feed_aside ORDER BY at DESC, file, line, hash LIMIT ?;

-- name: putParked :exec
INSERT INTO feed_parked (digest, source, type, file, bytes, kept, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET kept = max(kept, excluded.kept), reason = excluded.reason;

-- name: parked :many
SELECT * FROM feed_parked ORDER BY at, digest;

-- name: dropParked :exec
DELETE FROM feed_parked WHERE digest = ?;

-- name: putFeedDay :exec
INSERT INTO feed_days (source, type, day, taken) VALUES (?, ?, ?, ?)
ON CONFLICT (source, type) DO UPDATE SET day = excluded.day, taken = excluded.taken WHERE excluded.day > day;

-- name: feedDays :many
SELECT * FROM feed_days ORDER BY source, type;

-- name: coverageState :one
SELECT (SELECT count(*) FROM runs WHERE state = 'done') AS done, CAST((SELECT coalesce(max(seq), 0) FROM feed_files) AS INTEGER) AS feeds;

-- name: runsOver :many
SELECT state, started, ended, CAST(coalesce(json_extract(doc, '$.options.source'), '') AS TEXT) AS source FROM runs
WHERE started < sqlc.arg(before) AND (ended >= sqlc.arg(since) OR ended = 0) ORDER BY started;

-- name: feedDaysOver :many
SELECT DISTINCT source, day FROM feed_files WHERE outcome = 'taken' AND day >= sqlc.arg(since) AND day < sqlc.arg(before) ORDER BY day, source;

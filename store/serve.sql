-- name: jobOf :one
SELECT * FROM jobs WHERE kind = ?;

-- name: jobs :many
SELECT * FROM jobs ORDER BY kind;

-- name: putJob :exec
INSERT INTO jobs (kind, due, started, ended, succeeded, outcome, note, mark, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind) DO UPDATE SET due = excluded.due, started = excluded.started, ended = excluded.ended,
    succeeded = excluded.succeeded, outcome = excluded.outcome, note = excluded.note, mark = excluded.mark,
    attempts = excluded.attempts;

-- name: markJob :exec
UPDATE jobs SET mark = ? WHERE kind = ?;

-- name: leaseOf :one
SELECT * FROM leases WHERE kind = ?;

-- name: leases :many
SELECT * FROM leases ORDER BY kind;

-- name: putLease :exec
INSERT INTO leases (kind, holder, beats, since, beat) VALUES (?, ?, 0, ?, ?);

-- name: beatLease :execrows
UPDATE leases SET beats = beats + 1, beat = ? WHERE kind = ? AND holder = ?;

-- name: dropLease :execrows
DELETE FROM leases WHERE kind = ? AND holder = ?;

-- name: openAlert :exec
INSERT INTO alerts (name, began, ended, detail, step, level) VALUES (?, ?, 0, ?, ?, ?)
ON CONFLICT (name) WHERE ended = 0 DO UPDATE SET detail = excluded.detail, step = excluded.step, level = excluded.level
WHERE excluded.level > alerts.level;

-- name: endAlert :execrows
UPDATE alerts SET ended = ? WHERE name = ? AND ended = 0;

-- name: openAlerts :many
SELECT * FROM alerts WHERE ended = 0 ORDER BY seq;

-- name: alertsSince :many
SELECT * FROM alerts WHERE ended = 0 OR ended >= @since ORDER BY seq;

-- Beginnings and ends that were not told by the alerter. What ended before its
-- beginning could be told is told as both.
-- name: untold :many
SELECT alerts.* FROM alerts
WHERE NOT EXISTS (SELECT 1 FROM alerts_told WHERE alerts_told.alert_seq = alerts.seq AND alerts_told.via = @via AND alerts_told.phase = 0)
   OR (ended <> 0 AND NOT EXISTS (SELECT 1 FROM alerts_told WHERE alerts_told.alert_seq = alerts.seq AND alerts_told.via = @via AND alerts_told.phase = 1))
   OR (ended = 0 AND level > 0 AND NOT EXISTS (SELECT 1 FROM alerts_told WHERE alerts_told.alert_seq = alerts.seq AND alerts_told.via = @via AND alerts_told.phase = 1 + level))
ORDER BY seq;

-- name: toldPhase :one
SELECT EXISTS (SELECT 1 FROM alerts_told WHERE alert_seq = ? AND via = ? AND phase = ?) AS found;

-- name: putTold :exec
INSERT INTO alerts_told (alert_seq, via, phase, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: putHold :exec
INSERT INTO holds (what, prefix, reason, who, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (what) DO UPDATE SET prefix = excluded.prefix, reason = excluded.reason, who = excluded.who, at = excluded.at;

-- name: dropHold :execrows
DELETE FROM holds WHERE what = ?;

-- name: holds :many
SELECT * FROM holds ORDER BY at, what;

-- name: touch :exec
UPDATE pulse SET at = ? WHERE id = 1;

-- name: exposuresByState :many
SELECT condition, severity, count(*) AS n FROM exposures GROUP BY condition, severity ORDER BY condition, severity;

-- name: runsByState :many
SELECT state, count(*) AS n FROM runs GROUP BY state ORDER BY state;

-- name: callsByKind :many
SELECT kind, CAST(sum(n) AS INTEGER) AS n FROM calls GROUP BY kind ORDER BY kind;

-- name: newestTimes :one
SELECT CAST(coalesce((SELECT max(until) FROM ticks WHERE run_id = (SELECT id FROM runs ORDER BY started DESC LIMIT 1)), 0) AS INTEGER) AS tick_at,
    CAST(coalesce((SELECT max(started) FROM runs), 0) AS INTEGER) AS run_at,
    CAST(coalesce((SELECT max(at) FROM audit), 0) AS INTEGER) AS audit_at,
    CAST(coalesce((SELECT max(started) FROM jobs), 0) AS INTEGER) AS job_at,
    CAST(coalesce((SELECT max(at) FROM transitions), 0) AS INTEGER) AS transition_at;

-- Closed cases on which no human has ruled, the oldest first.
-- name: closedBefore :many
SELECT addr, transport, port, rule, since FROM exposures
WHERE condition IN (SELECT value FROM json_each(CAST(@conditions AS TEXT))) AND since < @before
    AND ruling NOT IN ('accepted', 'false_positive')
    AND (since, addr, transport, port, rule) > (CAST(@after_since AS INTEGER), CAST(@after_addr AS BLOB), CAST(@after_transport AS TEXT), CAST(@after_port AS INTEGER), CAST(@after_rule AS TEXT))
ORDER BY since, addr, transport, port, rule LIMIT @n;

-- name: dropExposure :execrows
DELETE FROM exposures WHERE addr = ? AND transport = ? AND port = ? AND rule = ?
    AND condition IN (SELECT value FROM json_each(CAST(@conditions AS TEXT))) AND since < @before;

-- Steps of cases that are not there any more, or not open.
-- name: transitionsBefore :many
SELECT seq, t.addr, CAST(EXISTS (SELECT 1 FROM exposures e WHERE e.addr = t.addr AND e.transport = t.transport
        AND e.port = t.port AND e.rule = t.rule
        AND e.condition NOT IN (SELECT value FROM json_each(CAST(@conditions AS TEXT)))) AS INTEGER) AS open
FROM transitions t WHERE at < @before AND seq > @after ORDER BY seq LIMIT @n;

-- name: dropTransition :execrows
DELETE FROM transitions WHERE seq = ?;

-- name: countAuditBefore :one
SELECT count(*) FROM audit WHERE at < ?;

-- name: dropAuditBefore :execrows
DELETE FROM audit WHERE seq IN (SELECT a.seq FROM audit a WHERE a.at < @before ORDER BY a.seq LIMIT @n);

-- name: countKeysBefore :one
SELECT count(*) FROM keys WHERE made <= ?;

-- name: dropKeysBefore :execrows
DELETE FROM keys WHERE made <= ?;

-- A run that was killed stays running until it is resumed: the time decides.
-- name: runsBefore :many
SELECT * FROM runs WHERE started < @before AND (started, id) > (CAST(@after_started AS INTEGER), CAST(@after_id AS TEXT)) ORDER BY started, id LIMIT @n;

-- name: dropRun :execrows
DELETE FROM runs WHERE id = ?;

-- name: countNotes :one
SELECT (SELECT count(*) FROM ticks WHERE ticks.run_id = @run) + (SELECT count(*) FROM batches WHERE batches.run_id = @run) AS n;

-- name: countAlertsBefore :one
SELECT count(*) FROM alerts WHERE ended <> 0 AND ended < @before;

-- name: dropToldBefore :exec
DELETE FROM alerts_told WHERE alert_seq IN (SELECT a.seq FROM alerts a WHERE a.ended <> 0 AND a.ended < @before ORDER BY a.seq LIMIT @n);

-- name: dropAlertsBefore :execrows
DELETE FROM alerts WHERE seq IN (SELECT a.seq FROM alerts a WHERE a.ended <> 0 AND a.ended < @before ORDER BY a.seq LIMIT @n);

-- name: createRun :execrows
INSERT INTO runs (id, state, started, ended, doc) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: run :one
SELECT * FROM runs WHERE id = ?;

-- name: runs :many
SELECT * FROM runs ORDER BY started DESC, id DESC LIMIT ?;

-- name: finishRun :execrows
UPDATE runs SET state = ?, ended = ? WHERE id = ?;

-- name: lastTick :one
SELECT * FROM ticks WHERE run_id = ? AND probe = ? ORDER BY seq DESC LIMIT 1;

-- name: putTick :exec
INSERT INTO ticks (run_id, probe, seq, at, until, handed, finished) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, probe, seq) DO UPDATE SET
    at = excluded.at, until = excluded.until, handed = excluded.handed, finished = excluded.finished;

-- Each tick beyond the position whose predecessor was not.
-- name: passages :many
SELECT after.at, after.handed, after.finished,
    COALESCE(before.until, 0) AS before_until, COALESCE(before.handed, 0) AS before_handed, COALESCE(before.finished, 0) AS before_finished
FROM ticks AS after
LEFT JOIN ticks AS before ON before.run_id = after.run_id AND before.probe = after.probe AND before.seq = after.seq - 1
WHERE after.run_id = @run_id AND after.probe = @probe AND after.handed > @position
    AND COALESCE(before.handed, 0) <= @position
ORDER BY after.seq;

-- name: batchBelow :one
SELECT * FROM batches WHERE run_id = ? AND lo < ? ORDER BY lo DESC LIMIT 1;

-- name: reserve :exec
INSERT INTO batches (run_id, lo, hi, reserved, sent, settled) VALUES (?, ?, ?, ?, 0, 0);

-- name: markSent :execrows
UPDATE batches SET sent = ? WHERE run_id = ? AND lo = ?;

-- name: settle :execrows
UPDATE batches SET settled = ? WHERE run_id = ? AND lo = ?;

-- name: unsettled :many
SELECT * FROM batches WHERE run_id = ? AND settled = 0 ORDER BY lo;

-- name: putKey :exec
INSERT INTO keys (run_id, made, secret) VALUES (?, ?, ?);

-- name: dropKeys :exec
DELETE FROM keys WHERE made <= ?;

-- name: keys :many
SELECT * FROM keys WHERE made > ? ORDER BY made DESC, run_id;

-- name: countCalls :exec
INSERT INTO calls (day, kind, n) VALUES (?, ?, ?) ON CONFLICT (day, kind) DO UPDATE SET n = n + excluded.n;

-- name: callsSince :many
SELECT * FROM calls WHERE day >= @since ORDER BY day, kind;

-- name: putExclusion :exec
INSERT INTO exclusions (prefix, reason, who, at) VALUES (?, ?, ?, ?)
ON CONFLICT (prefix) DO UPDATE SET reason = excluded.reason, who = excluded.who, at = excluded.at;

-- name: dropExclusion :execrows
DELETE FROM exclusions WHERE prefix = ?;

-- name: exclusions :many
SELECT * FROM exclusions;

-- name: control :one
SELECT * FROM control WHERE id = 1;

-- name: pause :exec
UPDATE control SET paused = ?, who = ?, reason = ?, since = ? WHERE id = 1;

-- name: raiseGeneration :exec
UPDATE control SET generation = generation + 1 WHERE id = 1;

-- name: putAudit :exec
INSERT INTO audit (at, who, what, detail) VALUES (?, ?, ?, ?);

-- name: auditSince :many
SELECT * FROM audit WHERE at >= @since ORDER BY seq DESC LIMIT @n;

-- name: calledBackBefore :one
SELECT EXISTS (SELECT 1 FROM exposures WHERE addr = ? AND transport = 'udp' AND rule = 'cups-browsed-callback') AS found;

-- What is said of a first sighting, which is most of what a new report brings:
-- the rest is as the table has it. That it is there already would be a mistake of
-- ours and ends the transaction: OR ROLLBACK needs no journal of the statement.
-- name: bearExposure :exec
INSERT OR ROLLBACK INTO exposures (addr, transport, port, rule, name, severity, condition, since, first_seen, last_seen,
    evidence, last, country, region, city, asn, as_name, hostname, simulated, device, contact, ruling, cycle, times_seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'none', 'none', 1, 1);

-- One more sighting of what is there. The row is known to be: what stands for the
-- columns that stay is never kept. Indices of columns that are not named rest.
-- name: sightExposure :exec
INSERT INTO exposures (addr, transport, port, rule, severity, last_seen, times_seen, evidence, last, simulated,
    name, condition, since, contact, ruling, cycle, first_seen, country, region, city, asn, as_name, hostname)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, '', '', 0, 0, '', '', '', 0, '', '')
ON CONFLICT (addr, transport, port, rule) DO UPDATE SET
    severity = excluded.severity, last_seen = excluded.last_seen, times_seen = excluded.times_seen,
    evidence = excluded.evidence, last = excluded.last, simulated = excluded.simulated;

-- name: putExposure :exec
INSERT INTO exposures (addr, transport, port, rule, name, severity, condition, since, contact, ruling, cycle,
    first_seen, last_seen, times_seen, evidence, last, country, region, city, asn, as_name, hostname, simulated,
    device, cleared_at, silent_at, ruled_by, ruled_why, ruled_until, assignee, moved_to, moved_from)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (addr, transport, port, rule) DO UPDATE SET
    severity = excluded.severity, condition = excluded.condition, since = excluded.since,
    contact = excluded.contact, ruling = excluded.ruling, cycle = excluded.cycle,
    first_seen = excluded.first_seen, last_seen = excluded.last_seen, times_seen = excluded.times_seen,
    evidence = excluded.evidence, last = excluded.last, country = excluded.country, region = excluded.region,
    city = excluded.city, asn = excluded.asn, as_name = excluded.as_name, hostname = excluded.hostname,
    simulated = excluded.simulated, device = excluded.device, cleared_at = excluded.cleared_at,
    silent_at = excluded.silent_at, ruled_by = excluded.ruled_by, ruled_why = excluded.ruled_why,
    ruled_until = excluded.ruled_until, assignee = excluded.assignee,
    moved_to = excluded.moved_to, moved_from = excluded.moved_from;

-- name: exposureOf :one
SELECT * FROM exposures WHERE addr = ? AND transport = ? AND port = ? AND rule = ?;

-- name: acceptedUntil :many
SELECT * FROM exposures WHERE ruling = 'accepted' AND ruled_until > 0 AND ruled_until <= ? ORDER BY ruled_until;

-- name: exposuresNamed :many
SELECT * FROM exposures WHERE name = ? LIMIT ?;

-- addrs is a JSON array of addresses in hexadecimal.
-- name: exposuresAt :many
SELECT * FROM exposures WHERE addr IN (SELECT unhex(value) FROM json_each(@addrs));

-- The lists are JSON arrays; an empty one takes all.
-- name: exposuresBetween :many
SELECT * FROM exposures
WHERE addr <= CAST(@hi AS BLOB)
    AND (addr, transport, port, rule) > (CAST(@after_addr AS BLOB), CAST(@after_transport AS TEXT), CAST(@after_port AS INTEGER), CAST(@after_rule AS TEXT))
    AND last_seen >= @since AND last_seen < @before
    AND (CAST(@conditions AS TEXT) = '[]' OR condition IN (SELECT value FROM json_each(CAST(@conditions AS TEXT))))
    AND (CAST(@rules AS TEXT) = '[]' OR rule IN (SELECT value FROM json_each(CAST(@rules AS TEXT))))
    AND (CAST(@severities AS TEXT) = '[]' OR severity IN (SELECT value FROM json_each(CAST(@severities AS TEXT))))
    AND (CAST(@contacts AS TEXT) = '[]' OR contact IN (SELECT value FROM json_each(CAST(@contacts AS TEXT))))
    AND (CAST(@rulings AS TEXT) = '[]' OR ruling IN (SELECT value FROM json_each(CAST(@rulings AS TEXT))))
    AND (CAST(@assignee AS TEXT) = '' OR assignee = CAST(@assignee AS TEXT))
    AND (CAST(@moved AS INTEGER) = 1 OR moved_to = '')
ORDER BY addr, transport, port, rule LIMIT @n;

-- name: exposuresOfASN :many
SELECT * FROM exposures
WHERE asn = @asn AND asn <> 0
    AND (addr, transport, port, rule) > (CAST(@after_addr AS BLOB), CAST(@after_transport AS TEXT), CAST(@after_port AS INTEGER), CAST(@after_rule AS TEXT))
    AND last_seen >= @since AND last_seen < @before
    AND (CAST(@conditions AS TEXT) = '[]' OR condition IN (SELECT value FROM json_each(CAST(@conditions AS TEXT))))
    AND (CAST(@rules AS TEXT) = '[]' OR rule IN (SELECT value FROM json_each(CAST(@rules AS TEXT))))
    AND (CAST(@severities AS TEXT) = '[]' OR severity IN (SELECT value FROM json_each(CAST(@severities AS TEXT))))
    AND (CAST(@contacts AS TEXT) = '[]' OR contact IN (SELECT value FROM json_each(CAST(@contacts AS TEXT))))
    AND (CAST(@rulings AS TEXT) = '[]' OR ruling IN (SELECT value FROM json_each(CAST(@rulings AS TEXT))))
    AND (CAST(@assignee AS TEXT) = '' OR assignee = CAST(@assignee AS TEXT))
    AND (CAST(@moved AS INTEGER) = 1 OR moved_to = '')
ORDER BY addr, transport, port, rule LIMIT @n;

-- name: exposuresOfCountry :many
SELECT * FROM exposures
WHERE country = @country AND country <> ''
    AND (addr, transport, port, rule) > (CAST(@after_addr AS BLOB), CAST(@after_transport AS TEXT), CAST(@after_port AS INTEGER), CAST(@after_rule AS TEXT))
    AND last_seen >= @since AND last_seen < @before
    AND (CAST(@conditions AS TEXT) = '[]' OR condition IN (SELECT value FROM json_each(CAST(@conditions AS TEXT))))
    AND (CAST(@rules AS TEXT) = '[]' OR rule IN (SELECT value FROM json_each(CAST(@rules AS TEXT))))
    AND (CAST(@severities AS TEXT) = '[]' OR severity IN (SELECT value FROM json_each(CAST(@severities AS TEXT))))
    AND (CAST(@contacts AS TEXT) = '[]' OR contact IN (SELECT value FROM json_each(CAST(@contacts AS TEXT))))
    AND (CAST(@rulings AS TEXT) = '[]' OR ruling IN (SELECT value FROM json_each(CAST(@rulings AS TEXT))))
    AND (CAST(@assignee AS TEXT) = '' OR assignee = CAST(@assignee AS TEXT))
    AND (CAST(@moved AS INTEGER) = 1 OR moved_to = '')
ORDER BY addr, transport, port, rule LIMIT @n;

-- name: putTransition :exec
INSERT OR ROLLBACK INTO transitions (addr, transport, port, rule, axis, was, became, cycle, actor, evidence, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: transitionsSince :many
SELECT * FROM transitions WHERE (at, seq) > (CAST(@after_at AS INTEGER), CAST(@after_seq AS INTEGER)) AND at < @until
ORDER BY at, seq LIMIT @n;

-- name: transitionsOf :many
SELECT * FROM transitions WHERE addr = ? AND transport = ? AND port = ? AND rule = ?
    AND (at, seq) > (CAST(@after_at AS INTEGER), CAST(@after_seq AS INTEGER)) AND at < @until
ORDER BY at, seq LIMIT @n;

-- name: putMessage :execrows
INSERT INTO outbox (id, of_run, kind, rule, party, recipient, day, doc, state, reason, mail, planned, next, begun, ended,
    answered, attempts, first_try, texts, envelope, content, owed, owed_why, owed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, '', '', x'', '', '', 0)
ON CONFLICT DO NOTHING;

-- name: putItem :exec
INSERT INTO outbox_items (addr, transport, port, rule, message, cycle, rung, by_rule) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: releaseRun :execrows
UPDATE outbox SET state = @state, reason = @reason WHERE of_run = @name AND state = 'draft';

-- name: dropDraftItems :exec
DELETE FROM outbox_items WHERE message IN (SELECT id FROM outbox WHERE state = 'draft');

-- name: dropDrafts :execrows
DELETE FROM outbox WHERE state = 'draft';

-- name: message :one
SELECT id, of_run, kind, rule, party, recipient, day, doc, state, reason, mail, planned, next, begun, ended, answered, attempts,
    first_try, texts, envelope, owed, owed_why, owed_at, length(content) AS size FROM outbox WHERE id = ?;

-- name: messageOfMail :one
SELECT id FROM outbox WHERE mail = ? AND mail <> '';

-- The lists are JSON arrays; an empty one takes all.
-- name: messages :many
SELECT id, of_run, kind, rule, party, recipient, day, doc, state, reason, mail, planned, next, begun, ended, answered, attempts,
    first_try, texts, envelope, owed, owed_why, owed_at, length(content) AS size FROM outbox
WHERE (planned, id) < (CAST(@before AS INTEGER), CAST(@before_id AS TEXT))
    AND (CAST(@states AS TEXT) = '[]' OR state IN (SELECT value FROM json_each(CAST(@states AS TEXT))))
    AND (CAST(@name AS TEXT) = '' OR of_run = CAST(@name AS TEXT))
ORDER BY planned DESC, id DESC LIMIT @n;

-- name: dueMessages :many
SELECT id FROM outbox WHERE state IN ('planned', 'approved', 'deferred') AND next <= @now AND id > @after_id ORDER BY id LIMIT @n;

-- name: messageIDsIn :many
SELECT id FROM outbox WHERE state = ? ORDER BY id;

-- name: owing :many
SELECT id FROM outbox WHERE owed <> '' ORDER BY owed_at, id;

-- name: itemsOf :many
SELECT * FROM outbox_items WHERE message = ? ORDER BY addr, transport, port, rule;

-- name: attemptsOf :many
SELECT * FROM outbox_attempts WHERE message = ? ORDER BY n;

-- name: contentOf :one
SELECT content FROM outbox WHERE id = ?;

-- name: claimMessage :execrows
UPDATE outbox SET state = 'sending', attempts = attempts + 1, begun = 0, mail = @mail, texts = @texts, envelope = @envelope, content = @content,
    first_try = CASE first_try WHEN 0 THEN @at ELSE first_try END
WHERE id = @id AND state IN ('planned', 'approved', 'deferred');

-- name: beginMessage :execrows
UPDATE outbox SET begun = @at WHERE id = @id AND state = 'sending';

-- name: settleMessage :execrows
UPDATE outbox SET state = @state, reason = @reason, next = @next, begun = @begun, ended = @ended, owed = @owed, owed_why = @owed_why, owed_at = @owed_at
WHERE id = @id AND state = @was;

-- name: paidMessage :exec
UPDATE outbox SET owed = '', owed_why = '' WHERE id = ?;

-- name: answerMessage :exec
UPDATE outbox SET answered = @at, owed = @owed, owed_why = @owed_why, owed_at = @at WHERE id = @id;

-- name: putAttempt :exec
INSERT INTO outbox_attempts (message, n, at, result, stage, code, said)
VALUES (@message, (SELECT COUNT(*) + 1 FROM outbox_attempts WHERE message = @message), @at, @result, @stage, @code, @said);

-- addrs is a JSON array of addresses in hexadecimal.
-- name: deliveriesAt :many
SELECT i.addr, i.transport, i.port, i.rule, i.message, i.cycle, i.rung, i.by_rule,
    o.kind, o.state, o.recipient, o.party, o.planned, o.next, o.ended, o.day, o.of_run, o.reason
FROM outbox_items AS i JOIN outbox AS o ON o.id = i.message
WHERE i.addr IN (SELECT unhex(value) FROM json_each(@addrs)) AND o.state <> 'draft'
ORDER BY i.addr, i.transport, i.port, i.rule, o.planned, i.message;

-- addrs is a JSON array of addresses in hexadecimal.
-- name: answersAt :many
SELECT addr, transport, port, rule, cycle, CAST(MAX(at) AS INTEGER) AS newest FROM transitions
WHERE axis = 'contact' AND became IN ('acknowledged', 'claimed') AND addr IN (SELECT unhex(value) FROM json_each(@addrs))
GROUP BY addr, transport, port, rule, cycle;

-- name: lastContacts :many
SELECT recipient, party, CAST(MAX(CASE WHEN state IN ('sent', 'uncertain', 'bounced') THEN ended ELSE 0 END) AS INTEGER) AS newest,
    CAST(COALESCE(MAX(CASE WHEN state IN ('planned', 'held', 'approved', 'sending', 'deferred') THEN id END), '') AS TEXT) AS open_id
FROM outbox WHERE day >= @since AND state <> 'draft' GROUP BY recipient, party;

-- name: sentByDay :many
SELECT day, COUNT(*) AS n FROM outbox WHERE day >= @since AND state IN ('sent', 'uncertain', 'bounced') GROUP BY day ORDER BY day DESC;

-- name: outboxStates :many
SELECT state, COUNT(*) AS n, CAST(MIN(planned) AS INTEGER) AS oldest FROM outbox GROUP BY state;

-- name: placeCycle :one
SELECT cycle FROM transitions WHERE addr = ? AND transport = ? AND port = ? AND rule = ? AND axis = 'place' AND became = ?
ORDER BY at DESC, seq DESC LIMIT 1;

-- name: tookStep :one
SELECT EXISTS (SELECT 1 FROM transitions WHERE addr = ? AND transport = ? AND port = ? AND rule = ? AND axis = 'contact' AND evidence = ? AND at >= ?) AS found;

-- name: putOutboxHold :exec
INSERT INTO outbox_holds (rule, reason, who, at) VALUES (?, ?, ?, ?)
ON CONFLICT (rule) DO UPDATE SET reason = excluded.reason, who = excluded.who, at = excluded.at;

-- name: dropOutboxHold :execrows
DELETE FROM outbox_holds WHERE rule = ?;

-- name: outboxHolds :many
SELECT * FROM outbox_holds ORDER BY rule;

-- name: hasReply :one
SELECT EXISTS (SELECT 1 FROM outbox_replies WHERE digest = ?) AS found;

-- name: putReply :execrows
INSERT INTO outbox_replies (digest, file, at, kind, message, note) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: repliesTo :many
SELECT * FROM outbox_replies WHERE message = ? ORDER BY at, digest;

-- name: outboxCursor :one
SELECT seq FROM outbox_cursors WHERE name = ?;

-- name: putOutboxCursor :exec
INSERT INTO outbox_cursors (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq;

-- name: transitionsAfter :many
SELECT * FROM transitions WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: countContents :one
SELECT COUNT(*) FROM outbox WHERE content <> x'' AND ended > 0 AND ended < @before AND state NOT IN ('sending', 'uncertain', 'deferred');

-- name: forgetContents :execrows
UPDATE outbox SET content = x'' WHERE content <> x'' AND ended > 0 AND ended < @before AND state NOT IN ('sending', 'uncertain', 'deferred');

-- name: dropRepeats :exec
DELETE FROM repeats WHERE at < @before OR status = 0 AND at < @dead;

-- name: repeat :one
SELECT * FROM repeats WHERE caller = @caller AND word = @word;

-- name: putRepeat :exec
INSERT INTO repeats (caller, word, digest, at, status, kind, body) VALUES (@caller, @word, @digest, @at, 0, '', x'');

-- name: endRepeat :exec
UPDATE repeats SET status = @status, kind = @kind, body = @body WHERE caller = @caller AND word = @word;

-- name: dropRepeat :exec
DELETE FROM repeats WHERE caller = @caller AND word = @word AND status = 0;

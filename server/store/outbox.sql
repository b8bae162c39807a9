-- name: lock_due
SELECT id, message_id, ticket_id, mailbox, mail_from, rcpt_to, raw, attempts
FROM outbox WHERE state = 'queued' AND next_attempt_at <= $1
ORDER BY next_attempt_at, id LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: lease
-- Nobody else tries it while this attempt is under way; a crash gives it back when the lease is over.
UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2 WHERE id = $1

-- name: settle
UPDATE outbox SET state = $2, last_error = $3, sent_at = CASE WHEN $2 = 'sent' THEN $4::timestamptz END WHERE id = $1

-- name: postpone
UPDATE outbox SET next_attempt_at = $2, last_error = $3 WHERE id = $1

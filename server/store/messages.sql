-- name: list_messages
SELECT m.*, a.name AS author_name, o.state AS outbox_state, o.last_error AS outbox_error, o.sent_at,
       (SELECT json_agg(json_build_object('id', t.id::text, 'name', t.name, 'type', t.content_type, 'size', t.size,
                   'sha256', encode(t.sha256, 'hex'), 'inline', t.inline, 'content_id', t.content_id) ORDER BY t.id)
        FROM attachments t WHERE t.message_id = m.id)::text AS attachments
FROM messages m
LEFT JOIN agents a ON a.id = m.author_agent_id
LEFT JOIN LATERAL (SELECT state, last_error, sent_at FROM outbox WHERE message_id = m.id ORDER BY id DESC LIMIT 1) o
    ON true
WHERE m.ticket_id = $1 AND ($2::bigint IS NULL OR m.id < $2) AND ($4::bigint IS NULL OR m.id = $4)
ORDER BY m.id DESC
LIMIT $3

-- name: insert_message
INSERT INTO messages (unit_id, id, ticket_id, kind, direction, author_agent_id, from_address, from_name, to_addresses,
                      subject, body_text, message_id, thread_ids, created_at)
VALUES (1, coalesce($1, nextval('object_id')), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING id

-- name: insert_outbox
INSERT INTO outbox (message_id, ticket_id, mailbox, mail_from, rcpt_to, raw, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: fetch_thread
-- What a reply answers: the newest inbound message, with whom it was from and to.
SELECT id, from_address, from_name, to_addresses, cc_addresses, subject, message_id, thread_ids, trust
FROM messages
WHERE ticket_id = $1 AND direction = 'inbound' AND kind IN ('email', 'form')
ORDER BY (message_id IS NOT NULL) DESC, id DESC
LIMIT 1

-- name: fetch_customer_address
SELECT address FROM customer_emails WHERE customer_id = $1 ORDER BY position, address LIMIT 1

-- name: next_id
SELECT nextval('object_id')

-- name: touch_replied
UPDATE tickets SET status = 'waiting', resolved_at = NULL, first_responded_at = coalesce(first_responded_at, $2),
    assignee_agent_id = coalesce(assignee_agent_id, $3), updated_at = $2, version = version + 1
WHERE id = $1
RETURNING assignee_agent_id

-- name: touch_noted
UPDATE tickets SET updated_at = $2, version = version + 1 WHERE id = $1

-- name: fetch_raw
SELECT m.ticket_id, coalesce(b.content, (SELECT o.raw FROM outbox o WHERE o.message_id = m.id ORDER BY o.id DESC LIMIT 1)) AS raw
FROM messages m LEFT JOIN blobs b ON b.sha256 = m.raw_sha256
WHERE m.id = $1

-- name: fetch_attachment
SELECT t.name, t.content_type, b.content
FROM attachments t JOIN messages m ON m.id = t.message_id JOIN blobs b ON b.sha256 = t.sha256
WHERE t.id = $2 AND m.ticket_id = $1

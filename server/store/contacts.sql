-- name: columns
c.*, q.name AS queue,
k.name AS customer_name, a.name AS agent_name, m.subject, m.message_id AS first_message_id,
r.state AS recording_state, r.content_type AS recording_type, r.size AS recording_size,
r.duration_seconds AS recording_seconds, r.error AS recording_error

-- name: joins
LEFT JOIN queues q ON q.id = c.queue_id
LEFT JOIN customers k ON k.id = c.customer_id
LEFT JOIN agents a ON a.id = c.agent_id
LEFT JOIN recordings r ON r.contact_id = c.id AND r.url = c.recording_url
LEFT JOIN LATERAL (SELECT x.subject, x.id AS message_id FROM messages x
                   WHERE c.channel <> 'call' AND x.ticket_id = c.ticket_id AND x.contact_id = c.id
                   ORDER BY x.id LIMIT 1) m ON true

-- name: set_customer
UPDATE contacts SET customer_id = $2, match = $3, candidates = $4::json, version = version + 1 WHERE id = $1

-- name: set_details
UPDATE contacts SET disposition = $2, ticket_id = $3, version = version + 1 WHERE id = $1

-- name: insert_lessons
-- The newest word counts: what was said before about this number and customer is undone.
WITH earlier AS (
    UPDATE lessons SET undone_at = now()
    WHERE unit_id = 1 AND key = ANY ($1::text[]) AND customer_id = $2 AND undone_at IS NULL
)
INSERT INTO lessons (unit_id, key, customer_id, verdict, agent_id, contact_id)
SELECT 1, key, $2, $3, $4, $5 FROM unnest($1::text[]) AS n (key)
RETURNING id

-- name: undo_lesson
UPDATE lessons SET undone_at = now() WHERE id = $1 AND undone_at IS NULL
RETURNING key, customer_id, verdict, contact_id

-- name: add_phone
INSERT INTO customer_phones (unit_id, customer_id, number, position)
SELECT 1, $1, $2, (SELECT coalesce(max(position), 0) + 1 FROM customer_phones WHERE customer_id = $1)
WHERE NOT EXISTS (SELECT FROM customer_phones WHERE customer_id = $1 AND number = $2)
RETURNING number

-- name: add_email
INSERT INTO customer_emails (unit_id, customer_id, address, match_key, position)
SELECT 1, $1, $2, $3, (SELECT coalesce(max(position), 0) + 1 FROM customer_emails WHERE customer_id = $1)
WHERE NOT EXISTS (SELECT FROM customer_emails WHERE customer_id = $1 AND match_key = $3)
RETURNING address

-- name: touch_customer
UPDATE customers SET updated_at = now(), version = version + 1 WHERE id = $1

-- name: give_ticket
-- The contact's ticket goes to the customer when it had none, or one that nobody has confirmed.
UPDATE tickets t SET customer_id = $2, updated_at = now(), version = version + 1
WHERE t.id = $1 AND t.customer_id IS DISTINCT FROM $2::bigint
    AND (t.customer_id IS NULL OR (SELECT provisional FROM customers WHERE id = t.customer_id))
RETURNING t.id

-- name: take_ticket
UPDATE tickets SET customer_id = NULL, updated_at = now(), version = version + 1
WHERE id = $1 AND customer_id = $2
    AND NOT EXISTS (SELECT FROM contacts WHERE ticket_id = $1 AND id <> $3 AND customer_id = $2)
RETURNING id

-- name: is_needless
-- A provisional customer that is nothing but this number or address, untouched by anybody.
SELECT k.provisional AND k.version = 1 AND k.deleted_at IS NULL AND k.merged_into IS NULL
    AND NOT EXISTS (SELECT FROM customer_phones p WHERE p.customer_id = k.id AND p.number <> ALL ($2::text[]))
    AND NOT EXISTS (SELECT FROM customer_emails e WHERE e.customer_id = k.id AND e.match_key <> ALL ($3::text[]))
    AND NOT EXISTS (SELECT FROM customer_external_ids x WHERE x.customer_id = k.id)
FROM customers k WHERE k.id = $1 FOR UPDATE

-- name: merge_needless
-- Gives what moved, so that it can be told (and undone) later.
WITH c AS (
    UPDATE contacts SET customer_id = $2, version = version + 1 WHERE customer_id = $1 RETURNING id
), t AS (
    UPDATE tickets SET customer_id = $2, version = version + 1 WHERE customer_id = $1 RETURNING id
), earlier AS (
    UPDATE customers SET merged_into = $2 WHERE merged_into = $1
), gone AS (
    UPDATE customers SET merged_into = $2, updated_at = now(), version = version + 1 WHERE id = $1
)
SELECT ARRAY (SELECT id FROM c) AS contacts, ARRAY (SELECT id FROM t) AS tickets

-- name: list_lessons
SELECT l.id, l.key, l.customer_id, k.name AS customer_name, l.verdict, l.agent_id, l.contact_id, l.created_at
FROM lessons l JOIN customers k ON k.id = l.customer_id
WHERE l.unit_id = 1 AND l.customer_id = $1 AND l.undone_at IS NULL
ORDER BY l.id DESC
LIMIT 200

-- name: fetch_dispositions
-- What queues offer as a call's outcome.
SELECT DISTINCT ON (d ->> 'code') d AS said
FROM queues q CROSS JOIN LATERAL jsonb_array_elements(q.dispositions) d
WHERE q.unit_id = 1 AND d ->> 'code' <> ''
ORDER BY d ->> 'code'
LIMIT 200

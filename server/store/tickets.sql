-- name: insert_ticket
-- One round trip: names are looked up, the ticket and its audit row written. No ticket comes back when a
-- name leads nowhere; the row then says which.
WITH ref AS (
    SELECT CASE WHEN $6::text IS NULL THEN (SELECT id FROM queues WHERE unit_id = 1
                                            ORDER BY is_default DESC, id LIMIT 1)
                ELSE (SELECT id FROM queues WHERE unit_id = 1 AND lower(name) = lower($6)
                      ORDER BY (name = $6) DESC LIMIT 1) END AS queue_id,
           (SELECT id FROM agents WHERE id = $7 AND disabled_at IS NULL) AS assignee_id,
           (SELECT coalesce(merged_into, id) FROM customers WHERE id = $8 AND deleted_at IS NULL) AS customer_id
), t AS (
    INSERT INTO tickets (unit_id, kind, subject, status, priority, queue_id, assignee_agent_id, customer_id, channel,
                         fields, first_response_due_at, resolve_due_at, created_at, updated_at, resolved_at)
    SELECT 1, $2, $3, $4, $5, ref.queue_id, ref.assignee_id, ref.customer_id, $9,
           $10::jsonb, $11, $12, $13, $13, CASE WHEN $4 IN ('resolved', 'closed') THEN $13::timestamptz END
    FROM ref
    WHERE ($6::text IS NULL OR ref.queue_id IS NOT NULL) AND ($7::bigint IS NULL OR ref.assignee_id IS NOT NULL)
        AND ($8::bigint IS NULL OR ref.customer_id IS NOT NULL)
    RETURNING *
), log AS (
    INSERT INTO audit (unit_id, agent_id, action, subject_kind, subject_id)
    SELECT 1, $1, 'ticket.open', 'ticket', t.id FROM t
)
SELECT t.*, ref.queue_id AS ref_queue_id, ref.assignee_id AS ref_assignee_id, ref.customer_id AS ref_customer_id,
       (SELECT name FROM queues WHERE id = ref.queue_id) AS queue
FROM ref LEFT JOIN t ON true

-- name: resolve_refs
SELECT (SELECT id FROM queues WHERE unit_id = 1 AND lower(name) = lower($1) ORDER BY (name = $1) DESC LIMIT 1) AS queue_id,
       (SELECT id FROM agents WHERE id = $2 AND disabled_at IS NULL) AS assignee_id,
       (SELECT coalesce(merged_into, id) FROM customers WHERE id = $3 AND deleted_at IS NULL) AS customer_id

-- name: fetch_ticket
-- A merged ticket gives the one it went into (merges are kept one step deep).
SELECT t.*, q.name AS queue
FROM tickets t LEFT JOIN queues q ON q.id = t.queue_id
WHERE t.unit_id = 1 AND t.id = coalesce((SELECT merged_into FROM tickets WHERE id = $1), $1)

-- name: lock_ticket
SELECT t.*, q.name AS queue
FROM tickets t LEFT JOIN queues q ON q.id = t.queue_id
WHERE t.unit_id = 1 AND t.id = coalesce((SELECT merged_into FROM tickets WHERE id = $1), $1)
FOR UPDATE OF t

-- name: update_ticket
WITH t AS (
    UPDATE tickets SET kind = $2, subject = $3, status = $4, priority = $5, queue_id = $6, assignee_agent_id = $7,
        customer_id = $8, fields = $9, first_response_due_at = $10, resolve_due_at = $11, resolved_at = $12,
        updated_at = $13, version = version + 1
    WHERE id = $1
    RETURNING *
)
SELECT t.*, q.name AS queue FROM t LEFT JOIN queues q ON q.id = t.queue_id

-- name: settle_waiting
-- The ticket has its agent (or is done): its mails and forms are no longer offered to others.
UPDATE contacts SET state = CASE WHEN $2::bigint IS NULL THEN 'ended' ELSE 'answered' END, agent_id = $2,
    ended_at = CASE WHEN $2::bigint IS NULL THEN $3::timestamptz END, version = version + 1
WHERE ticket_id = $1 AND channel <> 'call' AND state = 'ringing' AND agent_id IS NULL

-- name: list_tickets
SELECT t.*, q.name AS queue, k.name AS customer_name, a.name AS assignee_name
FROM tickets t
LEFT JOIN queues q ON q.id = t.queue_id
LEFT JOIN customers k ON k.id = t.customer_id
LEFT JOIN agents a ON a.id = t.assignee_agent_id

-- name: lock_pair
SELECT id, customer_id, merged_into, status FROM tickets WHERE unit_id = 1 AND id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE

-- name: move_into
WITH m AS (
    UPDATE messages SET ticket_id = $2 WHERE ticket_id = $1
), c AS (
    UPDATE contacts SET ticket_id = $2, version = version + 1 WHERE ticket_id = $1
), o AS (
    UPDATE outbox SET ticket_id = $2 WHERE ticket_id = $1
), earlier AS (
    UPDATE tickets SET merged_into = $2 WHERE merged_into = $1
), survivor AS (
    UPDATE tickets SET updated_at = $3, version = version + 1, customer_id = coalesce(customer_id, $4)
    WHERE id = $2
)
UPDATE tickets SET merged_into = $2, status = 'closed', resolved_at = coalesce(resolved_at, $3), updated_at = $3,
    version = version + 1
WHERE id = $1

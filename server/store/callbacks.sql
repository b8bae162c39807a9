-- name: lock_open_callback
SELECT id FROM tickets
WHERE customer_id = $1 AND kind = 'callback' AND status IN ('open', 'waiting') AND merged_into IS NULL
ORDER BY id DESC LIMIT 1
FOR UPDATE

-- name: lock_ticket_of
-- The contact's ticket, and whether this call alone has opened it: then it can become the callback itself.
SELECT t.id, t.kind, NOT c.continued AND t.channel = 'call'
           AND NOT EXISTS (SELECT FROM contacts o WHERE o.ticket_id = t.id AND o.id <> c.id)
           AND NOT EXISTS (SELECT FROM messages m WHERE m.ticket_id = t.id) AS own
FROM contacts c JOIN tickets t ON t.id = c.ticket_id
WHERE c.id = $1
FOR UPDATE OF t

-- name: make_callback
-- The call's own ticket becomes the matter of calling back; it goes to the queue, not to whoever did not answer.
UPDATE tickets
SET kind = 'callback', subject = $2, queue_id = coalesce($3, queue_id), resolve_due_at = $4, status = 'open',
    assignee_agent_id = NULL, customer_id = coalesce(customer_id, $5), updated_at = $6, version = version + 1
WHERE id = $1

-- name: insert_callback
INSERT INTO tickets (unit_id, kind, subject, queue_id, customer_id, channel, first_response_due_at, resolve_due_at,
                     created_at, updated_at)
VALUES (1, 'callback', $1, $2, $3, 'call', $4, $4, $5, $5)
RETURNING id

-- name: attach
UPDATE contacts SET ticket_id = $2, continued = true WHERE id = $1

-- name: fold
-- A ticket that one missed call has opened goes into the callback that is open already.
UPDATE tickets SET merged_into = $2, status = 'closed', updated_at = $3, version = version + 1 WHERE id = $1

-- name: touch_callback
UPDATE tickets SET updated_at = $2, version = version + 1 WHERE id = $1

-- name: close_callbacks
-- Somebody has spoken with these customers.
UPDATE tickets t
SET status = 'resolved', resolved_at = $3, updated_at = $3, assignee_agent_id = coalesce(w.agent_id, t.assignee_agent_id),
    first_responded_at = coalesce(t.first_responded_at, $3), version = t.version + 1
FROM unnest($1::bigint[], $2::bigint[]) AS w (customer_id, agent_id)
WHERE t.customer_id = w.customer_id AND t.kind = 'callback' AND t.status IN ('open', 'waiting')
    AND t.merged_into IS NULL
RETURNING t.id, w.agent_id

-- name: fetch_contact_for_pop
SELECT c.*, m.subject, m.from_address, left(m.body_text, 400) AS body, m.trust,
       (SELECT row_to_json(x) FROM (
            SELECT k.*,
                   (SELECT json_agg(json_build_object('number', p.number, 'label', p.label,
                               'extension', p.extension, 'verified', p.verified) ORDER BY p.position)
                    FROM customer_phones p WHERE p.customer_id = k.id) AS phones,
                   (SELECT json_agg(json_build_object('address', e.address, 'verified', e.verified)
                               ORDER BY e.position)
                    FROM customer_emails e WHERE e.customer_id = k.id) AS emails,
                   (SELECT json_object_agg(i.system, i.external_id)
                    FROM customer_external_ids i WHERE i.customer_id = k.id) AS external_ids
            FROM customers k WHERE k.id = c.customer_id) x) AS customer,
       (SELECT json_agg(t) FROM (
            SELECT t.id, t.subject, t.status, t.kind, t.priority, t.queue_id, t.assignee_agent_id, t.channel,
                   t.created_at, t.updated_at, t.resolve_due_at
            FROM tickets t
            WHERE t.id = c.ticket_id OR (t.customer_id = c.customer_id AND t.merged_into IS NULL)
            ORDER BY (t.id = c.ticket_id) DESC, t.id DESC LIMIT 6) t) AS tickets,
       (SELECT json_agg(r) FROM (
            SELECT r.id, r.channel, r.direction, r.state, r.agent_id, r.ticket_id, r.started_at
            FROM contacts r WHERE r.customer_id = c.customer_id AND r.id <> c.id
            ORDER BY -r.id LIMIT 5) r) AS recent
FROM contacts c
LEFT JOIN LATERAL (SELECT subject, from_address, body_text, trust FROM messages
                   WHERE messages.ticket_id = c.ticket_id AND messages.contact_id = c.id
                   ORDER BY id LIMIT 1) m ON true
WHERE c.id = $1

-- name: fetch_unacked
-- Order by commit: created_at is the transaction's time, ids break ties.
SELECT id, contact_id, reason, created_at FROM pops
WHERE agent_id = $1 AND acked_at IS NULL AND created_at > $2
ORDER BY created_at, id

-- name: ack
UPDATE pops SET acked_at = $3 WHERE id = $1 AND agent_id = $2 AND acked_at IS NULL

-- name: insert_pop
INSERT INTO pops (unit_id, agent_id, contact_id, reason) VALUES (1, $1, $2, $3) RETURNING id

-- name: fetch_waiting_for
-- What waits in the agent's queues that are open ($2), oldest first: the head of the line of each tier, so that
-- whoever goes first is among them. $3: calls as well.
SELECT w.*
FROM unnest(ARRAY['standard', 'other']) AS line
CROSS JOIN LATERAL (
    SELECT c.id, c.source, c.call_key, c.channel, c.queue_id, coalesce(c.queued_at, c.started_at) AS queued_at,
           coalesce(k.tier, 'standard') AS tier, coalesce(t.priority, 'normal') AS priority,
           k.owner_agent_id
    FROM contacts c
    JOIN queue_agents qa ON qa.queue_id = c.queue_id AND qa.agent_id = $1 AND qa.eligible
    LEFT JOIN customers k ON k.id = c.customer_id
    LEFT JOIN tickets t ON t.id = c.ticket_id
    WHERE c.state = 'ringing' AND c.agent_id IS NULL AND c.rung_agent_ids = '{}' AND c.routed
        AND c.queue_id = ANY ($2::bigint[]) AND (c.channel <> 'call' OR $3)
        AND (coalesce(k.tier, 'standard') = 'standard') = (line = 'standard')
    ORDER BY (c.channel = 'call') DESC, c.id
    LIMIT 20
) w

-- name: lock_waiting
SELECT id FROM contacts
WHERE id = $1 AND queue_id = $2 AND state = 'ringing' AND agent_id IS NULL AND rung_agent_ids = '{}'
FOR UPDATE

-- name: fetch_free_in
-- Agents of the queue who could take something now, longest idle first.
SELECT p.agent_id
FROM queue_agents qa JOIN presence p ON p.agent_id = qa.agent_id
WHERE qa.queue_id = $1 AND qa.eligible AND p.state = 'available' AND p.call_id IS NULL
    AND p.wrap_up_contact_id IS NULL
ORDER BY p.idle_since, p.agent_id
LIMIT $2

-- name: anything_waits
SELECT EXISTS (SELECT FROM contacts
               WHERE unit_id = 1 AND queue_id = $1 AND state = 'ringing' AND agent_id IS NULL
                   AND rung_agent_ids = '{}' AND routed)

-- name: move_overflown
-- Whoever has waited too long goes on to the next queue, once round at the most.
UPDATE contacts c
SET queue_id = q.overflow_queue_id, queued_at = $1, first_queue_id = coalesce(c.first_queue_id, c.queue_id),
    version = c.version + 1
FROM queues q
WHERE q.id = c.queue_id AND q.overflow_queue_id IS NOT NULL AND q.overflow_after_seconds IS NOT NULL
    AND c.unit_id = 1 AND c.state = 'ringing' AND c.agent_id IS NULL AND c.rung_agent_ids = '{}' AND c.routed
    AND coalesce(c.queued_at, c.started_at) < $1::timestamptz - q.overflow_after_seconds * interval '1 second'
    AND q.overflow_queue_id IS DISTINCT FROM c.first_queue_id
RETURNING c.id, c.ticket_id, q.id AS from_queue_id, q.overflow_queue_id AS to_queue_id

-- name: move_tickets
UPDATE tickets t SET queue_id = w.queue_id, version = t.version + 1
FROM unnest($1::bigint[], $2::bigint[]) AS w (ticket_id, queue_id)
WHERE t.id = w.ticket_id AND t.assignee_agent_id IS NULL

-- name: end_wrap_ups
-- After-call work whose time is over; where a disposition is asked for, it goes on until one is given.
WITH over AS (
    SELECT p.agent_id, p.wrap_up_contact_id AS contact_id
    FROM presence p
    JOIN contacts c ON c.id = p.wrap_up_contact_id
    LEFT JOIN queues q ON q.id = c.queue_id
    WHERE p.wrap_up_contact_id IS NOT NULL AND p.wrap_up_until <= $1
        AND (c.disposition IS NOT NULL OR NOT coalesce(q.disposition_required, false))
    ORDER BY p.agent_id
    FOR UPDATE OF p
), done AS (
    UPDATE contacts c SET wrapped_up_at = $1, version = c.version + 1
    FROM over WHERE c.id = over.contact_id
)
UPDATE presence p SET wrap_up_contact_id = NULL, wrap_up_until = NULL, idle_since = $1
FROM over WHERE p.agent_id = over.agent_id
RETURNING p.agent_id, over.contact_id

-- name: end_wrap_up
WITH done AS (
    UPDATE contacts SET wrapped_up_at = $3 WHERE id = $2 AND wrapped_up_at IS NULL
)
UPDATE presence SET wrap_up_contact_id = NULL, wrap_up_until = NULL, idle_since = $3
WHERE agent_id = $1 AND wrap_up_contact_id = $2

-- name: offer
WITH busy AS (
    UPDATE presence SET call_id = $1 WHERE agent_id = $2 AND (SELECT channel FROM contacts WHERE id = $1) = 'call'
)
UPDATE contacts SET agent_id = $2, rung_agent_ids = ARRAY[$2::bigint], version = version + 1,
    state = CASE WHEN channel = 'call' THEN state ELSE 'answered' END
WHERE id = $1
RETURNING ticket_id

-- name: assign_if_free
UPDATE tickets SET assignee_agent_id = $2, updated_at = $3, version = version + 1
WHERE id = $1 AND assignee_agent_id IS NULL

-- name: fetch_presence
SELECT p.state, p.reason, p.since, p.call_id IS NOT NULL AS busy, p.wrap_up_contact_id, p.wrap_up_until
FROM presence p WHERE p.agent_id = $1

-- name: set_presence
INSERT INTO presence (agent_id, state, reason, since, idle_since) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (agent_id) DO UPDATE
SET state = excluded.state, reason = excluded.reason, since = excluded.since,
    idle_since = CASE WHEN presence.state = 'available' THEN presence.idle_since ELSE excluded.since END
WHERE presence.state <> excluded.state OR presence.reason <> excluded.reason

-- name: connect_presence
-- A connection makes an agent available who had not said otherwise.
INSERT INTO presence (agent_id, state, since, idle_since, call_id)
VALUES ($1, 'available', $2, $2, (SELECT c.id FROM contacts c
                                  WHERE c.agent_id = $1 AND c.channel = 'call' AND c.ended_at IS NULL LIMIT 1))
ON CONFLICT (agent_id) DO UPDATE
SET state = 'available', reason = '', since = $2, idle_since = $2, call_id = excluded.call_id
WHERE presence.state = 'offline'

-- name: fetch_live_calls
SELECT c.id, c.source, c.call_key, c.legs, c.agent_id, c.direction, c.customer_id, c.queue_id, c.ani,
       k.name AS customer_name
FROM contacts c LEFT JOIN customers k ON k.id = c.customer_id
WHERE c.channel = 'call' AND c.ended_at IS NULL
    AND (c.started_at < $1
         OR (c.started_at < $2 AND c.legs::text = '{}')
         OR (c.started_at < $3 AND c.state = 'ringing' AND c.agent_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM pops p
                             WHERE p.agent_id = c.agent_id AND p.contact_id = c.id AND p.created_at >= $3)))
ORDER BY c.id LIMIT 200

-- name: close_swept
UPDATE contacts SET state = $2, legs = $3::json, ended_at = $4, hangup_cause = coalesce(hangup_cause, 'swept'),
    version = version + 1
WHERE id = $1 AND ended_at IS NULL

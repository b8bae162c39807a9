-- name: fetch_own_tickets
SELECT t.id, t.subject, t.status, t.priority, t.channel, t.updated_at, t.created_at, t.resolve_due_at,
       t.first_response_due_at, t.first_responded_at, t.customer_id, k.name AS customer_name
FROM tickets t
LEFT JOIN customers k ON k.id = t.customer_id
WHERE t.assignee_agent_id = $1 AND t.status = ANY ('{open,waiting}') AND t.merged_into IS NULL
-- What is overdue has the earliest time, so it comes first.
ORDER BY least(CASE WHEN t.first_responded_at IS NULL THEN t.first_response_due_at END, t.resolve_due_at) NULLS LAST,
         (t.priority = 'urgent') DESC, t.id DESC
LIMIT $2

-- name: fetch_waiting
-- What waits in these queues, calls first: a caller is on the line. Of each queue only the oldest are read.
SELECT w.id, w.channel, w.ani, w.withheld, w.display_name, w.started_at, w.queue_id, w.ticket_id,
       k.name AS customer_name, k.tier, t.subject
FROM unnest($1::bigint[]) AS q (id)
CROSS JOIN LATERAL (
    (SELECT * FROM contacts c
     WHERE c.unit_id = 1 AND c.queue_id = q.id AND c.state = 'ringing' AND c.agent_id IS NULL
         AND c.rung_agent_ids = '{}' AND c.channel <> 'call'
     ORDER BY c.id LIMIT $2)
    UNION ALL
    (SELECT * FROM contacts c
     WHERE c.unit_id = 1 AND c.queue_id = q.id AND c.state = 'ringing' AND c.agent_id IS NULL
         AND c.rung_agent_ids = '{}' AND c.channel = 'call' AND c.ended_at IS NULL
     ORDER BY c.id LIMIT $2)) w
LEFT JOIN customers k ON k.id = w.customer_id
LEFT JOIN tickets t ON t.id = w.ticket_id
ORDER BY (w.channel = 'call') DESC, w.id

-- name: fetch_own_queues
SELECT queue_id FROM queue_agents WHERE agent_id = $1

-- name: fetch_live_calls
-- The agent's own calls first, then those that ring there.
SELECT c.id, c.state, c.ani, c.withheld, c.display_name, c.started_at, c.answered_at, c.queue_id, c.agent_id,
       k.name AS customer_name
FROM contacts c LEFT JOIN customers k ON k.id = c.customer_id
WHERE c.channel = 'call' AND c.ended_at IS NULL AND (c.agent_id = $1 OR $1 = ANY (c.rung_agent_ids))
    AND c.started_at > $2 AND c.state <> 'missed'
ORDER BY (c.agent_id = $1 AND c.state <> 'ringing') DESC NULLS LAST, c.id DESC
LIMIT 6

-- name: fetch_recent_own
-- Among the newest pops only: what an agent had lately is there, whatever the table's age.
SELECT c.id, c.channel, c.direction, c.state, c.ani, c.withheld, c.display_name, c.started_at, c.ended_at, c.ticket_id,
       k.name AS customer_name
FROM (SELECT id, agent_id, contact_id, created_at FROM pops ORDER BY id DESC LIMIT 4000) p
JOIN contacts c ON c.id = p.contact_id
LEFT JOIN customers k ON k.id = c.customer_id
WHERE p.agent_id = $1 AND p.created_at > $2
ORDER BY p.id DESC
LIMIT 20

-- name: fetch_contact_ticket
SELECT c.id, c.ticket_id, c.channel, c.state, c.customer_id, c.agent_id, c.ended_at, c.queue_id, c.ani, c.withheld,
       t.assignee_agent_id, t.version AS ticket_version
FROM contacts c LEFT JOIN tickets t ON t.id = c.ticket_id
WHERE c.unit_id = 1 AND c.id = $1

-- name: fetch_candidates
-- Who else could be calling, beside what the contact's row keeps of them.
SELECT k.id, k.number, k.name, k.company, k.kind, k.tier, k.provisional, k.tags,
       (SELECT p.number FROM customer_phones p WHERE p.customer_id = k.id ORDER BY p.position LIMIT 1) AS phone,
       (SELECT e.address FROM customer_emails e WHERE e.customer_id = k.id ORDER BY e.position LIMIT 1) AS email,
       (SELECT c.started_at FROM contacts c WHERE c.customer_id = k.id ORDER BY (-c.id) LIMIT 1) AS last_contact_at
FROM customers k
WHERE k.id = ANY ($1::bigint[]) AND k.deleted_at IS NULL AND k.merged_into IS NULL

-- name: fetch_refused
-- Whom agents ruled out for this number or address.
SELECT DISTINCT l.customer_id FROM lessons l
WHERE l.unit_id = 1 AND l.key = $1 AND l.verdict = 'never' AND l.undone_at IS NULL

-- name: is_taught
-- Whether an agent said of this number or address: it is this customer.
SELECT EXISTS (SELECT FROM lessons l
               WHERE l.unit_id = 1 AND l.key = $1 AND l.customer_id = $2 AND l.verdict = 'is' AND l.undone_at IS NULL)

-- name: fetch_ticket_contacts
SELECT c.id, c.channel, c.direction, c.state, c.ani, c.dnis, c.withheld, c.started_at, c.answered_at, c.ended_at,
       c.recording_url, c.disposition, c.hangup_cause, c.continued, a.name AS agent_name,
       c.call_key, c.legs, c.ring_seconds, c.talk_seconds, c.hold_seconds, c.stir, c.note, q.dispositions
FROM contacts c LEFT JOIN agents a ON a.id = c.agent_id LEFT JOIN queues q ON q.id = c.queue_id
WHERE c.ticket_id = $1 AND c.channel IN ('call', 'sms')
ORDER BY c.id DESC LIMIT 200

-- name: fetch_call_facts
SELECT c.channel, c.call_key, c.legs, c.ring_seconds, c.talk_seconds, c.hold_seconds, c.stir, c.disposition, c.note,
       q.dispositions
FROM contacts c LEFT JOIN queues q ON q.id = c.queue_id
WHERE c.unit_id = 1 AND c.id = $1

-- name: fetch_audit
SELECT x.id, x.at, x.action, x.data, a.name AS agent_name
FROM audit x LEFT JOIN agents a ON a.id = x.agent_id
WHERE x.subject_kind = $1 AND x.subject_id = $2
ORDER BY x.id DESC LIMIT 200

-- name: fetch_board
-- Each agent with what the supervisor wants to know.
SELECT a.id, a.name, a.role, a.extension, coalesce(p.state, 'offline') AS state, coalesce(p.reason, '') AS reason, p.since,
       p.wrap_up_contact_id, p.idle_since,
       c.id AS contact_id, c.state AS call_state, c.answered_at, c.started_at, c.ani, c.withheld, k.name AS customer_name,
       (SELECT array_agg(qa.queue_id) FROM queue_agents qa WHERE qa.agent_id = a.id) AS queue_ids
FROM agents a
LEFT JOIN presence p ON p.agent_id = a.id
LEFT JOIN LATERAL (SELECT * FROM contacts x WHERE x.agent_id = a.id AND x.channel = 'call' AND x.ended_at IS NULL
                   ORDER BY (x.state <> 'ringing') DESC, x.id DESC LIMIT 1) c ON true
LEFT JOIN customers k ON k.id = c.customer_id
WHERE a.unit_id = 1 AND a.disabled_at IS NULL
ORDER BY a.name
LIMIT 500

-- name: fetch_assignable
SELECT a.id, a.name, coalesce(p.state, 'offline') AS state
FROM agents a LEFT JOIN presence p ON p.agent_id = a.id
WHERE a.unit_id = 1 AND a.disabled_at IS NULL
ORDER BY lower(a.name) LIMIT 500

-- name: fetch_message_html
SELECT body_html FROM messages WHERE ticket_id = $1 AND id = $2

-- name: fetch_wrap_up
SELECT p.wrap_up_contact_id AS contact_id, p.wrap_up_until, c.ended_at, c.disposition, c.note,
       CASE WHEN c.direction = 'outbound' THEN c.dnis ELSE c.ani END AS ani, c.withheld, c.display_name,
       q.dispositions, q.disposition_required, k.name AS customer_name
FROM presence p
JOIN contacts c ON c.id = p.wrap_up_contact_id
LEFT JOIN queues q ON q.id = c.queue_id
LEFT JOIN customers k ON k.id = c.customer_id
WHERE p.agent_id = $1

-- name: lock_contact
SELECT c.*, q.dispositions, q.disposition_required
FROM contacts c LEFT JOIN queues q ON q.id = c.queue_id
WHERE c.unit_id = 1 AND c.id = $1
FOR UPDATE OF c

-- name: fetch_wrapping_agent
SELECT agent_id FROM presence WHERE wrap_up_contact_id = $1 LIMIT 1

-- name: set_result
UPDATE contacts SET disposition = $2, note = $3, version = version + 1 WHERE id = $1

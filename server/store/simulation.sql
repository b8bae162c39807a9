-- name: fetch_customers
SELECT c.name, c.language, coalesce(p.number, '') AS phone, coalesce(e.address, '') AS email
FROM (
    SELECT id, name, language FROM customers
    WHERE unit_id = 1 AND deleted_at IS NULL AND merged_into IS NULL AND NOT provisional
    ORDER BY id DESC LIMIT 5000
) c
LEFT JOIN LATERAL (SELECT number FROM customer_phones WHERE customer_id = c.id ORDER BY position LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT address FROM customer_emails WHERE customer_id = c.id ORDER BY position LIMIT 1) e ON true
ORDER BY md5(c.id::text || $1)
LIMIT $2

-- name: fetch_agents
SELECT a.name, a.email, coalesce(a.extension, '') AS extension, coalesce(p.state = 'available', false) AS available
FROM agents a LEFT JOIN presence p ON p.agent_id = a.id
WHERE a.unit_id = 1 AND a.disabled_at IS NULL
ORDER BY a.id

-- name: fetch_replies
SELECT m.message_id, m.subject, m.from_address AS mailbox_address, m.to_addresses[1] AS customer_address,
       coalesce(c.name, '') AS customer_name, coalesce(c.language, '') AS language
FROM messages m
JOIN tickets t ON t.id = m.ticket_id AND t.status IN ('open', 'waiting')
LEFT JOIN customers c ON c.id = t.customer_id
WHERE m.unit_id = 1 AND m.kind = 'reply' AND m.direction = 'outbound' AND m.message_id IS NOT NULL
  AND cardinality(m.to_addresses) > 0
  AND NOT EXISTS (SELECT FROM messages later WHERE later.ticket_id = m.ticket_id AND later.id > m.id
                  AND later.direction = 'inbound')
ORDER BY m.id DESC LIMIT $1

-- name: fetch_dnis
SELECT d.dnis FROM queue_dnis d JOIN queues q ON q.id = d.queue_id
WHERE d.unit_id = 1 ORDER BY q.name <> $1, d.dnis

-- name: fetch_dialling
-- Who dials, and whom: the named customer or the ticket's (or the one that it was merged into), who has the number.
WITH ticket AS (
    SELECT t.id, t.customer_id FROM tickets t
    WHERE t.id = coalesce((SELECT merged_into FROM tickets WHERE id = $3), $3) AND t.unit_id = 1
), meant AS (
    SELECT coalesce($2, (SELECT customer_id FROM ticket)) AS id
)
SELECT a.extension,
       (SELECT json_build_object('id', k.id, 'name', k.name, 'blocked', k.blocked, 'do_not_contact', k.do_not_contact)
        FROM customers k, meant m
        WHERE k.id = coalesce((SELECT merged_into FROM customers WHERE id = m.id), m.id) AND k.unit_id = 1
            AND k.deleted_at IS NULL) AS customer,
       (SELECT id FROM ticket) AS ticket_id,
       (SELECT json_agg(x) FROM (
            SELECT k.id, k.name, k.blocked, k.do_not_contact
            FROM customers k
            WHERE k.id IN (SELECT p.customer_id FROM customer_phones p WHERE p.unit_id = 1 AND p.number = $4)
                AND k.deleted_at IS NULL AND k.merged_into IS NULL
            LIMIT 50) x) AS known
FROM agents a
WHERE a.unit_id = 1 AND a.id = $1 AND a.disabled_at IS NULL

-- name: expect_call
-- The contact of a call that was asked for. Its first event may have been faster.
INSERT INTO contacts (unit_id, channel, direction, source, call_key, state, dnis, customer_id, ticket_id, agent_id,
                      rung_agent_ids, match, started_at)
VALUES (1, 'call', 'outbound', $1, $2, 'ringing', $3, $4, $5, $6, ARRAY[$6::bigint],
        CASE WHEN $4::bigint IS NULL THEN 'unknown' ELSE 'matched' END, $7)
ON CONFLICT (unit_id, source, call_key) DO UPDATE
SET customer_id = coalesce(excluded.customer_id, contacts.customer_id),
    ticket_id = coalesce(excluded.ticket_id, contacts.ticket_id),
    match = CASE WHEN excluded.customer_id IS NULL THEN contacts.match ELSE 'matched' END,
    agent_id = coalesce(contacts.agent_id, excluded.agent_id),
    version = contacts.version + 1
RETURNING id

-- name: fetch_going_call
SELECT c.id, c.channel, c.source, c.call_key, c.state, c.direction, c.ani, c.dnis, c.legs, c.agent_id, c.rung_agent_ids,
       c.queue_id, c.customer_id, c.ended_at,
       (SELECT x.data FROM audit x
        WHERE x.subject_kind = 'contact' AND x.subject_id = c.id AND x.action = 'call.command'
            AND x.data ->> 'outcome' = 'done' AND x.data ->> 'do' = ANY ('{attended,complete,transfer,hang_up}')
        ORDER BY x.at DESC, x.id DESC LIMIT 1) AS last_command
FROM contacts c
WHERE c.unit_id = 1 AND c.id = $1

-- name: lock_request
SELECT pg_advisory_xact_lock($1)

-- name: fetch_requests
-- What became of a request with this key: among the latest of its subject, whatever the table's age.
SELECT x.data, x.at
FROM (SELECT id, data, at, action, agent_id FROM audit
      WHERE subject_kind = $1 AND subject_id = $2 ORDER BY id DESC LIMIT 500) x
WHERE x.action = $3 AND x.agent_id = $4 AND x.data ->> 'key' = $5
ORDER BY x.at, x.id

-- name: find_targets
-- Whom a call may be handed to, the free ones first. $1 has it; $2 is a pattern of a name or an extension.
SELECT * FROM (
    (SELECT 'agent' AS kind, a.id, a.name, '' AS title_zh, a.extension AS target,
            s.state, array_position('{available,queue,busy,not_ready,offline}', s.state) AS rank
     FROM agents a
     LEFT JOIN presence p ON p.agent_id = a.id
     CROSS JOIN LATERAL (
         SELECT CASE WHEN p.state = 'available' AND p.call_id IS NOT NULL THEN 'busy'
                     WHEN p.state = 'available' AND p.wrap_up_contact_id IS NOT NULL THEN 'not_ready'
                     ELSE coalesce(p.state, 'offline') END AS state) s
     WHERE a.unit_id = 1 AND a.disabled_at IS NULL AND a.extension <> '' AND a.id <> $1
         AND (a.name ILIKE $2 OR a.extension ILIKE $2)
     ORDER BY rank, lower(a.name) LIMIT $3)
    UNION ALL
    (SELECT 'queue', q.id, coalesce(nullif(q.title_en, ''), q.name), coalesce(nullif(q.title_zh, ''), q.name), d.dnis, '', 2
     FROM queues q
     JOIN LATERAL (SELECT x.dnis FROM queue_dnis x WHERE x.queue_id = q.id ORDER BY x.dnis LIMIT 1) d ON true
     WHERE q.unit_id = 1 AND (q.name ILIKE $2 OR q.title_en ILIKE $2 OR q.title_zh ILIKE $2 OR d.dnis ILIKE $2)
     ORDER BY lower(q.name) LIMIT $3)) found
ORDER BY rank, lower(name)
LIMIT $3

-- name: columns
k.*,
(SELECT json_agg(json_build_object('number', p.number, 'label', p.label, 'extension', p.extension,
                                   'verified', p.verified) ORDER BY p.position, p.number)
 FROM customer_phones p WHERE p.customer_id = k.id)::text AS phones,
(SELECT json_agg(json_build_object('address', e.address, 'verified', e.verified) ORDER BY e.position, e.address)
 FROM customer_emails e WHERE e.customer_id = k.id)::text AS emails,
(SELECT json_object_agg(x.system, x.external_id ORDER BY x.system)
 FROM customer_external_ids x WHERE x.customer_id = k.id)::text AS external_ids

-- name: insert_customer
WITH k AS (
    INSERT INTO customers (unit_id, id, number, kind, name, company, language, time_zone, owner_agent_id, tier,
                           blocked, provisional, do_not_contact, tags, fields, notes, search_key)
    SELECT 1, n.id, 'C-' || lpad(n.id::text, greatest(6, length(n.id::text)), '0'), $2, $3, $4, $5, $6, $7, $8, $9,
           $10, $11::text[], $12::text[], $13::jsonb, $14, $15
    FROM (SELECT nextval('object_id') AS id) n
    RETURNING id
), p AS (
    INSERT INTO customer_phones (unit_id, customer_id, number, label, extension, verified, position)
    SELECT 1, k.id, n.number, n.label, n.extension, n.verified, n.position
    FROM k, unnest($16::text[], $17::text[], $18::text[], $19::boolean[])
        WITH ORDINALITY AS n (number, label, extension, verified, position)
), e AS (
    INSERT INTO customer_emails (unit_id, customer_id, address, match_key, verified, position)
    SELECT 1, k.id, n.address, n.match_key, n.verified, n.position
    FROM k, unnest($20::text[], $21::text[], $22::boolean[])
        WITH ORDINALITY AS n (address, match_key, verified, position)
), x AS (
    INSERT INTO customer_external_ids (unit_id, system, external_id, customer_id)
    SELECT 1, n.system, n.external_id, k.id FROM k, unnest($23::text[], $24::text[]) AS n (system, external_id)
), log AS (
    INSERT INTO audit (unit_id, agent_id, action, subject_kind, subject_id)
    SELECT 1, $1, 'customer.create', 'customer', k.id FROM k
)
SELECT id FROM k

-- name: update_customer
UPDATE customers SET kind = $2, name = $3, company = $4, language = $5, time_zone = $6, owner_agent_id = $7, tier = $8,
    blocked = $9, provisional = $10, do_not_contact = $11, tags = $12, fields = $13, notes = $14, search_key = $15,
    updated_at = now(), version = version + 1
WHERE id = $1

-- name: replace_phones
WITH gone AS (
    DELETE FROM customer_phones WHERE customer_id = $1
        AND (number, extension) NOT IN (SELECT * FROM unnest($2::text[], $4::text[]))
)
INSERT INTO customer_phones (unit_id, customer_id, number, label, extension, verified, position)
SELECT 1, $1, n.number, n.label, n.extension, n.verified, n.position
FROM unnest($2::text[], $3::text[], $4::text[], $5::boolean[])
    WITH ORDINALITY AS n (number, label, extension, verified, position)
ON CONFLICT (customer_id, number, extension) DO UPDATE
SET label = excluded.label, verified = excluded.verified, position = excluded.position

-- name: replace_emails
WITH gone AS (
    DELETE FROM customer_emails WHERE customer_id = $1 AND address <> ALL ($2::text[])
)
INSERT INTO customer_emails (unit_id, customer_id, address, match_key, verified, position)
SELECT 1, $1, n.address, n.match_key, n.verified, n.position
FROM unnest($2::text[], $3::text[], $4::boolean[]) WITH ORDINALITY AS n (address, match_key, verified, position)
ON CONFLICT (customer_id, address) DO UPDATE
SET match_key = excluded.match_key, verified = excluded.verified, position = excluded.position

-- name: delete_external_ids
DELETE FROM customer_external_ids WHERE customer_id = $1

-- name: insert_external_ids
INSERT INTO customer_external_ids (unit_id, system, external_id, customer_id)
SELECT 1, n.system, n.external_id, $1 FROM unnest($2::text[], $3::text[]) AS n (system, external_id)

-- name: delete_customer
UPDATE customers SET deleted_at = now(), updated_at = now(), version = version + 1 WHERE id = $1

-- name: agent_exists
SELECT EXISTS (SELECT FROM agents WHERE id = $1 AND disabled_at IS NULL)

-- name: timeline
-- Each kind is read newest first up to the page's size, then the kinds are merged.
WITH known AS (
    SELECT id FROM customers WHERE id = $1 OR merged_into = $1
), told AS (
    (SELECT c.started_at AS at, 3 AS rank, c.id, 'contact' AS type, c.ticket_id, c.agent_id,
            json_build_object('channel', c.channel, 'direction', c.direction, 'state', c.state, 'ani', c.ani,
                'dnis', c.dnis, 'answered_at', c.answered_at, 'ended_at', c.ended_at, 'disposition', c.disposition,
                'recording_url', c.recording_url) AS data
     FROM contacts c
     WHERE c.customer_id = $1 AND ($2::timestamptz IS NULL OR (c.started_at, 3, c.id) < ($2, $3::int, $4::bigint))
     ORDER BY c.started_at DESC, c.id DESC LIMIT $5)
    UNION ALL
    (SELECT t.created_at, 1, t.id, 'ticket', t.id, t.assignee_agent_id,
            json_build_object('kind', t.kind, 'subject', t.subject, 'status', t.status, 'priority', t.priority,
                'channel', t.channel)
     FROM tickets t
     WHERE t.customer_id = $1 AND t.merged_into IS NULL
         AND ($2::timestamptz IS NULL OR (t.created_at, 1, t.id) < ($2, $3::int, $4::bigint))
     ORDER BY t.created_at DESC, t.id DESC LIMIT $5)
    UNION ALL
    (SELECT m.created_at, 2, m.id, 'message', m.ticket_id, m.author_agent_id,
            json_build_object('kind', m.kind, 'direction', m.direction, 'from', m.from_address,
                'subject', m.subject, 'text', left(m.body_text, 500), 'trust', m.trust)
     FROM messages m JOIN tickets t ON t.id = m.ticket_id
     WHERE t.customer_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, 2, m.id) < ($2, $3::int, $4::bigint))
     ORDER BY m.created_at DESC, m.id DESC LIMIT $5)
    UNION ALL
    (SELECT a.at, 0, a.id, 'change', NULL, a.agent_id, json_build_object('action', a.action, 'data', a.data)
     FROM audit a
     WHERE a.subject_kind = 'customer' AND a.subject_id IN (SELECT id FROM known)
         AND ($2::timestamptz IS NULL OR (a.at, 0, a.id) < ($2, $3::int, $4::bigint))
     ORDER BY a.at DESC, a.id DESC LIMIT $5)
)
SELECT told.at, told.rank, told.id, told.type, told.ticket_id, told.agent_id, told.data::text AS data, g.name AS agent_name
FROM told LEFT JOIN agents g ON g.id = told.agent_id
ORDER BY told.at DESC, told.rank DESC, told.id DESC
LIMIT $5

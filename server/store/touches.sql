-- name: read_touch
-- Ledger, what the mail answers, and who may have sent it, in one round trip.
WITH fresh AS (
    INSERT INTO inbound_events (unit_id, source, event_key, call_key, payload, received_at)
    VALUES (1, $1, $2, $2, $3, $4)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM fresh) AS fresh,
       (SELECT json_build_object('id', c.id, 'ticket_id', c.ticket_id) FROM contacts c
        WHERE c.unit_id = 1 AND c.source = $1 AND c.call_key = $2) AS existing,
       nextval('object_id') AS contact_id, nextval('object_id') AS message_id, nextval('object_id') AS customer_id,
       nextval('ticket_id') AS ticket_id,
       (SELECT m.ticket_id FROM messages m
        WHERE m.unit_id = 1 AND m.message_id = ANY ($5::text[])
        ORDER BY array_position($5::text[], m.message_id) LIMIT 1) AS thread_ticket_id,
       (SELECT json_agg(found)
        FROM (
            SELECT k.id, k.name, k.provisional, k.owner_agent_id, k.language, hit.kind, hit.key, hit.verified,
                   (SELECT (array_agg(l.verdict ORDER BY l.id DESC))[1] FROM lessons l
                    WHERE l.unit_id = 1 AND l.key = hit.key AND l.customer_id = k.id AND l.undone_at IS NULL
                   ) AS verdict,
                   (SELECT r.agent_id FROM contacts r WHERE r.customer_id = k.id AND r.agent_id IS NOT NULL
                    ORDER BY -r.id LIMIT 1) AS last_agent_id
            FROM (
                SELECT e.customer_id, 'email' AS kind, 'mail:' || e.match_key AS key, e.verified
                FROM customer_emails e WHERE e.unit_id = 1 AND e.match_key = $6 AND $6 <> ''
                UNION ALL
                SELECT p.customer_id, 'phone', 'tel:' || p.number, p.verified
                FROM customer_phones p WHERE p.unit_id = 1 AND p.number = $7 AND $7 <> ''
            ) hit
            JOIN customers k ON k.id = hit.customer_id AND k.deleted_at IS NULL AND k.merged_into IS NULL
            LIMIT 20
        ) found) AS found

-- name: fetch_ticket_for_reply
-- The ticket that a mail answers, merged ones followed, and whether the sender is known to it.
WITH RECURSIVE chain AS (
    SELECT t.*, 0 AS depth FROM tickets t WHERE t.id = $1
    UNION ALL
    SELECT t.*, chain.depth + 1 FROM tickets t JOIN chain ON t.id = chain.merged_into WHERE chain.depth < 20
)
SELECT t.id, t.subject, t.status, t.assignee_agent_id, t.customer_id, t.queue_id, t.kind,
       EXISTS (SELECT FROM messages m
               WHERE m.ticket_id = t.id AND (lower(m.from_address) = $2
                   OR $2 = ANY (SELECT lower(x) FROM unnest(m.to_addresses || m.cc_addresses) x)))
       OR EXISTS (SELECT FROM customer_emails e
                  WHERE e.customer_id = t.customer_id AND e.match_key = $3) AS participant
FROM chain t WHERE t.merged_into IS NULL

-- name: write_touch
WITH t AS (
    INSERT INTO tickets (unit_id, id, kind, subject, queue_id, assignee_agent_id, customer_id, channel, fields,
                         first_response_due_at, resolve_due_at, created_at, updated_at)
    SELECT 1, $1, 'inquiry', $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $10 WHERE $11
), back AS (
    UPDATE tickets SET updated_at = $10, version = version + 1, resolved_at = NULL,
        status = CASE WHEN $12 THEN 'open' ELSE status END
    WHERE id = $1 AND NOT $11
), c AS (
    INSERT INTO contacts (unit_id, id, channel, direction, source, call_key, state, ani, ani_raw, display_name,
                          customer_id, ticket_id, continued, agent_id, rung_agent_ids, queue_id, match, candidates,
                          started_at)
    VALUES (1, $13, $6, 'inbound', $14, $15, $16, $17, $18, $19, $5, $1, NOT $11, $20,
            $21::bigint[], $3, $22, $23::json, $10)
), b AS (
    INSERT INTO blobs (sha256, size, content) SELECT $24::bytea, length($25::bytea), $25::bytea WHERE $24::bytea IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO messages (unit_id, id, ticket_id, contact_id, kind, direction, from_address, from_name, to_addresses,
                      cc_addresses, subject, body_text, body_html, quoted_text, trust, message_id, thread_ids,
                      raw_sha256, created_at)
VALUES (1, $26, $1, $13, $27, 'inbound', $28, $19, $29, $30, $31, $32, $33, $34, $35, $36, $37, $24, $10)

-- name: insert_blob
INSERT INTO blobs (sha256, size, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: insert_attachment
INSERT INTO attachments (message_id, name, content_type, size, sha256, inline, content_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: set_bounced
-- The outgoing message whose delivery failed, found by the ids that the bounce carries.
UPDATE outbox SET state = 'failed', last_error = $2
WHERE message_id IN (SELECT id FROM messages WHERE unit_id = 1 AND message_id = ANY ($1::text[]))

-- name: read_batch
-- Ledger and everything that the decision needs, in one round trip. The advisory locks of the batch
-- (calls, numbers, queues) are already held, so what is read cannot be changed by another batch.
-- Lists are put in order by the reader: a sort node per customer cost a third of this statement.
WITH incoming AS (
    SELECT *
    FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::timestamptz[])
        AS t (i, source, event_key, call_key, phone, payload, received_at)
), fresh AS (
    INSERT INTO inbound_events (unit_id, source, event_key, call_key, payload, received_at)
    SELECT $1, source, event_key, call_key, payload, received_at FROM incoming
    ON CONFLICT DO NOTHING
    RETURNING source, event_key
)
SELECT incoming.i,
       CASE WHEN incoming.i = 0 THEN (SELECT array_agg(source || chr(31) || event_key) FROM fresh) END AS fresh,
       c.id AS contact_id, c.state, c.legs, c.agent_id, c.rung_agent_ids, c.queue_id, c.customer_id, c.ticket_id,
       c.direction, c.ani, c.dnis, c.match, c.continued, c.started_at, c.display_name, c.withheld, c.candidates,
       CASE WHEN c.id IS NULL THEN nextval('object_id') END AS new_contact_id,
       CASE WHEN c.id IS NULL THEN nextval('ticket_id') END AS new_ticket_id,
       CASE WHEN (c.id IS NULL OR (c.customer_id IS NULL AND c.ani IS NULL)) AND incoming.phone <> '' THEN (
           SELECT json_agg(found)
           FROM (
               SELECT k.id, k.number, k.kind, k.name, k.company, k.language, k.time_zone, k.tier, k.blocked,
                      k.provisional, k.owner_agent_id, k.do_not_contact, k.tags, k.fields, k.notes,
                      k.created_at, k.updated_at, p.verified, p.label,
                      (SELECT (array_agg(l.verdict ORDER BY l.id DESC))[1] FROM lessons l
                       WHERE l.unit_id = $1 AND l.key = 'tel:' || incoming.phone AND l.customer_id = k.id
                           AND l.undone_at IS NULL) AS verdict,
                      (SELECT json_agg(json_build_object('number', x.number, 'label', x.label,
                                  'extension', x.extension, 'verified', x.verified, 'position', x.position))
                       FROM customer_phones x WHERE x.customer_id = k.id) AS phones,
                      (SELECT json_agg(json_build_object('address', x.address, 'verified', x.verified,
                                  'position', x.position))
                       FROM customer_emails x WHERE x.customer_id = k.id) AS emails,
                      (SELECT json_agg(t) FROM (
                          SELECT t.id, t.subject, t.status, t.kind, t.priority, t.queue_id, t.assignee_agent_id,
                                 t.channel, t.created_at, t.updated_at, t.resolve_due_at
                          FROM tickets t WHERE t.customer_id = k.id AND t.merged_into IS NULL
                          ORDER BY -t.id LIMIT 6) t) AS tickets,
                      (SELECT json_agg(r) FROM (
                          SELECT r.id, r.channel, r.direction, r.state, r.agent_id, r.ticket_id, r.started_at
                          FROM contacts r WHERE r.customer_id = k.id
                          ORDER BY -r.id LIMIT 5) r) AS recent
               FROM customer_phones p
               JOIN customers k ON k.id = p.customer_id
               WHERE p.unit_id = $1 AND p.number = incoming.phone
                   AND k.deleted_at IS NULL AND k.merged_into IS NULL
               LIMIT 12
           ) found
       ) END AS found
FROM incoming
-- LIMIT keeps the whole key in the index condition: a plan made while the table was empty would else look
-- at every row of the unit once it has grown.
LEFT JOIN LATERAL (
    SELECT * FROM contacts k
    WHERE k.unit_id = $1 AND k.source = incoming.source AND k.call_key = incoming.call_key
    LIMIT 1
) c ON true

-- name: fetch_free_agents
-- Who may be offered a call of these queues, longest idle first; $2 are asked for by name. Begins at the
-- partial index of free agents, so that a full house costs nothing.
SELECT qa.queue_id, f.agent_id, f.idle_since
FROM (
    (SELECT p.agent_id, p.idle_since FROM presence p
     WHERE p.state = 'available' AND p.call_id IS NULL
         AND EXISTS (SELECT FROM queue_agents x WHERE x.agent_id = p.agent_id AND x.queue_id = ANY ($1::bigint[]))
     ORDER BY p.idle_since, p.agent_id LIMIT $3)
    UNION
    SELECT p.agent_id, p.idle_since FROM presence p
    WHERE p.agent_id = ANY ($2::bigint[]) AND p.state = 'available' AND p.call_id IS NULL
) f
JOIN queue_agents qa ON qa.agent_id = f.agent_id AND qa.queue_id = ANY ($1::bigint[])

-- name: fetch_present_agents
-- Who may be given a mail or a form of the queue, on a call or not: whoever got none for longest first.
SELECT f.agent_id, f.given_at
FROM (
    (SELECT p.agent_id, p.given_at FROM presence p
     WHERE p.state = 'available'
         AND EXISTS (SELECT FROM queue_agents x WHERE x.agent_id = p.agent_id AND x.queue_id = $1)
     ORDER BY p.given_at, p.agent_id LIMIT $3)
    UNION
    SELECT p.agent_id, p.given_at FROM presence p
    WHERE p.agent_id = ANY ($2::bigint[]) AND p.state = 'available'
        AND EXISTS (SELECT FROM queue_agents x WHERE x.agent_id = p.agent_id AND x.queue_id = $1)
) f

-- name: touch_given
WITH locked AS (
    SELECT agent_id FROM presence WHERE agent_id = ANY ($1::bigint[]) ORDER BY agent_id FOR UPDATE
)
UPDATE presence p SET given_at = $2
FROM locked WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($1::bigint[])

-- name: write_new
-- Tickets, contacts, agents who are busy now, and pops of a batch; gives the pops' ids. Agents' rows are
-- locked in order, so that two batches cannot deadlock.
WITH t AS (
    INSERT INTO tickets (unit_id, id, kind, subject, queue_id, assignee_agent_id, customer_id, channel,
                         first_response_due_at, resolve_due_at, created_at, updated_at)
    SELECT $1, id, 'inquiry', subject, queue_id, assignee, customer_id, 'call', response_due, resolve_due, at, at
    FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[],
                $8::timestamptz[], $9::timestamptz[])
        AS n (id, subject, queue_id, assignee, customer_id, response_due, resolve_due, at)
), c AS (
    INSERT INTO contacts (unit_id, id, channel, direction, source, call_key, state, ani, ani_raw, dnis, display_name,
                          withheld, customer_id, ticket_id, continued, agent_id, rung_agent_ids, queue_id, match,
                          candidates, legs, started_at, answered_at, ended_at, hangup_cause, recording_url)
    SELECT $1, id, 'call', direction, source, call_key, state, ani, ani_raw, dnis, display_name,
           withheld, customer_id, ticket_id, continued, agent_id, rung::bigint[], queue_id, match,
           candidates::json, legs::json, started_at, answered_at, ended_at, hangup_cause, recording_url
    FROM unnest($10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
                $17::text[], $18::text[], $19::boolean[], $20::bigint[], $21::bigint[], $22::boolean[], $23::bigint[],
                $24::text[], $25::bigint[], $26::text[], $27::text[], $28::text[], $29::timestamptz[],
                $30::timestamptz[], $31::timestamptz[], $32::text[], $33::text[])
        AS n (id, direction, source, call_key, state, ani, ani_raw, dnis, display_name, withheld, customer_id,
              ticket_id, continued, agent_id, rung, queue_id, match, candidates, legs, started_at, answered_at,
              ended_at, hangup_cause, recording_url)
), locked AS (
    SELECT p.agent_id FROM presence p
    WHERE p.agent_id = ANY ($37::bigint[]) AND p.call_id IS NULL ORDER BY p.agent_id FOR UPDATE
), busy AS (
    UPDATE presence p SET call_id = w.contact_id
    FROM locked JOIN unnest($37::bigint[], $38::bigint[]) AS w (agent_id, contact_id) ON w.agent_id = locked.agent_id
    WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($37::bigint[])
)
INSERT INTO pops (unit_id, agent_id, contact_id, reason)
SELECT $1, agent_id, contact_id, reason
FROM unnest($34::bigint[], $35::bigint[], $36::text[]) AS n (agent_id, contact_id, reason)
RETURNING id, agent_id, contact_id

-- name: insert_pops
INSERT INTO pops (unit_id, agent_id, contact_id, reason)
SELECT $1, agent_id, contact_id, reason
FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS n (agent_id, contact_id, reason)
RETURNING id, agent_id, contact_id

-- name: update_contacts
-- customer_id and ticket_id are not touched: an agent may have corrected them meanwhile.
UPDATE contacts c
SET state = n.state, agent_id = n.agent_id, rung_agent_ids = n.rung::bigint[], queue_id = n.queue_id,
    legs = n.legs::json, direction = n.direction, ani = coalesce(c.ani, n.ani), dnis = coalesce(c.dnis, n.dnis),
    started_at = n.started_at, answered_at = n.answered_at, ended_at = n.ended_at, hangup_cause = n.hangup_cause,
    recording_url = coalesce(n.recording_url, c.recording_url), version = c.version + 1
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[])
    AS n (id, state, agent_id, rung, queue_id, legs, direction, ani, dnis, started_at, answered_at, ended_at,
          hangup_cause, recording_url)
WHERE c.id = n.id AND c.id = ANY ($1::bigint[])

-- name: identify_contacts
-- Who called was said late: the contact and its ticket get the customer, unless an agent was faster.
WITH n AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
        AS n (id, customer_id, match, candidates, ani_raw, ticket_id)
), t AS (
    UPDATE tickets t SET customer_id = n.customer_id, version = t.version + 1
    FROM n WHERE t.id = n.ticket_id AND t.id = ANY ($6::bigint[]) AND t.customer_id IS NULL
)
UPDATE contacts c
SET customer_id = n.customer_id, match = n.match, candidates = n.candidates::json, ani_raw = n.ani_raw
FROM n WHERE c.id = n.id AND c.id = ANY ($1::bigint[]) AND c.customer_id IS NULL

-- name: touch_tickets
-- A further contact: the ticket moves up, and one that waited for the customer is open again.
WITH locked AS (
    SELECT id FROM tickets WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE
)
UPDATE tickets t
SET updated_at = $2, status = CASE WHEN t.status = 'waiting' THEN 'open' ELSE t.status END, version = t.version + 1
FROM locked WHERE t.id = locked.id AND t.id = ANY ($1::bigint[])

-- name: insert_provisional
-- Customers nobody has confirmed yet, with the number or address that they came with.
WITH k AS (
    INSERT INTO customers (unit_id, id, number, name, language, provisional, search_key, created_at, updated_at)
    SELECT $1, id, 'C-' || lpad(id::text, 6, '0'), name, language, true, search_key, at, at
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS n (id, name, language, search_key, at)
), p AS (
    INSERT INTO customer_phones (unit_id, customer_id, number)
    SELECT $1, id, phone FROM unnest($2::bigint[], $7::text[]) AS n (id, phone) WHERE phone <> ''
)
INSERT INTO customer_emails (unit_id, customer_id, address, match_key)
SELECT $1, id, address, match_key
FROM unnest($2::bigint[], $8::text[], $9::text[]) AS n (id, address, match_key) WHERE address <> ''

-- name: mark_busy
-- Agents who ring or talk. Rows are locked in order, so that two batches cannot deadlock.
WITH wanted AS (
    SELECT DISTINCT ON (agent_id) agent_id, contact_id FROM unnest($1::bigint[], $2::bigint[]) AS w (agent_id, contact_id)
), locked AS (
    SELECT p.agent_id FROM presence p
    WHERE p.agent_id = ANY ($1::bigint[]) AND p.call_id IS NULL ORDER BY p.agent_id FOR UPDATE
)
UPDATE presence p SET call_id = wanted.contact_id
FROM locked JOIN wanted ON wanted.agent_id = locked.agent_id
WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($1::bigint[])

-- name: release
-- The agents' call ended: free, unless another one goes on. Longest idle counts from here.
WITH locked AS (
    SELECT agent_id FROM presence WHERE agent_id = ANY ($1::bigint[]) ORDER BY agent_id FOR UPDATE
)
UPDATE presence p
SET idle_since = $2, call_id = (SELECT c.id FROM contacts c
                                WHERE c.agent_id = p.agent_id AND c.channel = 'call' AND c.ended_at IS NULL LIMIT 1)
FROM locked WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($1::bigint[])

-- name: next_ids
SELECT nextval('object_id') FROM generate_series(1, $1)

-- name: lock
SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k

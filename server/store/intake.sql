-- name: make_locked_read
-- Takes a batch's locks and reads all that its decision needs, in one round trip: each statement of a function
-- sees what was committed before it began, so the read knows whatever the former holder of a lock wrote. The
-- locks are the session's: they outlast the transaction of the write and are given back after it, while the
-- answers are on their way. Lists are put in order by the reader: a sort node per customer cost a third of this.
CREATE FUNCTION pg_temp.locked_read(
    locks bigint[], p_unit smallint, events int[], sources text[], event_keys text[], call_keys text[], phones text[]
) RETURNS TABLE (
    i int, seen boolean, contact_id bigint, state text, legs json, agent_id bigint, rung_agent_ids bigint[],
    queue_id bigint, customer_id bigint, ticket_id bigint, ani text, match text, continued boolean,
    started_at timestamptz, customer_name text, new_contact_id bigint, new_ticket_id bigint, new_customer_id bigint, found json
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_lock(k) FROM unnest(locks) k;
    RETURN QUERY
    SELECT incoming.i,
           -- Not EXISTS, which a plan made while the ledger was empty answers by hashing all of it.
           (SELECT true FROM inbound_events e
            WHERE e.unit_id = p_unit AND e.source = incoming.source AND e.event_key = incoming.event_key
            LIMIT 1) IS NOT NULL,
           c.id, c.state, c.legs, c.agent_id, c.rung_agent_ids, c.queue_id, c.customer_id, c.ticket_id,
           c.ani, c.match, c.continued, c.started_at,
           (SELECT k.name FROM customers k WHERE k.id = c.customer_id),
           CASE WHEN c.id IS NULL THEN nextval('object_id') END,
           CASE WHEN c.id IS NULL THEN nextval('ticket_id') END,
           CASE WHEN f.found IS NULL AND incoming.phone <> '' THEN nextval('object_id') END,
           f.found
    FROM unnest(events, sources, event_keys, call_keys, phones) AS incoming (i, source, event_key, call_key, phone)
    -- LIMIT keeps the whole key in the index condition: a plan made while the table was empty would else look
    -- at every row of the unit once it has grown.
    LEFT JOIN LATERAL (
        SELECT * FROM contacts k
        WHERE k.unit_id = p_unit AND k.source = incoming.source AND k.call_key = incoming.call_key
        LIMIT 1
    ) c ON true
    LEFT JOIN LATERAL (
        SELECT json_agg(found) AS found
        FROM (
            SELECT k.id, k.number, k.kind, k.name, k.company, k.language, k.time_zone, k.tier, k.blocked,
                   k.provisional, k.owner_agent_id, k.do_not_contact, k.tags, k.fields, k.notes,
                   k.created_at, k.updated_at, p.verified, p.label,
                   (SELECT l.verdict FROM lessons l
                    WHERE l.unit_id = p_unit AND l.key = 'tel:' || incoming.phone AND l.customer_id = k.id
                        AND l.undone_at IS NULL ORDER BY l.id DESC LIMIT 1) AS verdict,
                   (SELECT json_agg(x) FROM (
                       SELECT x.number, x.label, x.extension, x.verified, x.position
                       FROM customer_phones x WHERE x.customer_id = k.id) x) AS phones,
                   (SELECT json_agg(x) FROM (
                       SELECT x.address, x.verified, x.position
                       FROM customer_emails x WHERE x.customer_id = k.id) x) AS emails,
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
            WHERE p.unit_id = p_unit AND p.number = incoming.phone
                AND k.deleted_at IS NULL AND k.merged_into IS NULL
            LIMIT 12
        ) found
        WHERE incoming.phone <> '' AND (c.id IS NULL OR (c.customer_id IS NULL AND c.ani IS NULL))
    ) f ON true;
END $$

-- name: locked_read
SELECT * FROM pg_temp.locked_read($1, $2, $3, $4, $5, $6, $7)

-- name: unlock
SELECT pg_advisory_unlock_all()

-- name: fetch_free_agents
-- Who may be offered a call of these queues, longest idle first; $2 are asked for by name. Begins at the
-- partial index of free agents, so that a full house costs nothing.
SELECT qa.queue_id, f.agent_id, f.idle_since
FROM (
    (SELECT p.agent_id, p.idle_since FROM presence p
     WHERE p.state = 'available' AND p.call_id IS NULL AND p.wrap_up_contact_id IS NULL
         AND EXISTS (SELECT FROM queue_agents x
                     WHERE x.agent_id = p.agent_id AND x.queue_id = ANY ($1::bigint[]) AND x.eligible)
     ORDER BY p.idle_since, p.agent_id LIMIT $3)
    UNION
    SELECT p.agent_id, p.idle_since FROM presence p
    WHERE p.agent_id = ANY ($2::bigint[]) AND p.state = 'available' AND p.call_id IS NULL
        AND p.wrap_up_contact_id IS NULL
) f
JOIN queue_agents qa ON qa.agent_id = f.agent_id AND qa.queue_id = ANY ($1::bigint[]) AND qa.eligible

-- name: fetch_present_agents
-- Who may be given a mail or a form of the queue, on a call or not: whoever got none for longest first.
SELECT f.agent_id, f.given_at
FROM (
    (SELECT p.agent_id, p.given_at FROM presence p
     WHERE p.state = 'available' AND p.wrap_up_contact_id IS NULL
         AND EXISTS (SELECT FROM queue_agents x WHERE x.agent_id = p.agent_id AND x.queue_id = $1 AND x.eligible)
     ORDER BY p.given_at, p.agent_id LIMIT $3)
    UNION
    SELECT p.agent_id, p.given_at FROM presence p
    WHERE p.agent_id = ANY ($2::bigint[]) AND p.state = 'available' AND p.wrap_up_contact_id IS NULL
        AND EXISTS (SELECT FROM queue_agents x WHERE x.agent_id = p.agent_id AND x.queue_id = $1 AND x.eligible)
) f

-- name: touch_given
WITH locked AS (
    SELECT agent_id FROM presence WHERE agent_id = ANY ($1::bigint[]) ORDER BY agent_id FOR UPDATE
)
UPDATE presence p SET given_at = $2
FROM locked WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($1::bigint[])

-- name: write_new
-- A batch of new calls: ledger, provisional customers, tickets, contacts, agents who are busy now, tickets that
-- go on, pops; gives the pops' ids. An event that is in the ledger already is an error: nothing is written then.
-- Rows of agents and tickets are locked in order, so that two batches cannot deadlock.
WITH ledger AS (
    INSERT INTO inbound_events (unit_id, source, event_key, call_key, payload, received_at)
    SELECT $1, source, event_key, call_key, payload, received_at
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[])
        AS n (source, event_key, call_key, payload, received_at)
), k AS (
    INSERT INTO customers (unit_id, id, number, name, provisional, search_key, created_at, updated_at)
    SELECT $1, id, 'C-' || lpad(id::text, 6, '0'), name, true, search_key, at, at
    FROM unnest($7::bigint[], $8::text[], $9::text[], $10::timestamptz[]) AS n (id, name, search_key, at)
), p AS (
    INSERT INTO customer_phones (unit_id, customer_id, number)
    SELECT $1, id, phone FROM unnest($7::bigint[], $11::text[]) AS n (id, phone)
), t AS (
    INSERT INTO tickets (unit_id, id, kind, subject, queue_id, customer_id, channel,
                         first_response_due_at, resolve_due_at, created_at, updated_at)
    SELECT $1, id, 'inquiry', subject, queue_id, customer_id, 'call', response_due, resolve_due, at, at
    FROM unnest($12::bigint[], $13::text[], $14::bigint[], $15::bigint[], $16::timestamptz[], $17::timestamptz[],
                $18::timestamptz[])
        AS n (id, subject, queue_id, customer_id, response_due, resolve_due, at)
), c AS (
    INSERT INTO contacts (unit_id, id, channel, direction, source, call_key, state, ani, ani_raw, dnis, display_name,
                          withheld, customer_id, ticket_id, continued, agent_id, rung_agent_ids, queue_id, match,
                          candidates, legs, started_at, answered_at, ended_at, hangup_cause, recording_url,
                          routed, stir, ring_seconds, talk_seconds, hold_seconds, queued_at)
    SELECT $1, id, 'call', direction, source, call_key, state, ani, ani_raw, dnis, display_name,
           withheld, customer_id, ticket_id, continued, agent_id, rung::bigint[], queue_id, match,
           candidates::json, legs::json, started_at, answered_at, ended_at, hangup_cause, recording_url,
           routed, stir, ring_seconds, talk_seconds, hold_seconds, started_at
    FROM unnest($19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[],
                $26::text[], $27::text[], $28::boolean[], $29::bigint[], $30::bigint[], $31::boolean[], $32::bigint[],
                $33::text[], $34::bigint[], $35::text[], $36::text[], $37::text[], $38::timestamptz[],
                $39::timestamptz[], $40::timestamptz[], $41::text[], $42::text[], $43::boolean[],
                $44::text[], $45::int[], $46::int[], $47::int[])
        AS n (id, direction, source, call_key, state, ani, ani_raw, dnis, display_name, withheld, customer_id,
              ticket_id, continued, agent_id, rung, queue_id, match, candidates, legs, started_at, answered_at,
              ended_at, hangup_cause, recording_url, routed, stir, ring_seconds, talk_seconds, hold_seconds)
), locked AS (
    SELECT p.agent_id FROM presence p
    WHERE p.agent_id = ANY ($48::bigint[]) AND p.call_id IS NULL ORDER BY p.agent_id FOR UPDATE
), busy AS (
    UPDATE presence p SET call_id = w.contact_id
    FROM locked JOIN unnest($48::bigint[], $49::bigint[]) AS w (agent_id, contact_id) ON w.agent_id = locked.agent_id
    WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($48::bigint[])
), going_on AS (
    SELECT id FROM tickets WHERE id = ANY ($50::bigint[]) ORDER BY id FOR UPDATE
), touched AS (
    UPDATE tickets t
    SET updated_at = $51, status = CASE WHEN t.status = 'waiting' THEN 'open' ELSE t.status END,
        version = t.version + 1
    FROM going_on WHERE t.id = going_on.id AND t.id = ANY ($50::bigint[])
)
INSERT INTO pops (unit_id, agent_id, contact_id, reason)
SELECT $1, agent_id, contact_id, reason
FROM unnest($52::bigint[], $53::bigint[], $54::text[]) AS n (agent_id, contact_id, reason)
RETURNING id, agent_id, contact_id

-- name: insert_events
-- Into the ledger; an event that is there already is an error.
INSERT INTO inbound_events (unit_id, source, event_key, call_key, payload, received_at)
SELECT $1, source, event_key, call_key, payload, received_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[])
    AS n (source, event_key, call_key, payload, received_at)

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
    recording_url = coalesce(n.recording_url, c.recording_url), routed = c.routed OR n.routed,
    stir = coalesce(n.stir, c.stir), ring_seconds = n.ring_seconds, talk_seconds = n.talk_seconds, hold_seconds = n.hold_seconds, version = c.version + 1
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[],
            $15::boolean[], $16::text[], $17::int[], $18::int[], $19::int[])
    AS n (id, state, agent_id, rung, queue_id, legs, direction, ani, dnis, started_at, answered_at, ended_at,
          hangup_cause, recording_url, routed, stir, ring_seconds, talk_seconds, hold_seconds)
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
-- The agents' call ended: free, unless another one goes on. Longest idle counts from here. $3 is the contact
-- that an agent has after-call work of, $4 until when that lasts at the longest (null: until it is done).
WITH locked AS (
    SELECT agent_id FROM presence WHERE agent_id = ANY ($1::bigint[]) ORDER BY agent_id FOR UPDATE
)
UPDATE presence p
SET idle_since = $2, call_id = (SELECT c.id FROM contacts c
                                WHERE c.agent_id = p.agent_id AND c.channel = 'call' AND c.ended_at IS NULL LIMIT 1),
    wrap_up_contact_id = coalesce(w.contact_id, p.wrap_up_contact_id),
    wrap_up_until = CASE WHEN w.contact_id IS NULL THEN p.wrap_up_until ELSE w.until END
FROM locked JOIN unnest($1::bigint[], $3::bigint[], $4::timestamptz[]) AS w (agent_id, contact_id, until)
    ON w.agent_id = locked.agent_id
WHERE p.agent_id = locked.agent_id AND p.agent_id = ANY ($1::bigint[])

-- name: set_not_answering
-- A call was offered and not picked up: not ready, until the agent says otherwise.
UPDATE presence SET state = 'not_ready', reason = 'no_answer', since = $2
WHERE agent_id = ANY ($1::bigint[]) AND state = 'available'

-- name: lock
SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) k

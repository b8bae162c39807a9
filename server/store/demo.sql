-- name: is_empty
SELECT NOT EXISTS (SELECT FROM customers) AND NOT EXISTS (SELECT FROM agents)

-- name: next_object_ids
SELECT nextval('object_id') FROM generate_series(1, $1)

-- name: next_ticket_ids
SELECT nextval('ticket_id') FROM generate_series(1, $1)

-- name: insert_agents
WITH rows AS (
    SELECT * FROM json_populate_recordset(NULL::agents, $1::json)
), a AS (
    INSERT INTO agents (id, email, name, role, extension, language, password_hash)
    SELECT id, email, name, role, extension, language, password_hash FROM rows
    RETURNING id
)
INSERT INTO presence (agent_id) SELECT id FROM a

-- name: insert_queues
-- A queue that the settings have named is there already: it gets its titles.
INSERT INTO queues (name, title_en, title_zh, is_default)
SELECT name, title_en, title_zh, is_default AND NOT EXISTS (SELECT FROM queues WHERE is_default)
FROM json_populate_recordset(NULL::queues, $1::json)
ON CONFLICT (unit_id, name) DO UPDATE
SET title_en = EXCLUDED.title_en, title_zh = EXCLUDED.title_zh, is_default = EXCLUDED.is_default

-- name: fetch_queue_ids
SELECT name, id FROM queues WHERE unit_id = 1

-- name: insert_queue_dnis
INSERT INTO queue_dnis (dnis, queue_id)
SELECT dnis, queue_id FROM json_populate_recordset(NULL::queue_dnis, $1::json)
ON CONFLICT DO NOTHING

-- name: insert_queue_agents
INSERT INTO queue_agents (queue_id, agent_id)
SELECT queue_id, agent_id FROM json_populate_recordset(NULL::queue_agents, $1::json)
ON CONFLICT DO NOTHING

-- name: insert_customers
INSERT INTO customers (id, number, kind, name, company, language, time_zone, owner_agent_id, tier, blocked,
                       do_not_contact, tags, notes, search_key, created_at, updated_at)
SELECT id, 'C-' || lpad(id::text, 6, '0'), kind, name, company, language, time_zone, owner_agent_id, tier, blocked,
       do_not_contact, tags, notes, search_key, created_at, created_at
FROM json_populate_recordset(NULL::customers, $1::json)

-- name: insert_customer_phones
INSERT INTO customer_phones (customer_id, number, label, verified, position)
SELECT customer_id, number, label, verified, position
FROM json_populate_recordset(NULL::customer_phones, $1::json)

-- name: insert_customer_emails
INSERT INTO customer_emails (customer_id, address, match_key, verified, position)
SELECT customer_id, address, match_key, verified, 0
FROM json_populate_recordset(NULL::customer_emails, $1::json)

-- name: insert_tickets
INSERT INTO tickets (id, kind, subject, status, priority, queue_id, assignee_agent_id, customer_id, channel, fields,
                     first_response_due_at, first_responded_at, resolve_due_at, created_at, updated_at, resolved_at)
SELECT id, kind, subject, status, priority, queue_id, assignee_agent_id, customer_id, channel, '{}',
       first_response_due_at, first_responded_at, resolve_due_at, created_at, updated_at, resolved_at
FROM json_populate_recordset(NULL::tickets, $1::json)

-- name: insert_contacts
INSERT INTO contacts (id, channel, direction, source, call_key, state, ani, ani_raw, dnis, display_name, withheld,
                      customer_id, ticket_id, continued, agent_id, rung_agent_ids, queue_id, match, candidates, legs,
                      started_at, answered_at, ended_at, hangup_cause, created_at)
SELECT id, channel, direction, source, call_key, state, ani, ani_raw, dnis, display_name, withheld, customer_id,
       ticket_id, continued, agent_id, rung_agent_ids, queue_id, match, candidates, '{}', started_at, answered_at,
       ended_at, hangup_cause, started_at
FROM json_populate_recordset(NULL::contacts, $1::json)

-- name: insert_messages
INSERT INTO messages (id, ticket_id, contact_id, kind, direction, author_agent_id, from_address, from_name,
                      to_addresses, subject, body_text, message_id, thread_ids, created_at)
SELECT id, ticket_id, contact_id, kind, direction, author_agent_id, from_address, from_name, to_addresses, subject,
       body_text, message_id, thread_ids, created_at
FROM json_populate_recordset(NULL::messages, $1::json)

-- name: analyze
ANALYZE customers, customer_phones, customer_emails, tickets, contacts, messages, agents, queues

-- name: list_agents
SELECT a.*, p.state, p.reason, p.since,
       EXISTS (SELECT FROM contacts c
               WHERE c.agent_id = a.id AND c.channel = 'call' AND c.ended_at IS NULL) AS busy,
       ARRAY (SELECT q.name FROM queue_agents qa JOIN queues q ON q.id = qa.queue_id
              WHERE qa.agent_id = a.id ORDER BY q.name) AS queues
FROM agents a LEFT JOIN presence p ON p.agent_id = a.id

-- name: insert_agent
INSERT INTO agents (unit_id, email, name, role, extension, language, skills, password_hash)
VALUES (1, $1, $2, $3, $4, $5, $6, $7)
RETURNING id

-- name: lock_agent
SELECT * FROM agents WHERE unit_id = 1 AND id = $1 FOR UPDATE

-- name: update_agent
UPDATE agents SET email = $2, name = $3, role = $4, extension = $5, language = $6, skills = $7, disabled_at = $8,
    updated_at = now(), version = version + 1
WHERE id = $1

-- name: resolve_queues
SELECT n.name AS said, (SELECT q.id FROM queues q WHERE q.unit_id = 1 AND lower(q.name) = lower(n.name)
                        ORDER BY (q.name = n.name) DESC LIMIT 1) AS id
FROM unnest($1::text[]) AS n (name)

-- name: replace_queues
WITH gone AS (
    DELETE FROM queue_agents WHERE agent_id = $1 AND queue_id <> ALL ($2::bigint[])
)
INSERT INTO queue_agents (queue_id, agent_id) SELECT q, $1 FROM unnest($2::bigint[]) q ON CONFLICT DO NOTHING

-- name: other_administrators
SELECT count(*) FROM (
    SELECT id FROM agents WHERE unit_id = 1 AND role = 'administrator' AND disabled_at IS NULL AND id <> $1
    ORDER BY id FOR UPDATE) x

-- name: set_offline
UPDATE presence SET state = 'offline', reason = '', since = now() WHERE agent_id = $1

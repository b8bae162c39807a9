-- name: fetch_agents
SELECT id, name, email, role, extension, language FROM agents WHERE unit_id = 1 AND disabled_at IS NULL ORDER BY id

-- name: fetch_queues
SELECT id, name, title_en, title_zh, is_default, hours, holidays, time_zone, wrap_up_seconds, dispositions,
       disposition_required, callback_due_seconds, overflow_after_seconds, overflow_queue_id
FROM queues WHERE unit_id = 1 ORDER BY id

-- name: fetch_members
SELECT queue_id, array_agg(agent_id ORDER BY agent_id) AS agent_ids FROM queue_agents GROUP BY queue_id

-- name: fetch_dnis
SELECT dnis, queue_id FROM queue_dnis WHERE unit_id = 1

-- name: insert_queue
INSERT INTO queues (unit_id, name) VALUES (1, $1) ON CONFLICT DO NOTHING

-- name: notify
SELECT pg_notify('ringpost_directory', '')

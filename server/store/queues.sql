-- name: list_queues
-- Waiting: rung to nobody yet. The figures count what is there now; all look-ups are by index.
SELECT q.*,
       (SELECT o.name FROM queues o WHERE o.id = q.overflow_queue_id) AS overflow_queue,
       ARRAY (SELECT d.dnis FROM queue_dnis d WHERE d.queue_id = q.id ORDER BY d.dnis) AS dnis,
       w.waiting, w.oldest, f.free, f.busy, f.wrap_up, f.not_ready, f.offline
FROM queues q
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(c.started_at) AS oldest
    FROM contacts c
    WHERE c.unit_id = q.unit_id AND c.queue_id = q.id AND c.state = 'ringing' AND c.agent_id IS NULL
        AND c.rung_agent_ids = '{}') w
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.state = 'available' AND NOT x.busy AND NOT x.wraps_up) AS free,
           count(*) FILTER (WHERE x.busy) AS busy,
           count(*) FILTER (WHERE x.state = 'available' AND NOT x.busy AND x.wraps_up) AS wrap_up,
           count(*) FILTER (WHERE x.state = 'not_ready' AND NOT x.busy) AS not_ready,
           count(*) FILTER (WHERE x.state = 'offline' AND NOT x.busy) AS offline
    FROM (
        SELECT coalesce(p.state, 'offline') AS state, p.wrap_up_contact_id IS NOT NULL AS wraps_up,
               EXISTS (SELECT FROM contacts c
                       WHERE c.agent_id = qa.agent_id AND c.channel = 'call' AND c.ended_at IS NULL) AS busy
        FROM queue_agents qa
        JOIN agents a ON a.id = qa.agent_id AND a.disabled_at IS NULL
        LEFT JOIN presence p ON p.agent_id = qa.agent_id
        WHERE qa.queue_id = q.id) x) f
WHERE q.unit_id = 1 AND ($1::bigint IS NULL OR q.id = $1)
ORDER BY q.id DESC

-- name: insert_queue
INSERT INTO queues (unit_id, name, title_en, title_zh, is_default) VALUES (1, $1, $2, $3, $4) RETURNING id

-- name: lock_queue
SELECT * FROM queues WHERE unit_id = 1 AND id = $1 FOR UPDATE

-- name: find_queue
SELECT id FROM queues WHERE unit_id = 1 AND lower(name) = lower($1) AND id IS DISTINCT FROM $2::bigint

-- name: update_queue
UPDATE queues SET name = $2, title_en = $3, title_zh = $4, is_default = $5, version = version + 1 WHERE id = $1

-- name: set_distribution
UPDATE queues
SET skills = $2, wrap_up_seconds = $3, dispositions = $4, disposition_required = $5, overflow_after_seconds = $6,
    overflow_queue_id = $7, hours = $8, holidays = $9, time_zone = $10, callback_due_seconds = $11
WHERE id = $1

-- name: refresh_eligible
-- Who has the skills that a queue asks for, each at the least level; of one queue, or of one agent.
UPDATE queue_agents qa
SET eligible = NOT EXISTS (
    SELECT FROM jsonb_each_text(q.skills) AS wanted (skill, level)
    WHERE NOT EXISTS (
        SELECT FROM unnest(a.skills) AS has (said)
        WHERE lower(split_part(has.said, ':', 1)) = lower(wanted.skill)
            AND CASE WHEN split_part(has.said, ':', 2) ~ '^[0-9]{1,2}$'
                     THEN split_part(has.said, ':', 2)::int ELSE 1 END >= wanted.level::int))
FROM queues q, agents a
WHERE q.id = qa.queue_id AND a.id = qa.agent_id
    AND (qa.queue_id = $1 OR $1 IS NULL) AND (qa.agent_id = $2 OR $2 IS NULL)

-- name: clear_default
UPDATE queues SET is_default = false WHERE unit_id = 1 AND is_default AND id IS DISTINCT FROM $1::bigint

-- name: replace_dnis
WITH gone AS (
    DELETE FROM queue_dnis WHERE queue_id = $1 AND dnis <> ALL ($2::text[])
)
INSERT INTO queue_dnis (unit_id, dnis, queue_id) SELECT 1, d, $1 FROM unnest($2::text[]) d
ON CONFLICT (unit_id, dnis) DO UPDATE SET queue_id = excluded.queue_id WHERE queue_dnis.queue_id = $1

-- name: taken_dnis
SELECT d.dnis, q.name FROM queue_dnis d JOIN queues q ON q.id = d.queue_id
WHERE d.unit_id = 1 AND d.dnis = ANY ($1::text[]) AND d.queue_id IS DISTINCT FROM $2::bigint

-- name: insert_quarantine
INSERT INTO quarantine (unit_id, door, source, reason, meta, raw) VALUES (1, $1, $2, $3, $4::jsonb, $5) RETURNING id

-- name: fetch_page
SELECT id, door, source, reason, meta, state, attempts, received_at, settled_at, length(raw) AS size
FROM quarantine
WHERE unit_id = 1 AND ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR door = $2)
    AND ($3::bigint IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4

-- name: fetch_one
SELECT id, door, source, reason, meta, raw, state, attempts, received_at, settled_at, length(raw) AS size
FROM quarantine WHERE id = $1

-- name: settle
UPDATE quarantine SET state = $2, settled_at = $3 WHERE id = $1 AND state = 'open'

-- name: failed_again
UPDATE quarantine SET attempts = attempts + 1, reason = $2 WHERE id = $1

-- name: by_index
SET LOCAL enable_seqscan = off

-- name: adopt
-- Locked contacts are left for the next time: their writer never waits for this, nor this for it.
WITH found AS (
    SELECT id, source, recording_url, ticket_id, agent_id FROM contacts
    WHERE recording_url IS DISTINCT FROM recording_taken_url
    ORDER BY id LIMIT $3
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE contacts c SET recording_taken_url = found.recording_url FROM found WHERE c.id = found.id
), made AS (
    INSERT INTO recordings (contact_id, source, url, state, next_attempt_at, created_at)
    SELECT id, source, recording_url, $1, $2, $2 FROM found WHERE recording_url IS NOT NULL
    ON CONFLICT (contact_id, md5(url)) DO NOTHING
    RETURNING id, contact_id
)
SELECT made.id, made.contact_id, found.ticket_id, found.agent_id FROM made JOIN found ON found.id = made.contact_id

-- name: take_due
-- Nobody else tries it while this try is under way; a crash gives it back when the lease is over.
UPDATE recordings SET attempts = attempts + 1, next_attempt_at = $2
WHERE id = (SELECT id FROM recordings WHERE state = 'waiting' AND next_attempt_at <= $1
            ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, contact_id, source, url, attempts, created_at

-- name: settle_fetched
UPDATE recordings r
SET state = 'fetched', path = $2, content_type = $3, size = $4, duration_seconds = $5, fetched_at = $6, error = ''
FROM contacts c
WHERE r.id = $1 AND r.state = 'waiting' AND c.id = r.contact_id
RETURNING r.contact_id, c.ticket_id, c.agent_id

-- name: settle_failed
UPDATE recordings r SET state = $2, error = $3, next_attempt_at = $4
FROM contacts c
WHERE r.id = $1 AND r.state = 'waiting' AND c.id = r.contact_id
RETURNING r.contact_id, c.ticket_id, c.agent_id

-- name: fetch_expired
SELECT id, path FROM recordings WHERE state = 'fetched' AND created_at < $1 ORDER BY created_at LIMIT $2

-- name: settle_deleted
WITH gone AS (
    UPDATE recordings SET state = 'deleted', path = NULL WHERE id = $1 AND state = 'fetched' RETURNING contact_id
), told AS (
    INSERT INTO audit (unit_id, agent_id, action, subject_kind, subject_id, data)
    SELECT 1, NULL, 'recording.delete', 'contact', contact_id, $2 FROM gone
)
SELECT gone.contact_id, c.ticket_id, c.agent_id FROM gone JOIN contacts c ON c.id = gone.contact_id

-- name: retry
UPDATE recordings SET state = 'waiting', attempts = 0, next_attempt_at = $2, error = ''
WHERE id = $1 AND state IN ('failed', 'waiting')
RETURNING id

-- name: fetch_recording
SELECT c.id AS contact_id, c.ticket_id, c.agent_id, c.recording_url,
       r.id AS recording_id, r.state AS recording_state, r.path, r.content_type AS recording_type,
       r.size AS recording_size, r.duration_seconds AS recording_seconds, r.error AS recording_error,
       (c.agent_id = $2 OR EXISTS (SELECT FROM queue_agents q
                                   WHERE q.queue_id = c.queue_id AND q.agent_id = $2)) IS TRUE AS is_theirs
FROM contacts c
LEFT JOIN recordings r ON r.contact_id = c.id AND r.url = c.recording_url
WHERE c.unit_id = 1 AND c.id = $1

-- name: fetch_of_ticket
SELECT c.id AS contact_id, c.recording_url, r.id AS recording_id, r.state AS recording_state,
       r.content_type AS recording_type, r.size AS recording_size, r.duration_seconds AS recording_seconds,
       r.error AS recording_error, r.next_attempt_at,
       (c.agent_id = $2 OR EXISTS (SELECT FROM queue_agents q
                                   WHERE q.queue_id = c.queue_id AND q.agent_id = $2)) IS TRUE AS is_theirs
FROM contacts c
LEFT JOIN recordings r ON r.contact_id = c.id AND r.url = c.recording_url
WHERE c.ticket_id = $1 AND c.recording_url IS NOT NULL

-- name: lock_recording
-- Puts requests for one recording in a row, so that a play is written down once.
SELECT id FROM recordings WHERE id = $1 FOR UPDATE

-- name: insert_play
INSERT INTO audit (unit_id, agent_id, action, subject_kind, subject_id, data)
SELECT 1, $2, 'recording.play', 'contact', $1, $3::jsonb
WHERE NOT EXISTS (SELECT FROM audit a
                  WHERE a.subject_kind = 'contact' AND a.subject_id = $1 AND a.action = 'recording.play'
                      AND a.agent_id = $2 AND a.at >= $4::timestamptz)

-- name: fetch_plays
SELECT a.id, a.subject_id AS contact_id, a.at, a.agent_id, g.name AS agent_name
FROM audit a LEFT JOIN agents g ON g.id = a.agent_id
WHERE a.subject_kind = 'contact' AND a.subject_id = ANY ($1::bigint[]) AND a.action = 'recording.play'
ORDER BY a.at DESC, a.id DESC LIMIT $2

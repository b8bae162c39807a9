-- name: fetch_login
SELECT id, email, name, role, language, password_hash FROM agents
WHERE unit_id = 1 AND lower(email) = lower($1) AND disabled_at IS NULL

-- name: insert_session
WITH gone AS (
    DELETE FROM sessions WHERE agent_id = $2 AND expires_at < now()
)
INSERT INTO sessions (token_hash, agent_id, expires_at, client) VALUES ($1, $2, now() + $3::interval, $4)

-- name: delete_session
DELETE FROM sessions WHERE token_hash = $1

-- name: delete_sessions_of
DELETE FROM sessions WHERE agent_id = $1 AND token_hash IS DISTINCT FROM $2::bytea

-- name: fetch_session_actor
SELECT a.id, a.name, a.email, a.role, a.language, s.seen_at < now() - interval '1 minute' AS stale
FROM sessions s JOIN agents a ON a.id = s.agent_id
WHERE s.token_hash = $1 AND s.expires_at > now() AND a.disabled_at IS NULL

-- name: touch_session
UPDATE sessions SET seen_at = now() WHERE token_hash = $1

-- name: fetch_token_actor
SELECT a.id, a.name, a.email, a.role, a.language, false AS stale
FROM api_tokens t JOIN agents a ON a.id = t.agent_id
WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND a.disabled_at IS NULL

-- name: insert_token
INSERT INTO api_tokens (agent_id, name, token_hash) VALUES ($1, $2, $3) RETURNING id

-- name: list_tokens
SELECT t.id, t.agent_id, a.email, t.name, t.created_at, t.revoked_at
FROM api_tokens t JOIN agents a ON a.id = t.agent_id
WHERE ($1::bigint IS NULL OR t.agent_id = $1)
ORDER BY t.id DESC

-- name: revoke_token
UPDATE api_tokens SET revoked_at = now()
WHERE id = $1 AND revoked_at IS NULL AND ($2::bigint IS NULL OR agent_id = $2)
RETURNING agent_id

-- name: revoke_tokens_of
UPDATE api_tokens SET revoked_at = now() WHERE agent_id = $1 AND revoked_at IS NULL

-- name: set_password
UPDATE agents SET password_hash = $2, updated_at = now() WHERE id = $1

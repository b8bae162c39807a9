-- name: fetch_phone
SELECT agent_id, uri, auth_user, wss_url, display_name, updated_at
FROM agent_phones WHERE unit_id = 1 AND agent_id = $1

-- name: fetch_credentials: with the password; for the agent alone
SELECT agent_id, uri, auth_user, password, wss_url, display_name, updated_at
FROM agent_phones WHERE unit_id = 1 AND agent_id = $1

-- name: put_phone
INSERT INTO agent_phones (unit_id, agent_id, uri, auth_user, password, wss_url, display_name)
VALUES (1, $1, $2, $3, $4, $5, $6)
ON CONFLICT (agent_id) DO UPDATE SET uri = excluded.uri, auth_user = excluded.auth_user,
    password = excluded.password, wss_url = excluded.wss_url, display_name = excluded.display_name,
    updated_at = now()

-- name: delete_phone
DELETE FROM agent_phones WHERE unit_id = 1 AND agent_id = $1

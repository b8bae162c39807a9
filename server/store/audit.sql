-- name: insert_audit
INSERT INTO audit (unit_id, agent_id, action, subject_kind, subject_id, data) VALUES (1, $1, $2, $3, $4, $5)

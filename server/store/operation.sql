-- name: count_other_clients
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'

-- name: holds_data
SELECT EXISTS (SELECT FROM customers) OR EXISTS (SELECT FROM agents) OR EXISTS (SELECT FROM tickets)

-- name: create_history
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: history_exists
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: fetch_applied
SELECT version, name, checksum FROM schema_migrations ORDER BY version;

-- name: insert_applied
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3);

-- name: try_lock
-- Polled, never waited for: a session that waits in pg_advisory_lock holds a snapshot, and
-- CREATE INDEX CONCURRENTLY of the one that holds the lock waits for that snapshot, for ever.
SELECT pg_try_advisory_lock($1);

-- name: unlock
SELECT pg_advisory_unlock($1);

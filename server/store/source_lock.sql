-- The two-number form: a key space of its own, beside the locks of intake and of migrations.

-- name: watch_client: a node that falls silent is given up after 3 + 3 x 1 seconds; no effect on a Unix socket
SELECT
    set_config('tcp_keepalives_idle', '3', FALSE),
    set_config('tcp_keepalives_interval', '1', FALSE),
    set_config('tcp_keepalives_count', '3', FALSE)

-- name: try_lock
SELECT pg_try_advisory_lock($1::int, $2::int)

-- name: fetch_holder: who has it, as that node's connection calls itself
SELECT holder.application_name
FROM pg_locks AS taken JOIN pg_stat_activity AS holder USING (pid)
WHERE taken.locktype = 'advisory' AND taken.granted AND taken.objsubid = 2
    AND taken.classid = $1::int::oid AND taken.objid = $2::int::oid
    AND taken.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: beat
SELECT 1

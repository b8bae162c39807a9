-- name: known_external_ids
SELECT external_id FROM customer_external_ids WHERE unit_id = 1 AND system = $1 AND external_id = ANY ($2::text[])

-- name: insert_customers
-- MATERIALIZED: every part must see the same id that nextval gave.
WITH rows AS MATERIALIZED (
    SELECT nextval('object_id') AS id, r.*
    FROM json_to_recordset($1::json) AS r (kind text, name text, company text, language text, search_key text,
                                           phones text[], email text, match_key text, external_id text)
), k AS (
    INSERT INTO customers (id, number, kind, name, company, language, search_key)
    SELECT id, 'C-' || lpad(id::text, 6, '0'), kind, name, company, language, search_key FROM rows
    RETURNING id
), p AS (
    INSERT INTO customer_phones (customer_id, number, position)
    SELECT id, number, place - 1 FROM rows, unnest(phones) WITH ORDINALITY AS n (number, place)
), e AS (
    INSERT INTO customer_emails (customer_id, address, match_key)
    SELECT id, email, match_key FROM rows WHERE email <> ''
), x AS (
    INSERT INTO customer_external_ids (system, external_id, customer_id)
    SELECT $2, external_id, id FROM rows WHERE external_id <> ''
)
SELECT count(*) FROM k
